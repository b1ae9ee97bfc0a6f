"""The published second softmax: what it computes, what it does to one query alone, and where its figures stand."""

import numpy as np
import pytest

from gaid import evaluate
from gaid.retrieval.scoring import dual_softmax, random_groups

SCORES = np.array([[0.50, 0.49], [0.60, 0.10], [0.20, 0.30]], np.float32)


def by_hand(scores, direction, groups, scale):
    """Written out: each score times its share among the queries of its group that look at the same item."""
    out = np.empty(scores.shape)
    queries = scores if direction == "t2v" else scores.T
    turned = out if direction == "t2v" else out.T
    for group in groups:
        for item in range(queries.shape[1]):
            total = sum(np.exp(scale * float(queries[other, item])) for other in group)
            for query in group:
                value = float(queries[query, item])
                turned[query, item] = value * np.exp(scale * value) / total
    return out


@pytest.mark.parametrize("direction", ["t2v", "v2t"])
@pytest.mark.parametrize("memory", [2**30, 64])
def test_it_is_the_score_times_its_share_among_the_queries_known_at_once(direction, memory):
    queries = SCORES.shape[0 if direction == "t2v" else 1]
    whole = [list(range(queries))]
    found = dual_softmax(SCORES, direction, memory=memory)
    np.testing.assert_allclose(found, by_hand(SCORES, direction, whole, 100.0), rtol=1e-6)
    parts = [np.array([0]), np.arange(1, queries)]
    found = dual_softmax(SCORES, direction, parts, memory=memory, scale=5.0)
    np.testing.assert_allclose(found, by_hand(SCORES, direction, [p.tolist() for p in parts], 5.0), rtol=1e-6)


def test_a_query_that_the_others_leave_no_choice_goes_to_what_they_left():
    """Text 0 would take video 0, which text 1 wants more: with the others' help it takes video 1."""
    assert SCORES.argmax(1).tolist() == [0, 0, 1]
    assert dual_softmax(SCORES, "t2v", memory=2**30).argmax(1).tolist() == [1, 0, 1]


def test_of_a_query_alone_the_scores_stay():
    alone = [np.array([row]) for row in range(3)]
    np.testing.assert_array_equal(dual_softmax(SCORES, "t2v", alone, memory=2**30), SCORES.astype(np.float64))


def test_differences_that_float32_would_lose_make_no_ties():
    scores = np.array([[0.9, 0.8], [-0.9, -0.95]], np.float32)
    found = dual_softmax(scores, "t2v", memory=2**30)
    assert len(np.unique(found)) == 4


def test_groups_hold_each_query_once_and_are_about_as_large_as_asked():
    groups = random_groups(103, 10)
    assert sorted(np.concatenate(groups)) == list(range(103))
    assert {len(group) for group in groups} <= {10, 11}
    assert len(random_groups(7, 1)) == 7
    assert len(random_groups(7, 7)) == 1


def test_it_is_off_unless_asked_for_and_never_in_the_place_of_the_plain_figure(make_store):
    store = make_store(videos=60, signal=0.4)
    plain = evaluate(store=store, preset="mean-pool").to_dict()
    asked = evaluate(store=store, preset="mean-pool", dual_softmax=True).to_dict()
    assert "dual_softmax" not in plain
    for direction in ("t2v", "v2t"):
        assert asked[direction] == plain[direction]
        beside = asked["dual_softmax"][direction]
        assert beside["gain"]["R@1"] == pytest.approx(beside["R@1"] - plain[direction]["R@1"], abs=1e-3)


def test_the_subset_with_sound_is_measured_alone_and_all_clips_stand_beside(make_store):
    store = make_store(videos=30, captions=2, silent=10)
    whole = evaluate(store=store, preset="mean-pool")
    part = evaluate(store=store, preset="mean-pool", subset="with-sound")
    assert part.figures["t2v"].gallery == 20
    assert part.figures["t2v"].values == whole.with_sound["t2v"].values
    assert part.all_clips["t2v"].values == whole.figures["t2v"].values
    assert part.gallery_hash != whole.gallery_hash
    assert part.to_dict()["subset"] == "with-sound"
    with pytest.raises(ValueError, match="no clip of 'test' has sound"):
        evaluate(store=make_store(videos=12, silent=12), preset="mean-pool", subset="with-sound")
