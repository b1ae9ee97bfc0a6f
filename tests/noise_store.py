"""A store of noise of any sizes and backbones, for tests that ask what a head and a store say to one another."""

from pathlib import Path

import numpy as np

from gaid.stores import StorePlan, StoreWriter
from tests.checkpoint_maker import DIM, FRAMES


def write_store(path: Path, audio_dim: int, backbones: dict, clip_tokens: int = 0) -> Path:
    rng = np.random.default_rng(0)
    plan = StorePlan(
        video_ids=[f"clip{number}" for number in range(8)],
        caption_ids=[f"caption{number}" for number in range(8)],
        caption_texts=[f"sentence {number}" for number in range(8)],
        caption_video=list(range(8)),
        token_offsets=[0] * 9,
        splits={"main": {"test": list(range(8))}},
        default_protocol="main",
        frames=FRAMES,
        visual_dim=DIM,
        audio_dim=audio_dim,
        text_dim=DIM,
        audio_clip_tokens=(clip_tokens, audio_dim) if clip_tokens else None,
        attrs={"dataset": {"name": "noise", "root": str(path.parent)}, "backbones": backbones},
        shard_rows=8,
        chunk_rows=8,
    )
    tokens = np.random.default_rng(1).normal(size=(8, clip_tokens, audio_dim)).astype(np.float16)
    with StoreWriter.open(path, plan) as writer:
        for number in writer.pending_shards:
            writer.write_shard(
                number,
                {
                    "visual": rng.normal(size=(8, FRAMES, DIM)).astype(np.float16),
                    "audio": rng.normal(size=(8, FRAMES, audio_dim)).astype(np.float16),
                    "audio_mask": np.ones((8, FRAMES), bool),
                    "audio_state": np.zeros(8, np.uint8),
                    "time": np.zeros((8, FRAMES), np.float32),
                    "duration": np.ones(8, np.float32),
                    "valid": np.ones(8, bool),
                    **({"audio_clip_tokens": tokens} if clip_tokens else {}),
                },
                [],
            )
        writer.write_captions(rng.normal(size=(8, DIM)).astype(np.float16), np.zeros((0, DIM), np.float16))
        writer.finish()
    return path


def named(visual="clip:ViT-B-32/openai", sha256="0" * 64):
    clip = {"name": visual, "sha256": sha256, "random_weights": False}
    return {"visual": clip, "audio": {"name": "clap"}, "text": clip}
