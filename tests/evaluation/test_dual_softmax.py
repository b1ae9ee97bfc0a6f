"""The second softmax: what it computes in either form, what it does to one query alone, and where its figures stand."""

import numpy as np
import pytest

from gaid import evaluate
from gaid.errors import OptionInvalid
from gaid.evaluation.conditioning import PROTOCOLS
from gaid.evaluation.dual_softmax import groups_of
from gaid.evaluation.scoring import dual_softmax, random_groups, score_all
from gaid.heads.features import Features

OVER = {"t2v": "texts", "v2t": "videos"}
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
    found = dual_softmax(SCORES, OVER[direction], memory=memory)
    np.testing.assert_allclose(found, by_hand(SCORES, direction, whole, 100.0), rtol=1e-6)
    parts = [np.array([0]), np.arange(1, queries)]
    found = dual_softmax(SCORES, OVER[direction], parts, memory=memory, scale=5.0)
    np.testing.assert_allclose(found, by_hand(SCORES, direction, [p.tolist() for p in parts], 5.0), rtol=1e-6)


def test_a_query_that_the_others_leave_no_choice_goes_to_what_they_left():
    """Text 0 would take video 0, which text 1 wants more: with the others' help it takes video 1."""
    assert SCORES.argmax(1).tolist() == [0, 0, 1]
    assert dual_softmax(SCORES, "texts", memory=2**30).argmax(1).tolist() == [1, 0, 1]


def test_of_a_query_alone_the_scores_stay():
    alone = [np.array([row]) for row in range(3)]
    np.testing.assert_array_equal(dual_softmax(SCORES, "texts", alone, memory=2**30), SCORES.astype(np.float64))


def test_differences_that_float32_would_lose_make_no_ties():
    scores = np.array([[0.9, 0.8], [-0.9, -0.95]], np.float32)
    found = dual_softmax(scores, "texts", memory=2**30)
    assert len(np.unique(found)) == 4


def test_groups_hold_each_query_once_and_are_about_as_large_as_asked():
    groups = random_groups(103, 10)
    assert sorted(np.concatenate(groups)) == list(range(103))
    assert {len(group) for group in groups} <= {10, 11}
    assert len(random_groups(7, 1)) == 7
    assert len(random_groups(7, 7)) == 1


def as_published(scores, captions):
    """Ranks as the published evaluation has them, restated: (videos, captions, videos), the softmax over the first axis.

    `scores` (videos x captions, videos), each video's captions together. The one softmax is there for both directions; a
    text's rank is its video's among all, a video's that of the video whose best caption it meets.
    """
    videos = scores.shape[1]
    array = scores.astype(np.float64).reshape(videos, captions, videos)
    powers = np.exp(100 * array - (100 * array).max(axis=0))
    array = array * powers / powers.sum(axis=0)
    own = np.einsum("iki->ik", array)
    t2v = (array >= own[..., None]).sum(axis=2).ravel()
    best = array.max(axis=1)
    v2t = (best >= np.diag(best)).sum(axis=0)
    return {"t2v": t2v, "v2t": v2t}


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.slow
@pytest.mark.parametrize("captions", [1, 3])
@pytest.mark.parametrize("memory", ["1GiB", 20_000])
def test_published_is_what_the_published_evaluation_computes(make_store, heads, monkeypatch, captions, memory):

    monkeypatch.setattr("gaid.devices.MINIMUM_MEMORY", 1)
    store = make_store(videos=40, captions=captions, signal=0.4)
    split = store.split("test")
    scores = unit(split.text.astype(np.float32)) @ unit(split.visual.astype(np.float32).mean(1)).T
    results = evaluate(store=store, preset=f"{heads}:Mean", dual_softmax="published", memory=memory)
    for direction, ranks in as_published(scores, captions).items():
        found = results.dual_softmax.figures[direction].values
        assert found["MnR"] == pytest.approx(ranks.mean())
        assert found["R@1"] == pytest.approx(100 * (ranks <= 1).mean())


