"""Tiers (plain `pytest` skips what is slow), and a small store of features with heads of a few lines, as a researcher would write them."""

from pathlib import Path

import jaxtyping
import numpy as np
import pytest

from gaid.stores import StorePlan, StoreWriter, open_store

FRAMES, DIM = 12, 64

HEADS = '''
import torch
from torch import nn
from torch.nn.functional import normalize

class Constant(nn.Module):
    """Everything is equally near."""
    def __init__(self, visual_dim, audio_dim, text_dim, dim, frames):
        super().__init__()
    def loss(self, *features):
        raise RuntimeError("not trained")
    def score(self, text, visual, audio, audio_mask=None, **_):
        return torch.zeros(len(text), len(visual))

class Mean(Constant):
    """Cosine with the mean frame; counts what it was asked to score at once."""
    largest = 0
    def score(self, text, visual, audio, audio_mask=None, **_):
        Mean.largest = max(Mean.largest, len(text) * len(visual))
        return normalize(text.float(), dim=-1) @ normalize(visual.float().mean(1), dim=-1).T
'''


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow, as `make test` and CI do")


def pytest_collection_modifyitems(config, items):
    """Slow tests are skipped, with the reason, unless they are asked for by --slow, by -m or by name."""
    if config.option.slow or config.option.markexpr or any("::" in argument for argument in config.args):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


@pytest.fixture
def unchecked(monkeypatch):
    """Annotations are not checked, as outside the tests: for values that an annotation excludes and that the code refuses by itself."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def write_store(path: Path, *, videos=60, captions=1, signal=0.0, silent=0, seed=0, audio_names="shared", random=False,
                texts=None, heard=None, parts=("test",)):  # fmt: skip
    """A store of noise, in which `signal` of each caption's vector is its video's; the last `silent` videos have no sound.

    `heard`: captions are also in the sound's own text space, and so much of each one's vector there is its video's sound.
    `parts`: the videos are dealt out to these in turn.
    """
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(videos, DIM))
    owner = np.repeat(np.arange(videos), captions)
    text = signal * hidden[owner] + rng.normal(size=(len(owner), DIM))
    provenance = {"name": "shared", "dim": DIM, "random_weights": random}
    plan = StorePlan(
        video_ids=[f"clip {number:04d}" for number in range(videos)],
        caption_ids=[f"caption {number}" for number in range(len(owner))],
        caption_texts=list(texts)
        if texts
        else [f"sentence {number}, of clip {one}" for number, one in enumerate(owner)],
        caption_video=owner.tolist(),
        token_offsets=[0] * (len(owner) + 1),
        splits={"main": {part: np.flatnonzero(owner % len(parts) == k).tolist() for k, part in enumerate(parts)}},
        default_protocol="main",
        frames=FRAMES,
        visual_dim=DIM,
        audio_dim=DIM,
        text_dim=DIM,
        audio_text=heard is not None,
        attrs={
            "dataset": {"name": "noise", "root": str(path.parent)},
            "backbones": {"visual": provenance, "audio": {"name": audio_names, "dim": DIM}, "text": provenance},
            "random_weights": random,
        },
        shard_rows=videos,
        chunk_rows=videos,
    )
    mask = np.ones((videos, FRAMES), bool)
    mask[videos - silent :] = False
    visual = signal * hidden[:, None] + rng.normal(size=(videos, FRAMES, DIM))
    sound = rng.normal(size=(videos, FRAMES, DIM))
    spoken = None
    if heard is not None:
        own = np.random.default_rng([seed, 1])
        hidden_sound = own.normal(size=(videos, DIM))
        sound = sound + heard * hidden_sound[:, None]
        spoken = (heard * hidden_sound[owner] + own.normal(size=(len(owner), DIM))).astype(np.float16)
    with StoreWriter.open(path, plan) as writer:
        writer.write_shard(
            0,
            {
                "visual": visual.astype(np.float16),
                "audio": np.where(mask[..., None], sound, 0).astype(np.float16),
                "audio_mask": mask,
                "audio_state": np.where(mask.any(1), 0, 2).astype(np.uint8),
                "valid": np.ones(videos, bool),
                "time": np.tile(np.arange(FRAMES, dtype=np.float32), (videos, 1)),
                "duration": np.full(videos, FRAMES, np.float32),
                "short": np.zeros(videos, bool),
            },
            [],
        )
        writer.write_captions(text.astype(np.float16), np.zeros((0, DIM), np.float16), spoken)
        writer.finish()
    return open_store(path)


@pytest.fixture
def heads(tmp_path):
    """The path of a file of heads, for presets as `FILE:Class`."""
    file = tmp_path / "own_heads.py"
    file.write_text(HEADS)
    return file


@pytest.fixture(scope="session")
def make_store(tmp_path_factory):
    """`write_store` into a folder of its own, once for the same arguments."""
    made = {}

    def make(**options):
        key = tuple(sorted(options.items()))
        if key not in made:
            made[key] = write_store(tmp_path_factory.mktemp("store") / "noise.zarr", **options)
        return made[key]

    return make
