"""Two runs on the same queries: the tests held to statsmodels, to hand values, and to what can't be compared."""

import json

import numpy as np
import pytest

from gaid.audit import compare
from gaid.audit.compare import mcnemar
from gaid.errors import StoresDisagree
from gaid.metrics import interval_of_mean, intervals
from tests.training.planted import write_store

pytestmark = pytest.mark.slow


def test_mcnemar_is_statsmodels_exact_one(rng):
    from statsmodels.stats.contingency_tables import mcnemar as theirs

    for _ in range(20):
        one, two = (rng.random((2, 60)) < rng.random((2, 1))).astype(float)
        table = [[((one == a) & (two == b)).sum() for b in (1, 0)] for a in (1, 0)]
        found = mcnemar(2 - one[None], 2 - two[None], np.arange(60))
        assert found.p == pytest.approx(theirs(table, exact=True).pvalue)
        assert (found.both, found.only_first, found.only_second, found.neither) == (*table[0], *table[1])


def test_mcnemar_of_ten_to_one_by_hand():
    first, second = np.full((1, 11), 2.0), np.full((1, 11), 2.0)
    first[0, :10], second[0, 10] = 1, 1
    found = mcnemar(first, second, np.arange(11))
    assert found.p == pytest.approx(2 * (1 + 11) / 2**11)  # two-sided binomial: 10 or more of 11
    assert found.by_video == pytest.approx(found.p, abs=2e-3)


def test_captions_of_one_video_are_no_evidence_of_their_own():
    """Ten queries of one video: McNemar counts ten, swapping the video's runs counts one."""
    found = mcnemar(np.ones((1, 10)), np.full((1, 10), 2.0), np.zeros(10, int))
    assert found.p == pytest.approx(2 / 2**10)
    assert found.by_video == 1


def test_a_query_is_found_where_more_than_half_of_the_seeds_find_it():
    first = np.array([[1, 1, 2, 2], [1, 2, 2, 1], [1, 1, 2, 2]])
    found = mcnemar(first, np.full((1, 4), 2), np.arange(4))
    assert (found.only_first, found.neither) == (2, 2)


def test_the_same_run_twice_differs_in_nothing(run):
    found = compare(run, run)
    assert all((one.value, one.low, one.high) == pytest.approx((0, 0, 0)) for one in found.difference.values())
    assert all(test.p == test.by_video == 1 for tests in found.tests.values() for test in tests.values())
    # Two trainings against the same two: the unequal pairs cancel.
    assert found.pairs_turned == (2, 4)
    assert found.labels[0] == str(run.path)


def test_two_runs_have_the_figures_of_eval_and_paired_differences(run, deaf):
    from gaid import evaluate

    found = compare(run, deaf)
    results = evaluate(run, against=[deaf])
    for way in ("t2v", "v2t"):
        assert found.values[0][f"{way} R@1"].value == pytest.approx(results.figures[way].values["R@1"])
        one = found.difference[f"change {way} R@1"]
        assert one.value == pytest.approx(results.comparisons[0].difference[way]["R@1"])
        assert (one.low, one.high) == pytest.approx(results.comparisons[0].intervals[way]["R@1"])
    again = json.loads(json.dumps(found.to_dict()))
    assert set(again["mcnemar"]["t2v"]) == {"R@1", "R@5", "R@10"}
    assert again["turns_round"]["of"] == 4


def test_runs_on_other_clips_are_not_compared(run, tmp_path):
    from gaid import train

    other = write_store(tmp_path / "other.zarr", parts={"train": 40, "val": 16, "test": 20})
    elsewhere = train(other, "x-pool", out=tmp_path / "run", set=["epochs=0"], progress=False)
    with pytest.raises(StoresDisagree, match="not the same 60"):
        compare(run, elsewhere)


def test_the_interval_of_a_mean_is_that_of_recall(rng):
    ranks, videos = rng.integers(1, 4, 90).astype(float), rng.integers(0, 30, 90)
    mean, low, high = interval_of_mean(100.0 * (ranks <= 1), videos)
    assert mean == pytest.approx(100 * (ranks <= 1).mean())
    assert (low, high) == pytest.approx(intervals(ranks, videos)["R@1"])


def test_the_interval_of_a_contrast_is_numpys_own_for_separate_videos(rng):
    values, group = rng.normal(size=400), np.arange(400) < 200
    values[group] += 1
    mean, low, high = interval_of_mean(values, np.arange(400), group, resamples=4000)
    spread = np.sqrt(values[group].var() / 200 + values[~group].var() / 200)
    assert mean == pytest.approx(values[group].mean() - values[~group].mean())
    np.testing.assert_allclose([low, high], [mean - 1.96 * spread, mean + 1.96 * spread], atol=0.02)
    with pytest.raises(ValueError, match="none may be empty"):
        interval_of_mean(values, np.arange(400), np.ones(400, bool))
