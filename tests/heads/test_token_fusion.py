"""Fusion of patch tokens: each token has a gate, and a frame is the mean of its fused tokens."""

import pytest
import torch

from gaid.errors import HeadMismatch
from gaid.heads import build_head

DIM, FRAMES, PATCHES = 8, 3, 5


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    mask = torch.ones(6, FRAMES, dtype=torch.bool)
    mask[1], mask[2, 0] = False, False
    return draw(7, DIM), draw(6, FRAMES, PATCHES, DIM), draw(6, FRAMES, DIM), mask


def head(preset="gaid-token", **parts):
    torch.manual_seed(1)
    built = build_head(preset, visual_dim=DIM, audio_dim=DIM, text_dim=DIM, frames=FRAMES, **parts)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return built.eval()


def test_a_fused_frame_is_the_mean_of_its_fused_tokens(inputs):
    text, patches, audio, mask = inputs
    built = head(perturbation="none", pooling="mean")
    gate = built.gate(built.embed_text(text), *built.project_videos(patches, audio, mask))
    seen, heard, _ = built.project_videos(patches, audio, mask)
    fused = (gate[..., None] * heard[:, :, None] + (1 - gate[..., None]) * seen).mean(3)
    pooled = torch.nn.functional.normalize(fused, dim=-1).mean(2)
    expected = torch.cosine_similarity(built.embed_text(text)[:, None], pooled, dim=-1)
    torch.testing.assert_close(built.score(text, patches, audio, mask), expected, atol=1e-5, rtol=0)


def test_tokens_that_are_all_alike_are_frames(inputs):
    text, patches, audio, mask = inputs
    alike = patches[:, :, :1].expand(-1, -1, PATCHES, -1)
    token, frame = head(), head("gaid")
    frame.load_state_dict(token.state_dict())
    for protocol in ("query", "own_caption"):
        by = {"gate_by": protocol, "pool_by": protocol, "own_caption": torch.arange(6)}
        torch.testing.assert_close(
            token.score(text, alike, audio, mask, **by),
            frame.score(text, patches[:, :, 0], audio, mask, **by),
            atol=1e-5,
            rtol=0,
        )
    told, of_frames = token.explain(text, alike, audio, mask), frame.explain(text, patches[:, :, 0], audio, mask)
    torch.testing.assert_close(told.gate, of_frames.gate, atol=1e-5, rtol=0)
    torch.testing.assert_close(told.attention, of_frames.attention, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        token.embed_videos(alike, audio, mask), frame.embed_videos(patches[:, :, 0], audio, mask), atol=1e-5, rtol=0
    )


def test_what_is_not_heard_does_not_count(inputs):
    text, patches, audio, mask = inputs
    built = head()
    other = torch.where(mask[..., None], audio, 100.0)
    torch.testing.assert_close(built.score(text, patches, audio, mask), built.score(text, patches, other, mask))
    assert (built.explain(text, patches, audio, mask).gate[:, 1] == 0).all()


@pytest.mark.parametrize("perturbation", ["none", "stp", "dasp"])
def test_blocks_do_not_change_scores(inputs, perturbation):
    text, patches, audio, mask = inputs
    built = head(perturbation=perturbation)
    whole = built.score(text, patches, audio, mask)
    torch.testing.assert_close(built.score(text, patches, audio, mask, memory=1), whole, atol=1e-6, rtol=0)


def test_training_has_gradients_for_every_part(inputs):
    text, patches, audio, mask = inputs
    built = head().train()
    built.loss(text[:6], patches, audio, mask).total.backward()
    for name, parameter in built.named_parameters():
        if name == "pooling.key.bias":  # it moves all of a pair's logits alike, and is never looked at
            continue
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert built.gate.linear.weight.grad.abs().sum() > 0


def test_frames_for_a_head_of_tokens_are_refused_and_the_other_way_round(inputs):
    text, patches, audio, mask = inputs
    with pytest.raises(HeadMismatch, match="takes patches"):
        head().score(text, patches[:, :, 0], audio, mask)
    with pytest.raises(HeadMismatch, match="takes frames"):
        head("gaid").score(text, patches, audio, mask)
