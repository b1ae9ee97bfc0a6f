"""Stores of random features to measure on, written by the project's own writer."""

from pathlib import Path

import numpy as np

from gaid.stores import Store, StorePlan, StoreWriter

BACKBONES = {"visual": {"name": "random"}, "audio": {"name": "random"}, "text": {"name": "random"}}


def plan_store(clips: int, dim: int, frames: int, validation: int = 0, chunk_rows: int = 50) -> StorePlan:
    """A plan of one caption a clip; the last `validation` clips are the part `val`."""
    train = clips - validation
    return StorePlan(
        video_ids=[f"clip{row:07d}" for row in range(clips)],
        caption_ids=[f"caption{row:07d}" for row in range(clips)],
        caption_texts=[f"clip number {row}" for row in range(clips)],
        caption_video=list(range(clips)),
        token_offsets=list(range(clips + 1)),
        splits={"all": {"train": list(range(train)), "val": list(range(train, clips))}},
        default_protocol="all",
        frames=frames,
        visual_dim=dim,
        audio_dim=dim,
        text_dim=dim,
        attrs={"dataset": {"name": "random"}, "backbones": BACKBONES, "sampling": {"frames": frames}},
        shard_rows=4 * chunk_rows,
        chunk_rows=chunk_rows,
    )


def draw_rows(rng: np.random.Generator, clips: int, dim: int, frames: int) -> dict[str, np.ndarray]:
    """The arrays of some clips, as `StoreWriter.write_shard` takes them."""
    return {
        "visual": rng.standard_normal((clips, frames, dim), np.float32).astype(np.float16),
        "audio": rng.standard_normal((clips, frames, dim), np.float32).astype(np.float16),
        "audio_mask": np.ones((clips, frames), bool),
        "audio_state": np.zeros(clips, np.uint8),
        "valid": np.ones(clips, bool),
        "short": np.zeros(clips, bool),
        "time": np.zeros((clips, frames), np.float32),
        "duration": np.full(clips, 10, np.float32),
    }


def write_store(path: Path, clips: int, dim: int, frames: int, validation: int = 0, seed: int = 0) -> Store:
    """A whole store."""
    rng = np.random.default_rng(seed)
    plan = plan_store(clips, dim, frames, validation)
    with StoreWriter.open(path, plan) as writer:
        text = rng.standard_normal((clips, dim), np.float32).astype(np.float16)
        writer.write_captions(text, text)
        for number in writer.pending_shards:
            rows = writer.shard_slice(number)
            writer.write_shard(number, draw_rows(rng, rows.stop - rows.start, dim, frames))
        return writer.finish()
