"""Whose the draws of a head with trials are in an evaluation: each pair's own under published, its text's under query."""

import json

import numpy as np
import pytest
import torch

from gaid import evaluate
from gaid.errors import OptionInvalid
from gaid.evaluation import scoring
from gaid.evaluation.conditioning import PROTOCOLS
from gaid.evaluation.index import rescore
from gaid.evaluation.results import noise_in_words
from gaid.evaluation.scoring import score_all
from gaid.heads import build_head
from gaid.heads.features import Features
from gaid.training.validation import Validation


@pytest.fixture(scope="module")
def split(make_store):
    """20 videos with two captions each."""
    return make_store(videos=20, captions=2, signal=1.0).split("test")


@pytest.fixture(scope="module")
def head():
    torch.manual_seed(0)
    return build_head("t-mass", visual_dim=64, audio_dim=64, text_dim=64, trials=3).eval()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pairs_draws_are_the_default_wherever_the_gallery_reads_captions(split, head, protocol):
    features, one = Features.of(split, "cpu"), PROTOCOLS[protocol]
    options = {"gate_by": one.gate_by, "pool_by": one.pool_by, "own_caption": torch.arange(0, 40, 2), "seed": 5}
    found = score_all(head, features, split.caption_video, one, memory=2**28, seed=5)
    for noise in ("text", "pair"):
        expected = head.score(features.text, *features.videos(slice(None)), noise=noise, **options).numpy()
        chosen = score_all(head, features, split.caption_video, one, memory=2**28, seed=5, noise=noise)
        np.testing.assert_allclose(chosen, expected, atol=1e-6)
        assert np.allclose(found, expected, atol=1e-6) == (noise == ("text" if protocol == "query" else "pair"))


@pytest.mark.parametrize("reads", ["first", "same"])
def test_blocks_of_videos_and_places_of_captions_change_no_draw(split, head, reads, monkeypatch):
    features, owner = Features.of(split, "cpu"), split.caption_video
    options = {"memory": 2**28, "reads": reads}
    whole = score_all(head, features, owner, PROTOCOLS["published"], **options)
    by_caption = [torch.arange(0, 40, 2), torch.arange(1, 40, 2)]
    for place in (0, 1):  # caption k of a video is scored with the gallery that has read its first, or its k-th
        own = by_caption[place if reads == "same" else 0]
        expected = head.score(
            features.text, *features.videos(slice(None)), noise="pair", gate_by="own_caption", pool_by="own_caption",
            own_caption=own,
        )  # fmt: skip
        np.testing.assert_allclose(whole[place::2], expected.numpy()[place::2], atol=1e-6)
    plain = scoring._blocks
    monkeypatch.setattr(scoring, "_blocks", lambda count, size: plain(count, min(size, 7)))
    np.testing.assert_allclose(score_all(head, features, owner, PROTOCOLS["published"], **options), whole, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 15])
@pytest.mark.parametrize("noise", ["text", "pair"])
def test_candidates_are_rescored_with_the_draws_of_the_whole(split, head, count, noise):
    features = Features.of(split, "cpu")
    whole = score_all(head, features, split.caption_video, PROTOCOLS["query"], memory=2**28, noise=noise)
    candidates = np.argsort(-whole, axis=1)[:, :count]
    found = rescore(head, features, candidates, memory=2**28, noise=noise)
    np.testing.assert_allclose(found, np.take_along_axis(whole, candidates, 1), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("noise", "query", "published"), [(None, "text", "pair"), ("pair", "pair", "pair"), ("text", "text", "text")]
)
def test_an_evaluation_names_the_noise_of_each_protocol(make_store, noise, query, published):
    store = make_store(videos=20, captions=2, signal=1.0)
    results = evaluate(store=store, preset="t-mass", protocol="published", noise=noise)
    told = json.loads(json.dumps(results.to_dict()))
    assert (told["noise"], told["leak"]["noise"]) == (query, published)
    (words,) = noise_in_words(results.noise, {"published": results.leak.noise})
    assert ("under `published`" in words) == (noise is None)  # they differ, which is a part of the leak


def test_a_head_that_draws_nothing_names_no_noise(make_store):
    results = evaluate(store=make_store(videos=20, captions=2, signal=1.0), preset="x-pool", protocol="published")
    assert results.to_dict()["noise"] is results.to_dict()["leak"]["noise"] is None
    assert noise_in_words(None, {"published": None}) == []


def test_a_noise_that_does_not_exist_is_refused(make_store, unchecked):
    with pytest.raises(OptionInvalid, match="--noise 'video' is none of text, pair"):
        evaluate(store=make_store(videos=20), preset="t-mass", noise="video")


def test_a_training_under_published_is_validated_with_a_pairs_own_draws(split, head, monkeypatch):
    asked = []
    plain = head.score
    monkeypatch.setattr(head, "score", lambda *a, **k: asked.append(k.get("noise")) or plain(*a, **k))
    for protocol in ("query", "published"):
        Validation(split, head, "cpu", protocol).evaluate(head)
    assert asked == [None, "pair"]
