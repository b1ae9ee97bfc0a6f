"""A toy store of seven clips, and its writing as an extraction that goes on does it."""

import json

import numpy as np

from gaid.stores import StorePlan, StoreWriter


def make_plan(**changes):
    settings = {
        "video_ids": [f"clip {n} ä" for n in range(7)],
        "caption_ids": [f"c{n}" for n in range(8)],
        "caption_texts": ["a red ball", "a bell", "", "ünïcode", "a bell", "x", "y", "z"],
        "caption_video": [0, 1, 2, 3, 4, 5, 6, 6],
        "token_offsets": [0, 3, 5, 5, 6, 8, 9, 10, 11],
        "splits": {"9k": {"train": [0, 1, 2, 3], "val": [4], "test": [5, 6, 7]}, "all": {"test": list(range(8))}},
        "default_protocol": "9k",
        "frames": 3, "visual_dim": 4, "audio_dim": 2, "text_dim": 5,
        "attrs": {"dataset": {"name": "toy"}, "backbones": {"visual": {"name": "tiny"}}, "created": "today"},
        "shard_rows": 2, "chunk_rows": 1,
    }  # fmt: skip
    return StorePlan(**{**settings, **changes})


def shard_arrays(rows, plan, seed):
    random = np.random.default_rng(seed)
    mask = random.random((rows, plan.frames)) > 0.5
    audio = random.standard_normal((rows, plan.frames, plan.audio_dim)).astype(np.float16)
    audio[~mask] = 0
    tokens = {}
    if plan.audio_tokens:
        tokens["audio_tokens"] = random.standard_normal((rows, plan.frames, *plan.audio_tokens)).astype(np.float16)
        tokens["audio_tokens"][~mask] = 0
    if plan.audio_clip_tokens:
        tokens["audio_clip_tokens"] = random.standard_normal((rows, *plan.audio_clip_tokens)).astype(np.float16)
    return {
        "visual": random.standard_normal((rows, plan.frames, plan.visual_dim)).astype(np.float16),
        "audio": audio,
        "audio_mask": mask,
        "audio_state": np.zeros(rows, np.uint8),
        "valid": np.ones(rows, bool),
        "short": np.zeros(rows, bool),
        "time": random.random((rows, plan.frames)).astype(np.float32),
        "duration": np.full(rows, 2, np.float32),
        **tokens,
    }


def fill(path, plan=None, failed=(4,)):
    """Writes what is not written yet, as an extraction that goes on does."""
    plan = plan or make_plan()
    with StoreWriter.open(path, plan) as writer:
        if writer.finished:
            return writer.finish()
        if not writer.captions_done:
            random = np.random.default_rng(99)
            of_sound = random.standard_normal((8, 2)) if plan.audio_text else None
            writer.write_captions(random.standard_normal((8, 5)), random.standard_normal((11, 5)), of_sound)
        for number in writer.pending_shards:
            rows = writer.shard_slice(number)
            arrays = shard_arrays(rows.stop - rows.start, plan, number)
            failures = []
            for row in failed:
                if rows.start <= row < rows.stop:
                    for values in arrays.values():
                        values[row - rows.start] = 0
                    arrays["audio_state"][row - rows.start] = 3
                    failures.append({"id": plan.video_ids[row], "reason": "unreadable", "message": "broken"})
            writer.write_shard(number, arrays, failures)
        return writer.finish()


def edit_attributes(path, change):
    document = json.loads((path / "zarr.json").read_text())
    change(document["attributes"])
    (path / "zarr.json").write_text(json.dumps(document))
