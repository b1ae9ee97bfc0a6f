"""Candidates from an index, and what the head makes of them."""

import numpy as np
import pytest
import torch

from gaid import evaluate
from gaid.errors import OptionInvalid
from gaid.evaluation.conditioning import PROTOCOLS
from gaid.evaluation.index import default_candidates, rescore, search_all
from gaid.evaluation.scoring import score_all
from gaid.heads import build_head
from gaid.heads.features import Features


@pytest.fixture
def parts(make_store):
    split = make_store(videos=80, captions=2, signal=0.4).split("test")
    torch.manual_seed(0)
    head = build_head("gaid", visual_dim=64, audio_dim=64, text_dim=64).eval()
    features = Features.of(split, "cpu")
    exact = score_all(head, features, split.caption_video, PROTOCOLS["query"], memory=2**30)
    return split, head, features, exact


@pytest.mark.slow
def test_with_all_videos_as_candidates_the_search_is_the_exact_ranking(parts):
    split, head, features, exact = parts
    search = search_all(head, features, split.caption_video, exact, count=80, memory=2**30)
    own = exact[np.arange(160), split.caption_video]
    assert search.ranks.tolist() == (exact >= own[:, None]).sum(1).tolist()
    assert search.recall == {"top 1": 100, "top 5": 100, "top 10": 100}
    assert search.found == 100


@pytest.mark.slow
def test_candidates_are_scored_as_the_head_scores_them(parts, monkeypatch):
    _, head, features, exact = parts
    rows = np.random.default_rng(0).permuted(np.tile(np.arange(80), (160, 1)), axis=1)[:, :7]
    with monkeypatch.context() as patch:
        patch.setattr(type(head), "few_texts", lambda *_: 0)  # video by video
        found = rescore(head, features, rows, memory=2**30)
    np.testing.assert_allclose(found, np.take_along_axis(exact, rows, 1), atol=2e-6)
    few = Features(features.text[:5], features.visual, features.audio, features.audio_mask)  # scored caption by caption
    np.testing.assert_allclose(rescore(head, few, rows[:5], memory=2**30), found[:5], atol=2e-6)


@pytest.mark.slow
def test_a_video_that_is_no_candidate_takes_the_last_place(parts):
    split, head, features, exact = parts
    search = search_all(head, features, split.caption_video, exact, count=3, memory=2**30)
    assert 0 < search.found < 100
    lost = search.ranks == 80
    assert lost.sum() == round(160 * (1 - search.found / 100))
    assert search.ranks[~lost].max() <= 3
    assert list(search.recall) == ["top 1"]


@pytest.mark.slow
def test_an_evaluation_by_index_tells_recall_of_the_candidates_and_both_times(make_store):
    results = evaluate(store=make_store(videos=80, signal=0.4), preset="gaid", index="faiss", candidates=20)
    found = results.to_dict()["search"]
    assert found["candidates"] == 20
    assert found["recall_of_exact_top"]["top 1"] <= 100
    assert set(found["seconds"]) == {"index", "candidates", "rescoring", "exact"}
    assert found["t2v"]["R@1"] <= results.figures["t2v"].values["R@1"] + 5


def test_a_head_without_video_vectors_can_not_be_indexed(make_store, heads):
    with pytest.raises(OptionInvalid, match="--index exact"):
        evaluate(store=make_store(videos=12), preset=f"{heads}:Constant", index="faiss")


def test_a_tenth_of_a_large_gallery_are_candidates_and_all_of_a_small_one():
    assert [default_candidates(n) for n in (30, 400, 5000, 10**6)] == [30, 50, 500, 1000]
