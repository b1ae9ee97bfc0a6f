"""The heads in three demo worlds: who is harmed and who gains, and that `gaid reproduce worlds` makes what is missing."""

import csv
from types import SimpleNamespace

import pytest

from gaid.datasets.demo import prepare
from gaid.evaluation.results import Comparison
from gaid.paper.reproduce import reproduce
from gaid.paper.tables import TABLES, choose
from gaid.paper.workshop import PaperOptions
from gaid.paper.worlds import MOVED, ROWS, WITHOUT_SOUND, WORLDS, Worlds


def found(*intervals):
    """Results of which only the paired intervals over the heads without sound count."""
    return SimpleNamespace(
        comparisons=[
            Comparison("", {"t2v": {"R@1": (low + high) / 2}}, {"t2v": {"R@1": (float(low), float(high))}})
            for low, high in intervals
        ]
    )


def test_a_head_is_harmed_below_either_and_gains_above_both_heads_without_sound():
    """Differences to x-pool and mean-pool, in that order; each of these two to the other alone."""
    never = {
        "x-pool": found((-3, 1)), "mean-pool": found((-1, 3)), "level": found((-2, 1), (-1, 2)),
        "below one": found((-9, -2), (-4, 3)), "above": found((1, 4), (2, 5)),
    }  # fmt: skip
    always = {
        "x-pool": found((1, 2)), "mean-pool": found((-2, -1)), "level": found((4, 9), (5, 9)),
        "below one": found((4, 9), (5, 9)), "above": found((-1, 9), (5, 9)),
    }  # fmt: skip
    moved = {"x-pool": found((-3, 1)), "mean-pool": found((-1, 3)), "level": found((-9, -8), (-9, -8))}
    worlds = Worlds({"demo-deaf": never, "demo-ears": always, **dict.fromkeys(MOVED.values(), moved)})
    assert worlds.harmed() == ["below one"]
    assert worlds.gaining() == ["x-pool", "level", "below one"]
    assert worlds.difference("demo-deaf", "x-pool", "mean-pool", "t2v") == (-1, -3, 1)
    assert worlds.difference("demo-deaf", "x-pool", "x-pool", "t2v") is None
    said = worlds.conclusion()
    assert "(demo-ears), x-pool, level, below one found more than both" in said
    assert "(demo-deaf), below one found less than one of the two." in said
    assert "Trained in demo-ears and tested in demo-deaf, level did." in said


def test_the_worlds_are_asked_for_by_name_and_are_not_of_the_paper():
    assert choose(["worlds", "table1"]) == ["worlds", "table1"]
    assert choose(["all"]) == [*TABLES, "figure5"]
    assert {row.preset for row in ROWS} >= {*WITHOUT_SOUND, "gaid", "gaid-sample", "avigate", "t-mass"}


@pytest.mark.slow
def test_the_worlds_are_extracted_trained_and_written(tmp_path, monkeypatch):
    for world, mentions in zip(WORLDS, ("none", "heard", "all"), strict=True):
        prepare(tmp_path / "data" / world, sizes=(6, 2, 3), mentions=mentions)
    monkeypatch.setattr("gaid.paper.worlds.ROWS", ROWS[:2])
    options = PaperOptions(
        root=tmp_path / "data", out=tmp_path / "out", stores=tmp_path / "stores", runs=tmp_path / "runs", seeds=1,
        set=("epochs=1", "head.dim=16", "batch_size=4"), workers=0, progress=False,
    )  # fmt: skip
    made = reproduce(["worlds"], options)
    assert made.worlds is not None
    tests = {*WORLDS, *MOVED.values()}
    assert set(made.to_dict()["worlds"]["tests"]) == tests
    assert {path.name for path in (tmp_path / "stores").glob("*.zarr")} == {f"{world}-tiny.zarr" for world in WORLDS}
    with (tmp_path / "out" / "worlds.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == len(tests) * 2 * 2
    text = (tmp_path / "out" / "worlds.md").read_text()
    for line in lines:
        figures = made.worlds.results[line["test"]][line["head"]].figures[line["direction"]]
        assert float(line["R@1"]) == pytest.approx(figures.values["R@1"], abs=1e-4)
        assert f"{figures.values['R@1']:.1f} (" in text
    assert made.worlds.conclusion() in text
    moved = made.worlds.results[MOVED["demo-ears"]][ROWS[0].preset]
    assert "demo-ears-tiny" in str(moved.basis.run)
    assert "demo-deaf-tiny" in str(moved.basis.store)
