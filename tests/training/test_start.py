"""A head that starts as its text encoder's first blocks."""

from pathlib import Path

import pytest
import torch

from gaid.backbones import load_text
from gaid.errors import OptionInvalid
from gaid.extract.sources import as_json
from gaid.heads import build_head
from gaid.stores import Store, open_store
from gaid.training.start import start_as_text
from tests.checkpoint_maker import DIM, FRAMES, MODEL, register_small_clip
from tests.noise_store import named, write_store


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A small CLIP at random weights, which open_clip knows."""
    register_small_clip(tmp_path_factory.mktemp("open_clip"))
    return load_text(f"clip:{MODEL}/openai", random_weights=True)


def store_of(folder: Path, text) -> Store:
    return open_store(write_store(folder / "s.zarr", DIM, {**named(), "text": as_json(text.provenance)}))


def head_of(dim: int = DIM, layers: int = 2):
    torch.manual_seed(3)
    return build_head("avigate", visual_dim=DIM, audio_dim=DIM, text_dim=DIM, dim=dim, frames=FRAMES, layers=layers)


def test_both_stacks_and_the_frames_positions_start_as_clips_text_blocks(clip, tmp_path):
    head, before = head_of(), head_of()
    state = torch.random.get_rng_state()
    start_as_text(head, store_of(tmp_path, clip))
    assert torch.equal(torch.random.get_rng_state(), state)
    theirs = clip._tower.transformer.resblocks
    for stack in (head.resampler, head.fusion):
        for ours, text in zip(stack, theirs, strict=False):
            torch.testing.assert_close(ours.attention.in_proj_weight, text.attn.in_proj_weight)
            torch.testing.assert_close(ours.attention.out_proj.bias, text.attn.out_proj.bias)
            torch.testing.assert_close(ours.norm_attention.weight, text.ln_1.weight)
            torch.testing.assert_close(ours.norm_mlp.bias, text.ln_2.bias)
            torch.testing.assert_close(ours.mlp[0].weight, text.mlp.c_fc.weight)
            torch.testing.assert_close(ours.mlp[2].weight, text.mlp.c_proj.weight)
    torch.testing.assert_close(head.frame_positions, clip._tower.positional_embedding[:FRAMES])
    # What a text block has not stays as it was drawn.
    torch.testing.assert_close(head.queries, before.queries)
    torch.testing.assert_close(head.fusion[0].cross_mlp[0].weight, before.fusion[0].cross_mlp[0].weight)
    torch.testing.assert_close(
        head.fusion[0].cross_attention.in_proj_weight, before.fusion[0].cross_attention.in_proj_weight
    )


def test_a_head_with_more_blocks_than_the_text_encoder_draws_the_rest(clip, tmp_path):
    head, before = head_of(layers=4), head_of(layers=4)
    start_as_text(head, store_of(tmp_path, clip))  # which has three
    assert not torch.equal(head.fusion[2].mlp[0].weight, before.fusion[2].mlp[0].weight)
    torch.testing.assert_close(head.fusion[3].mlp[0].weight, before.fusion[3].mlp[0].weight)


def test_what_can_not_start_so_is_one_line(clip, tmp_path):
    store = store_of(tmp_path, clip)
    with pytest.raises(OptionInvalid, match=r"64 wide, the head 32; set head\.dim=64"):
        start_as_text(head_of(dim=32), store)
    gated = build_head("x-pool", visual_dim=DIM, audio_dim=DIM, text_dim=DIM, frames=FRAMES)
    with pytest.raises(OptionInvalid, match="only avigate has"):
        start_as_text(gated, store)
