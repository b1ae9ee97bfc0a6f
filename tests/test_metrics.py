"""Ranks, recalls and intervals, held to a naive loop and to numbers printed by the published code."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaid.errors import GaidError
from gaid.metrics import NAMES, intervals, metrics_of_ranks, ranks, retrieval_metrics, videos_of_ranks

REFERENCE = Path(__file__).parent / "data" / "published_reference.npz"


@pytest.fixture(scope="module")
def published():
    with np.load(REFERENCE) as file:
        return {name: file[name] for name in file.files}


@pytest.mark.parametrize("direction", ["t2v", "v2t"])
def test_metrics_of_several_captions_a_video_equal_the_published_codes(published, direction):
    # Numbers: published_reference.npz, made by running X-Pool's metric functions (reference of method.md).
    found = retrieval_metrics(published["metric_sims"], published["metric_video_of_caption"], direction)
    names = {"R@1": "R1", "R@5": "R5", "R@10": "R10", "MdR": "MedR", "MnR": "MeanR"}
    assert found == {ours: float(published[f"{direction}.{theirs}"]) for ours, theirs in names.items()}


def place(value, others, ties):
    """Place of a value among others, by counting one by one."""
    above = sum(1 for other in others if other > value)
    level = sum(1 for other in others if other == value)
    return 1 + above + {"against": level, "for": 0, "average": level / 2}[ties]


def naive_ranks(scores, owner, direction, ties):
    captions, videos = range(len(scores)), sorted(set(owner))
    if direction == "t2v":
        return [
            place(scores[c][owner[c]], [s for v, s in enumerate(scores[c]) if v != owner[c]], ties) for c in captions
        ]
    found = []
    for v in videos:
        best = max(scores[c][v] for c in captions if owner[c] == v)
        others = [max(scores[c][v] for c in captions if owner[c] == other) for other in videos if other != v]
        found.append(place(best, others, ties))
    return found


@st.composite
def tables(draw):
    videos = draw(st.integers(1, 6))
    owner = draw(st.lists(st.integers(0, videos - 1), min_size=1, max_size=12))
    # Few distinct values, so that ties are common; infinities are legal scores.
    value = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0, np.inf])
    rows = draw(st.lists(st.lists(value, min_size=videos, max_size=videos), min_size=len(owner), max_size=len(owner)))
    return np.array(rows), np.array(owner)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(tables(), st.sampled_from(["t2v", "v2t"]), st.sampled_from(["against", "average", "for"]))
def test_ranks_equal_a_naive_loop(table, direction, ties):
    scores, owner = table
    expected = naive_ranks(scores.tolist(), owner.tolist(), direction, ties)
    assert ranks(scores, owner, direction, ties).tolist() == expected


def test_ranks_do_not_depend_on_the_size_of_blocks(monkeypatch):
    scores, owner = np.random.default_rng(0).normal(size=(40, 9)), np.arange(40) % 9
    whole = [ranks(scores, owner, direction) for direction in ("t2v", "v2t")]
    monkeypatch.setattr("gaid.metrics._BLOCK", 20)
    for direction, expected in zip(("t2v", "v2t"), whole, strict=True):
        np.testing.assert_array_equal(ranks(scores, owner, direction), expected)


@pytest.mark.parametrize("direction", ["t2v", "v2t"])
def test_equal_scores_for_everything_get_the_worst_rank(direction):
    found = retrieval_metrics(np.zeros((60, 20)), np.arange(60) % 20, direction)
    assert found == {"R@1": 0, "R@5": 0, "R@10": 0, "MdR": 20, "MnR": 20}


def test_the_best_of_a_videos_captions_counts():
    scores = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    # Video 0 is found by its caption 1; on video 1 a caption of video 0 stands before its own.
    assert ranks(scores, [0, 0, 1], "v2t").tolist() == [1, 2]


def test_a_video_without_a_caption_is_a_distractor_and_no_query():
    scores = np.array([[0.5, 0.9, 0.1], [0.0, 0.9, 0.5]])
    assert ranks(scores, [0, 2]).tolist() == [2, 2]
    assert ranks(scores, [0, 2], "v2t").tolist() == [1, 1]
    assert videos_of_ranks([0, 2], "v2t").tolist() == [0, 2]


@pytest.mark.parametrize(
    ("scores", "owner", "words"),
    [
        ([[0.0, np.nan], [0.0, 1.0]], [0, 1], "1 of 4 scores are NaN, the first at caption 0, video 1"),
        ([[0.0, 1.0]], [2], "columns 0..1"),
        ([[0.0, 1.0]], [0, 1], r"expected \(captions, videos\)"),
        ([[0.0, 1.0]], [0.5], "columns 0..1"),
    ],
)
def test_what_is_no_table_of_scores_is_refused(scores, owner, words):
    with pytest.raises(ValueError, match=words) as caught:
        retrieval_metrics(np.array(scores), np.array(owner))
    assert isinstance(caught.value, GaidError)


def test_an_unknown_direction_is_named():
    with pytest.raises(ValueError, match="direction 'v2a' is none of t2v, v2t"):
        ranks(np.zeros((1, 1)), [0], "v2a")


def test_metrics_of_seeds_are_the_mean_over_them():
    one, two = np.array([1, 2, 30]), np.array([1, 1, 4])
    both = metrics_of_ranks(np.stack([one, two]))
    assert both == pytest.approx(
        {n: (metrics_of_ranks(one)[n] + metrics_of_ranks(two)[n]) / 2 for n in NAMES}, rel=1e-12
    )


def naive_resampled(row, clusters, drawn):
    """Metrics of the queries of the drawn videos, written out."""
    return metrics_of_ranks(np.concatenate([row[clusters == video] for video in drawn]))


def test_resampled_metrics_equal_those_of_the_written_out_queries():
    from gaid.metrics import _Resampled

    rng = np.random.default_rng(1)
    clusters = np.concatenate([np.arange(7), rng.integers(0, 7, 12)])
    table = rng.integers(1, 15, (2, len(clusters))).astype(float)
    drawn = rng.integers(0, 7, (5, 7))
    found = _Resampled([(1.0, table)], clusters, 7)(drawn)
    for draw, column in zip(drawn, found.T, strict=True):
        rows = [naive_resampled(row, clusters, draw) for row in table]
        np.testing.assert_allclose(column, [np.mean([row[name] for row in rows]) for name in NAMES], rtol=1e-12)


def test_intervals_equal_numpys_own_percentiles_of_the_mean_for_one_caption_a_video():
    row = np.random.default_rng(2).integers(1, 40, 200).astype(float)
    low, high = intervals(row, np.arange(200), resamples=4000)["MnR"]
    rng = np.random.default_rng(5)
    means = row[rng.integers(0, 200, (4000, 200))].mean(axis=1)
    np.testing.assert_allclose([low, high], np.percentile(means, [2.5, 97.5]), atol=0.15)


def test_captions_of_one_video_do_not_narrow_the_interval():
    row = np.random.default_rng(3).integers(1, 30, 100).astype(float)
    alone, repeated = intervals(row, np.arange(100)), intervals(np.repeat(row, 5), np.repeat(np.arange(100), 5))
    for name in NAMES:
        assert repeated[name] == pytest.approx(alone[name])


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng, hits = np.random.default_rng(4), 0
    for trial in range(100):
        solved = rng.random(150) < 0.4
        low, high = intervals(np.where(solved, 1.0, 20.0), np.arange(150), resamples=300, seed=trial)["R@1"]
        hits += low <= 40.0 <= high
    assert 88 <= hits <= 100


def test_the_difference_of_a_head_to_itself_is_nothing_and_to_a_better_one_below_nothing():
    rng = np.random.default_rng(6)
    row = rng.integers(1, 30, 120).astype(float)
    assert set(intervals(row, np.arange(120), against=row).values()) == {(0.0, 0.0)}
    better = np.where(rng.random(120) < 0.5, 1.0, row)
    low, high = intervals(row, np.arange(120), against=better)["R@1"]
    assert low < high < 0
    # Paired, so narrower than the two intervals side by side.
    wide = [np.diff(intervals(r, np.arange(120))["R@1"])[0] for r in (row, better)]
    assert high - low < sum(wide)


def test_intervals_repeat_under_one_seed_and_move_with_another():
    row = np.random.default_rng(7).integers(1, 30, 60).astype(float)
    assert intervals(row, np.arange(60)) == intervals(row, np.arange(60))
    assert intervals(row, np.arange(60)) != intervals(row, np.arange(60), seed=1)


def test_one_video_has_an_interval_of_no_width():
    assert intervals([1, 3], [0, 0])["MdR"] == (2.0, 2.0)


def test_clusters_must_be_as_many_as_ranks():
    with pytest.raises(ValueError, match="3 ranks but 2 clusters"):
        intervals([1, 2, 3], [0, 1])


def test_a_thousand_resamples_of_a_thousand_videos_take_less_work_than_a_loop_would():
    row = np.random.default_rng(8).integers(1, 1000, 1000).astype(float)
    begun = time.process_time()
    intervals(row, np.arange(1000))
    assert time.process_time() - begun < 5  # 0.1 s alone; a Python loop over draws and metrics takes far longer


ONE_LINE_MORE = """
import importlib.util, sys, types
import numpy as np

path = importlib.util.find_spec("gaid.metrics").origin
source = open(path, encoding="utf-8").read().replace("    _recall(10),\\n", "    _recall(10),\\n    _recall(50),\\n")
sys.modules["gaid.metrics"] = module = types.ModuleType("gaid.metrics")
exec(source, vars(module))
import gaid
gaid.metrics = module

from gaid.audit.leak import chance
from gaid.evaluation.figures import Figures
from gaid.paper.published import load_published
from gaid.report.tables import Row, markdown_rows

ranks = np.array([[1, 2, 30, 60]])
print(markdown_rows([Row.of("head", "main", Figures.of_ranks(ranks, np.arange(4), "t2v", 100))]))
print(chance(100).values["t2v R@50"])
print(load_published(["msrvtt"], ["t2v"])[0].record()["R@50"] == "")
"""


@pytest.mark.slow
def test_a_metric_is_added_in_one_line_and_stands_in_the_tables():
    done = subprocess.run([sys.executable, "-c", ONE_LINE_MORE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    header, _, row, chance, published = done.stdout.splitlines()
    assert header == "| |R@1|R@5|R@10|R@50|MdR|MnR|"
    assert "| 75.0 (" in row
    assert (chance, published) == ("50.0", "True")