def test_published_leaves_video_to_text_as_it_was_and_per_direction_does_not(make_store):
    store = make_store(videos=60, signal=0.6)
    plain = evaluate(store=store, preset="mean-pool").to_dict()
    published = evaluate(store=store, preset="mean-pool", dual_softmax="published").to_dict()["dual_softmax"]
    each = evaluate(store=store, preset="mean-pool", dual_softmax="per-direction").to_dict()["dual_softmax"]
    assert {name: published["v2t"][name] for name in ("R@1", "R@5")} == {n: plain["v2t"][n] for n in ("R@1", "R@5")}
    assert each["v2t"]["MnR"] != plain["v2t"]["MnR"]
    assert published["t2v"]["per_seed"] == each["t2v"]["per_seed"]
    assert published["t2v"]["MnR"] != plain["t2v"]["MnR"]
    assert (published["form"], each["form"]) == ("published", "per-direction")


def test_under_the_published_protocol_both_protocols_have_their_dual_softmax(make_store):
    """The published figure with a dual softmax is that of scores whose gallery has read its captions."""
    store = make_store(videos=60, signal=0.3)
    results = evaluate(store=store, preset="x-pool", protocol="published", dual_softmax="published")
    split, head = store.split("test"), results.bench.head()
    for protocol, doubled in (("query", results.dual_softmax), ("published", results.leak.dual_softmax)):
        scores = score_all(
            head, Features.of(split, "cpu", head), split.caption_video, PROTOCOLS[protocol], memory=2**30
        )
        for direction, ranks in as_published(scores, 1).items():
            assert doubled.figures[direction].values["MnR"] == pytest.approx(ranks.mean())
    told = results.to_dict()["leak"]
    gain = told["dual_softmax"]["t2v"]["gain"]["R@1"]
    assert gain == pytest.approx(told["dual_softmax"]["t2v"]["R@1"] - told["t2v"]["R@1"], abs=1e-3)


def test_texts_of_one_place_are_normalised_together():
    """Video 2 has three captions, video 0 one and video 1 two."""
    groups = groups_of("published", np.array([2, 1, 2, 0, 1, 2]))
    assert [group.tolist() for group in groups] == [[0, 1, 3], [2, 4], [5]]
    assert groups_of("published", np.array([1, 0, 2])) is None
    assert groups_of("per-direction", np.array([0, 0, 1])) is None


@pytest.mark.parametrize("form", ["published", "per-direction"])
def test_it_is_off_unless_asked_for_and_never_in_the_place_of_the_plain_figure(make_store, form):
    store = make_store(videos=60, signal=0.4)
    plain = evaluate(store=store, preset="mean-pool").to_dict()
    asked = evaluate(store=store, preset="mean-pool", dual_softmax=form).to_dict()
    assert "dual_softmax" not in plain
    for direction in ("t2v", "v2t"):
        assert asked[direction] == plain[direction]
        beside = asked["dual_softmax"][direction]
        assert beside["gain"]["R@1"] == pytest.approx(beside["R@1"] - plain[direction]["R@1"], abs=1e-3)


def test_a_form_that_does_not_exist_is_refused(make_store, unchecked):
    with pytest.raises(OptionInvalid, match="--dual-softmax 'both' is none of published, per-direction"):
        evaluate(store=make_store(videos=60, signal=0.4), preset="mean-pool", dual_softmax="both")


@pytest.mark.slow
def test_the_subset_with_sound_is_measured_alone_and_all_clips_stand_beside(make_store):
    store = make_store(videos=30, captions=2, silent=10)
    whole = evaluate(store=store, preset="mean-pool")
    part = evaluate(store=store, preset="mean-pool", subset="with-sound")
    assert part.figures["t2v"].gallery == 20
    assert part.figures["t2v"].values == whole.with_sound["t2v"].values
    assert part.all_clips["t2v"].values == whole.figures["t2v"].values
    assert part.basis.gallery_hash != whole.basis.gallery_hash
    assert part.to_dict()["subset"] == "with-sound"
    with pytest.raises(ValueError, match="no clip of 'test' has sound"):
        evaluate(store=make_store(videos=12, silent=12), preset="mean-pool", subset="with-sound")
