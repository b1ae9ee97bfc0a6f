"""`gaid demo`: the whole way in one command, in an empty folder, with nothing but the package."""

from functools import partial

import pytest

from gaid import train
from gaid.datasets import demo
from gaid.paper import demo as gaid_demo


@pytest.mark.slow
def test_the_demo_makes_clips_features_heads_a_table_and_a_page(gaid, tmp_path, monkeypatch):
    # A world of 24 clips in place of 1,400, which the command takes as it is there, one baseline of three, and an epoch.
    demo.prepare(tmp_path / "data/demo", sizes=(8, 8, 8))
    monkeypatch.setattr(gaid_demo, "BASELINES", ("mean-pool",))
    monkeypatch.setattr(gaid_demo, "train", partial(train, set=["epochs=1", "head.dim=8"]))
    done = gaid("demo", "--seeds", "1", "--json")
    assert done.code == 0, done.err
    told = done.json
    assert (told["preset"], told["t2v"]["gallery"]) == ("gaid", 8)
    assert [one["preset"] for one in told["baselines"]] == ["mean-pool"]
    assert (tmp_path / "reports/demo.html").is_file()
    weights = tmp_path / "runs/demo/gaid/checkpoints/best.safetensors"
    made = weights.stat().st_mtime_ns
    assert gaid("demo", "--seeds", "1", "--report", "none").code == 0
    assert weights.stat().st_mtime_ns == made  # what is there is kept
