"""Heads without learnt projections, as published heads are: embeddings meet as they are."""

import numpy as np
import pytest
import torch

from gaid.errors import OptionInvalid
from gaid.heads import build_head

DIM, FRAMES = 16, 3
SIZES = {"visual_dim": DIM, "audio_dim": DIM, "text_dim": DIM, "frames": FRAMES}
PRESETS = ["mean-pool", "x-pool", "t-mass", "gaid-sample", "gaid", "avigate"]


def features(texts=5, videos=4):
    generator = torch.Generator().manual_seed(1)
    shapes = ((texts, DIM), (videos, FRAMES, DIM), (videos, FRAMES, DIM))
    return (
        *(torch.randn(shape, generator=generator) for shape in shapes),
        torch.rand((videos, FRAMES), generator=generator) > 0.3,
    )


def test_mean_pool_is_the_mean_of_the_frames_directions_and_nothing_is_trained():
    """CLIP4Clip's meanP, written out."""
    head = build_head("mean-pool", **SIZES, projections=False)
    assert list(head.parameters()) == []
    text, visual, audio, mask = features(texts=4)
    t, v = text.numpy().astype(np.float64), visual.numpy().astype(np.float64)
    frames = v / np.linalg.norm(v, axis=-1, keepdims=True)
    mean = frames.mean(1)
    cosines = (t / np.linalg.norm(t, axis=-1, keepdims=True)) @ (mean / np.linalg.norm(mean, axis=-1, keepdims=True)).T
    np.testing.assert_allclose(head.score(text, visual, audio, mask).numpy(), cosines, atol=1e-6)
    logits = 100 * cosines
    of_texts = np.diag(logits) - np.log(np.exp(logits).sum(1))
    of_videos = np.diag(logits) - np.log(np.exp(logits).sum(0))
    loss = head.loss(text, visual, audio, mask).total.item()
    assert loss == pytest.approx(-(of_texts.mean() + of_videos.mean()) / 2, rel=1e-4)


@pytest.mark.parametrize("preset", PRESETS)
def test_an_untrained_head_scores_as_with_projections_which_start_as_the_identity(preset):
    torch.manual_seed(0)
    learnt = build_head(preset, **SIZES).eval()
    plain = build_head(preset, **SIZES, projections=False).eval()
    missing, unknown = plain.load_state_dict(learnt.state_dict(), strict=False)
    assert missing == []
    theirs = {"visual_proj.weight", "text_proj.weight"}
    assert set(unknown) == theirs | ({"audio_proj.weight"} if preset.startswith("gaid") else set())
    torch.testing.assert_close(plain.score(*features()), learnt.score(*features()), atol=1e-6, rtol=0)


@pytest.mark.parametrize("preset", PRESETS[:-1])
def test_folded_scores_are_the_direct_ones(preset):
    torch.manual_seed(0)
    head = build_head(preset, **SIZES, projections=False).eval()
    for weight in head.parameters():
        weight.data.add_(0.2 * torch.randn_like(weight))
    folded, direct = (head.score(*features(), algorithm=algorithm) for algorithm in ("folded", "direct"))
    torch.testing.assert_close(folded, direct, atol=2e-5, rtol=0)


def test_vectors_for_an_index_give_the_scores():
    head = build_head("mean-pool", **SIZES, projections=False)
    text, visual, audio, mask = features()
    texts = torch.nn.functional.normalize(head.embed_text(text), dim=-1)
    scores = head.score(text, visual, audio, mask)
    torch.testing.assert_close(texts @ head.embed_videos(visual, audio, mask).T, scores, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("preset", "sizes", "words"),
    [
        ("mean-pool", {"visual_dim": 24}, "visual embeddings have 24 numbers, but they would have to meet in 16"),
        ("gaid", {"audio_dim": 12}, "audio embeddings have 12 numbers"),
        ("avigate", {"visual_dim": 24}, "visual embeddings have 24 numbers"),
        ("x-pool", {"dim": 8}, "visual embeddings have 16 numbers and text embeddings have 16 numbers.* meet in 8"),
    ],
)
def test_embeddings_of_several_sizes_need_projections(preset, sizes, words):
    with pytest.raises(OptionInvalid, match=rf"head.projections=false: {words}.*projections=true"):
        build_head(preset, **{**SIZES, **sizes}, projections=False)


@pytest.mark.parametrize("preset", ["x-pool", "avigate"])
def test_audio_that_needs_no_projection_may_have_any_size(preset):
    """x-pool uses no audio; avigate's has a projection in the published head too."""
    build_head(preset, **{**SIZES, "audio_dim": 12}, projections=False)
