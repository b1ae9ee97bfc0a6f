"""Which of its own captions a gallery video reads under the published protocol where it has several."""

import json

import numpy as np
import pytest
import torch

from gaid import evaluate
from gaid.errors import HeadMismatch, OptionInvalid
from gaid.evaluation.conditioning import PROTOCOLS, captions_of_place, places_of
from gaid.evaluation.scoring import score_all
from gaid.heads import adapt, build_head
from gaid.heads.features import Features
from gaid.report.tables import findings

VIDEOS, FRAMES, DIM = 7, 4, 8


def make(preset, owner, seed=0):
    """A head with random weights, and features of noise; `owner` (captions) is each caption's video."""
    torch.manual_seed(seed)
    head = build_head(preset, visual_dim=DIM, audio_dim=DIM, text_dim=DIM, dim=DIM, frames=FRAMES).eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    videos = int(owner.max()) + 1
    return head, Features(
        torch.randn(len(owner), DIM),
        torch.randn(videos, FRAMES, DIM),
        torch.randn(videos, FRAMES, DIM),
        torch.ones(videos, FRAMES, dtype=torch.bool),
    )


def score_one(head, asking, gating, pooling, visual, audio):
    """The score of one text with one video, from the head's weights: the gate of `gating`, the attention of `pooling`."""
    asking, gating, pooling = (head.embed_text(one[None]) for one in (asking, gating, pooling))
    fused, heard, _ = head.project_videos(visual[None], audio[None], torch.ones(1, FRAMES, dtype=torch.bool))
    if head.uses_audio:
        joined = torch.cat([fused, heard, gating.expand(1, FRAMES, DIM)], dim=-1)
        gate = torch.sigmoid(head.gate.linear(joined))
        fused = gate * heard + (1 - gate) * fused
    pooled = head.pooling(pooling[:, None], fused[None])[0, 0]
    if head.perturbation.moves:
        std = head.perturbation.deviation(asking[:, None], fused[None]).exp()[0, 0]
        asking = asking + head.perturbation.alpha * std
    return torch.cosine_similarity(asking[0], pooled, dim=0)


@torch.no_grad()
def restated(head, features, owner, gate_by, pool_by):
    """Each score by itself, paired as the published function pairs them.

    A video is gated by its own first caption and pooled by its own caption of the asking one's place (by its first where it
    has no such one), or by the asking text where the protocol says so.
    """
    rows = {video: [row for row, one in enumerate(owner) if one == video] for video in range(int(owner.max()) + 1)}
    scores = np.empty((len(owner), len(rows)))
    for row, asked_by in enumerate(owner):
        place = rows[asked_by].index(row)
        for video, own in rows.items():
            gating = own[0] if gate_by == "own_caption" else row
            pooling = row
            if pool_by == "own_caption":
                pooling = own[place] if place < len(own) else own[0]
            texts = [features.text[one] for one in (row, gating, pooling)]
            scores[row, video] = score_one(head, *texts, features.visual[video], features.audio[video])
    return scores


ALIKE = np.repeat(np.arange(VIDEOS), 2)
MIXED = np.array([0, 1, 2, 3, 4, 5, 6, 2, 2, 0, 5, 0, 0, 6])


@pytest.mark.slow
@pytest.mark.parametrize("owner", [ALIKE, MIXED], ids=["as many of each", "unequal numbers"])
@pytest.mark.parametrize("preset", ["x-pool", "gaid"])
@pytest.mark.parametrize("protocol", ["published", "published-pooling", "published-gate"])
def test_the_same_place_is_pooled_as_the_published_function_does(owner, preset, protocol):
    head, features = make(preset, owner)
    by = PROTOCOLS[protocol]
    expected = restated(head, features, owner, by.gate_by, by.pool_by)
    for memory in (2**30, 3000):
        found = score_all(head, features, owner, by, memory=memory, reads="same")
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_first_captions_score_as_ever_and_second_ones_as_if_every_video_had_read_its_second():
    owner = np.array([0, 0, 1, 1])
    head, features = make("x-pool", owner)
    first = score_all(head, features, owner, PROTOCOLS["published"], memory=2**30, reads="first")
    same = score_all(head, features, owner, PROTOCOLS["published"], memory=2**30, reads="same")
    asking_first, asking_second = np.array([0, 2]), np.array([1, 3])
    np.testing.assert_allclose(first[asking_first], same[asking_first], atol=1e-6)
    second = score_all(head, features, owner, PROTOCOLS["published"], memory=2**30, own_caption=np.array([1, 3]))
    np.testing.assert_allclose(same[asking_second], second[asking_second], atol=1e-6)
    assert np.abs(first[asking_second] - same[asking_second]).max() > 0.01


def test_places_follow_the_order_of_captions():
    assert places_of(MIXED).tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 2, 1, 1, 2, 3, 1]
    assert captions_of_place(2, MIXED, VIDEOS).tolist() == [11, 1, 8, 3, 4, 5, 6]


@pytest.mark.slow
def test_results_say_which_caption_was_read(make_store):
    store = make_store(videos=40, captions=3)
    first = evaluate(store=store, preset="x-pool", protocol="published")
    same = evaluate(store=store, preset="x-pool", protocol="published", own_caption="same")
    assert first.leak.figures["t2v"].values != same.leak.figures["t2v"].values
    assert first.figures["t2v"].values == same.figures["t2v"].values
    told = json.loads(json.dumps(same.to_dict()))["leak"]
    assert told["own_caption"] == "same"
    assert "pooled by its own k-th caption" in told["own_caption_meaning"]
    assert any("pooled by its own k-th caption" in line for line in findings(same))
    assert first.to_dict()["leak"]["own_caption"] == "first"
    assert any("each gallery video has read its first caption" in line for line in findings(first))


def test_of_one_caption_per_video_both_are_the_same(make_store):
    store = make_store(videos=30)
    first, same = (
        evaluate(store=store, preset="gaid", protocol="published", own_caption=which) for which in ("first", "same")
    )
    assert first.leak.figures["t2v"].values == same.leak.figures["t2v"].values


def test_it_is_refused_where_no_own_caption_pools(make_store, unchecked):
    store = make_store(videos=30)
    with pytest.raises(OptionInvalid, match="--own-caption same names the caption that pools"):
        evaluate(store=store, preset="gaid", own_caption="same")
    with pytest.raises(OptionInvalid, match="--own-caption 'last' is none of first, same"):
        evaluate(store=store, preset="gaid", protocol="published", own_caption="last")


def test_a_head_that_can_not_pool_by_another_caption_is_refused():
    class Plain(torch.nn.Module):
        def loss(self, *features):
            raise RuntimeError("not trained")

        def score(self, text, visual, audio, audio_mask=None, *, gate_by, pool_by, own_caption, memory, seed):
            return torch.zeros(len(text), len(visual))

    owner = np.array([0, 0, 1, 1])
    _, features = make("x-pool", owner)
    with pytest.raises(HeadMismatch, match=r"Plain.score takes no pool_caption"):
        score_all(adapt(Plain()), features, owner, PROTOCOLS["published"], memory=2**30, reads="same")
