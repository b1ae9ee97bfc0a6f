"""AVIGATE's head: agreement with what its published modules gave, and what it does where sound is missing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from gaid.errors import HeadMismatch, OptionInvalid
from gaid.heads import AvigateHead, build_head, load_published
from gaid.heads.losses import info_nce


@pytest.fixture(scope="module")
def numbers():
    """Weights under their published names, inputs and outputs of the published modules on random tensors."""
    with np.load(Path(__file__).parents[1] / "data" / "avigate_reference.npz") as arrays:
        return {name: torch.as_tensor(arrays[name]) for name in arrays.files}


@pytest.fixture(scope="module")
def weights(numbers):
    return {name: value for name, value in numbers.items() if "." in name or name == "query_tokens"}


@pytest.fixture(scope="module")
def head(weights):
    return load_published(weights, num_heads=2)


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    mask = torch.ones(6, 5, dtype=torch.bool)
    mask[1], mask[2, :3] = False, False
    return draw(7, 16), draw(6, 5, 16), draw(6, 5, 16), mask


def test_every_published_number_is_met(head, numbers):
    heard = torch.ones(numbers["audio"].shape[:2], dtype=torch.bool)
    with torch.no_grad():
        fused, attention_gates, mlp_gates = head.fuse(numbers["visual"], numbers["audio"], heard)
        text = functional.normalize(numbers["text"], dim=-1)
        logits = head.logit_scale * head.similarity(text, functional.normalize(fused, dim=-1))
        margin = head.adaptive_margin(text, numbers["visual"])
        loss = info_nce(logits / head.logit_scale + margin, head.logit_scale)
        resampled = head.resample(numbers["audio"], heard)
    for name, found in {
        "resampled_audio": resampled,
        "fused": fused,
        "attention_gates": attention_gates,
        "feed_forward_gates": mlp_gates,
        "margin": margin,
        "loss": loss,
    }.items():
        torch.testing.assert_close(
            found, numbers[name], atol=1e-5, rtol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )
    torch.testing.assert_close(logits, numbers["logits"], atol=0, rtol=1e-4)


def test_a_full_checkpoint_has_more_positions_than_frames(weights, head):
    more = {
        **weights,
        "frame_position_embeddings.weight": torch.cat([weights["frame_position_embeddings.weight"], torch.ones(9, 16)]),
    }
    longer = load_published(more, frames=5, num_heads=2)
    for name, value in head.state_dict().items():
        assert torch.equal(value, longer.state_dict()[name]), name


def test_a_checkpoint_that_lacks_weights_or_has_strange_ones_is_refused(weights):
    lacking = {name: value for name, value in weights.items() if "attn_gate.ag_fc" not in name}
    with pytest.raises(HeadMismatch, match=r"lacks weights of avigate: fusion\.0\.attention_gate\.0\.weight"):
        load_published(lacking, num_heads=2)
    with pytest.raises(
        HeadMismatch, match=r"belong to no published head: transformerClip\.resblocks\.0\.other\.weight"
    ):
        load_published({**weights, "transformerClip.resblocks.0.other.weight": torch.ones(1)}, num_heads=2)


def test_what_is_not_heard_does_not_count(head, inputs):
    text, visual, audio, mask = inputs
    scores = head.score(text, visual, audio, mask)
    assert torch.isfinite(scores).all()
    torch.testing.assert_close(head.score(text, visual, torch.where(mask[..., None], audio, 1e3), mask), scores)
    other = audio.clone()
    other[1] = 5.0
    torch.testing.assert_close(head.score(text, visual, other, mask)[:, 1], scores[:, 1])


def test_a_video_without_sound_has_gates_of_zero(head, inputs):
    _, visual, audio, mask = inputs
    with torch.no_grad():
        _, attention_gates, mlp_gates = head.fuse(*head.project_videos(visual, audio, mask))
    assert (attention_gates[:, 1] == 0).all()
    assert (mlp_gates[:, 1] == 0).all()
    assert (attention_gates[:, 0] != 0).all()


def test_blocks_do_not_change_scores_and_neither_do_captions_of_the_gallery(head, inputs):
    text, visual, audio, mask = inputs
    whole = head.score(text, visual, audio, mask)
    torch.testing.assert_close(head.score(text, visual, audio, mask, memory=1), whole)
    own = torch.zeros(6, dtype=torch.long)
    assert torch.equal(
        head.score(text, visual, audio, mask, gate_by="own_caption", pool_by="own_caption", own_caption=own), whole
    )


def test_training_has_gradients_for_every_part(inputs):
    text, visual, audio, mask = inputs
    head = build_head("avigate", visual_dim=16, audio_dim=16, text_dim=16, frames=5, layers=1, queries=3)
    head.loss(text[:6], visual, audio, mask).total.backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_its_queries_can_learn_at_another_rate():
    assert AvigateHead(16, 16, 16, query_rate=100.0).rates == {"queries": 100.0}
    assert AvigateHead(16, 16, 16).rates == {"queries": 1.0}
    with pytest.raises(OptionInvalid, match="must be above 0"):
        AvigateHead(16, 16, 16, query_rate=0.0)


def test_a_dimension_that_heads_cannot_share_is_refused():
    with pytest.raises(OptionInvalid, match="is not a multiple of 3 attention heads"):
        AvigateHead(16, 16, 16, attention_heads=3)


def test_frames_of_another_number_are_refused(head, inputs):
    text, visual, audio, mask = inputs
    with pytest.raises(HeadMismatch, match="it takes"):
        head.score(text, visual[:, :4], audio[:, :4], mask[:, :4])


@pytest.fixture
def tokens():
    """Four tokens a frame, of another size than the embeddings have."""
    return torch.randn(6, 5, 4, 10, generator=torch.Generator().manual_seed(4))


@pytest.fixture
def of_tokens():
    torch.manual_seed(2)
    sizes = {"visual_dim": 16, "audio_dim": 10, "text_dim": 16, "frames": 5}
    return build_head("avigate", **sizes, layers=2, queries=3, audio_input="tokens").eval()


def test_a_clips_tokens_are_all_read_as_one_sequence(of_tokens, inputs, tokens):
    _, visual, _, _ = inputs
    heard = torch.ones(6, 5, dtype=torch.bool)
    with torch.no_grad():
        seen, sound, mask = of_tokens.project_videos(visual, tokens, heard)
        direct = of_tokens.fuse(of_tokens.visual_proj(visual), of_tokens.audio_proj(tokens.flatten(1, 2)), mask)[0]
        torch.testing.assert_close(of_tokens.fuse(seen, sound, mask)[0], direct)
    assert sound.shape[:2] == mask.shape == (6, 20)


def test_one_token_a_frame_is_an_embedding_a_frame(head, inputs):
    text, visual, audio, mask = inputs
    same = AvigateHead(**{**head.config, "audio_input": "tokens"}).eval()
    same.load_state_dict(head.state_dict())
    torch.testing.assert_close(same.score(text, visual, audio[:, :, None], mask), head.score(text, visual, audio, mask))
    torch.testing.assert_close(
        same.embed_videos(visual, audio[:, :, None], mask), head.embed_videos(visual, audio, mask)
    )


def test_tokens_of_a_frame_without_sound_are_never_read(of_tokens, inputs, tokens):
    text, visual, _, mask = inputs
    scores = of_tokens.score(text, visual, tokens, mask)
    assert torch.isfinite(scores).all()
    other = torch.where(mask[..., None, None], tokens, torch.nan)
    torch.testing.assert_close(of_tokens.score(text, visual, other, mask), scores)
    # Ragged: what is left of the third clip is its two sounding frames' eight tokens, wherever they stand.
    with torch.no_grad():
        whole = of_tokens.resample(*of_tokens.project_videos(visual[2:3], tokens[2:3], mask[2:3])[1:])
        few = of_tokens.resample(*of_tokens.project_videos(visual[2:3, 3:], tokens[2:3, 3:], mask[2:3, 3:])[1:])
    torch.testing.assert_close(whole, few)


def test_blocks_of_tokens_do_not_change_scores_or_embeddings(of_tokens, inputs, tokens):
    text, visual, _, mask = inputs
    whole = of_tokens.score(text, visual, tokens, mask)
    torch.testing.assert_close(of_tokens.score(text, visual, tokens, mask, memory=1), whole)
    one_by_one = torch.cat([of_tokens.embed_videos(visual[[n]], tokens[[n]], mask[[n]]) for n in range(6)])
    torch.testing.assert_close(of_tokens.embed_videos(visual, tokens, mask), one_by_one)


def test_training_on_tokens_has_gradients_for_every_part(of_tokens, inputs, tokens):
    text, visual, _, mask = inputs
    of_tokens.train().loss(text[:6], visual, tokens, mask).total.backward()
    for name, parameter in of_tokens.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.fixture
def of_clips():
    torch.manual_seed(2)
    sizes = {"visual_dim": 16, "audio_dim": 10, "text_dim": 16, "frames": 5}
    return build_head("avigate", **sizes, layers=2, queries=3, audio_input="clip").eval()


@pytest.fixture
def clip_tokens():
    """Eleven tokens a clip, of another size than the embeddings have."""
    return torch.randn(6, 11, 10, generator=torch.Generator().manual_seed(4))


def test_tokens_of_a_whole_clip_are_all_read_where_any_frame_has_sound(of_clips, inputs, clip_tokens):
    text, visual, _, mask = inputs
    with torch.no_grad():
        _, sound, heard = of_clips.project_videos(visual, clip_tokens, mask)
    assert heard.tolist() == [[row != 1] * 11 for row in range(6)]  # the second clip has no sound
    torch.testing.assert_close(sound[[0, 2]], of_clips.audio_proj(clip_tokens[[0, 2]]))
    scores = of_clips.score(text, visual, clip_tokens, mask)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(of_clips.score(text, visual, clip_tokens[:, order], mask), scores)
    torch.testing.assert_close(of_clips.score(text, visual, clip_tokens, mask, memory=1), scores)
    torch.testing.assert_close(
        of_clips.embed_videos(visual, clip_tokens, mask),
        torch.cat([of_clips.embed_videos(visual[[n]], clip_tokens[[n]], mask[[n]]) for n in range(6)]),
    )


def test_gates_of_a_clip_without_sound_are_closed_or_stay_open_as_published(of_clips, inputs, clip_tokens):
    text, visual, _, mask = inputs
    closed = of_clips.score(text, visual, clip_tokens, mask)
    other = clip_tokens.clone()
    other[1] = 9
    torch.testing.assert_close(of_clips.score(text, visual, other, mask), closed)
    open_head = AvigateHead(**{**of_clips.config, "gates_without_audio": "open"}).eval()
    open_head.load_state_dict(of_clips.state_dict())
    opened = open_head.score(text, visual, clip_tokens, mask)
    others = [row for row in range(6) if row != 1]
    torch.testing.assert_close(opened[:, others], closed[:, others])
    assert not torch.isclose(opened[:, 1], closed[:, 1]).any()
    assert not torch.isclose(open_head.score(text, visual, other, mask)[:, 1], opened[:, 1]).any()
    torch.testing.assert_close(opened, open_head.score(text, visual, clip_tokens, torch.ones_like(mask)))
    with pytest.raises(OptionInvalid, match="needs audio_input=clip"):
        AvigateHead(16, 16, 16, gates_without_audio="open")


def test_sound_of_the_other_kind_is_refused(unchecked, of_tokens, head, inputs, tokens):
    text, visual, audio, mask = inputs
    with pytest.raises(HeadMismatch, match="takes tokens as its audio"):
        of_tokens.score(text, visual, audio, mask)
    with pytest.raises(HeadMismatch, match="takes frames as its audio"):
        head.score(text, visual, tokens, mask)
    with pytest.raises(HeadMismatch, match="audio 9; it takes"):
        of_tokens.score(text, visual, tokens[..., :9], mask)
    with pytest.raises(OptionInvalid, match="audio_input 'words'"):
        AvigateHead(16, 16, 16, audio_input="words")
