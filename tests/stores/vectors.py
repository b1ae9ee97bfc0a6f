"""A store of vectors that a test chooses: one caption per clip, and one vector per clip or per frame."""

import numpy as np

from gaid.stores import StorePlan, StoreWriter, open_store

FRAMES = 3
SAME = {"visual": {"name": "one"}, "audio": {"name": "another"}, "text": {"name": "one"}}


def write_vectors(
    path,
    visual,
    text,
    *,
    audio=None,
    mask=None,
    valid=None,
    texts=None,
    backbones=SAME,
    captions=True,
    sentences=None,
    **more,
):
    """A store with one caption per clip; each frame of a clip has its vector."""
    clips = len(visual)
    plan = StorePlan(
        video_ids=[f"v{n}" for n in range(clips)], caption_ids=[f"c{n}" for n in range(clips)],
        caption_texts=texts or [f"caption {n}" for n in range(clips)], caption_video=list(range(clips)),
        token_offsets=list(range(clips + 1)), splits={"p": {"test": list(range(clips))}}, default_protocol="p",
        frames=FRAMES, visual_dim=visual.shape[-1], audio_dim=text.shape[-1], text_dim=text.shape[-1],
        attrs={"dataset": {"name": "planted", "root": "data"}, "backbones": backbones, "created": "today"},
        shard_rows=40, chunk_rows=10, **more,
    )  # fmt: skip
    audio = np.zeros((clips, FRAMES, text.shape[-1])) if audio is None else audio
    mask = np.zeros((clips, FRAMES), bool) if mask is None else mask
    valid = np.ones(clips, bool) if valid is None else valid
    whole = {
        "visual": np.repeat(visual[:, None], FRAMES, 1) if visual.ndim == 2 else visual,
        "audio": audio, "audio_mask": mask, "audio_state": np.zeros(clips, np.uint8), "valid": valid,
        "short": np.zeros(clips, bool), "time": np.zeros((clips, FRAMES), np.float32),
        "duration": np.ones(clips, np.float32),
    }  # fmt: skip
    if plan.patches:
        whole["patches"] = np.repeat(whole["visual"][:, :, None], plan.patches[0], 2)
    whole["visual"], whole["audio"] = whole["visual"].astype(np.float16), audio.astype(np.float16)
    with StoreWriter.open(path, plan) as writer:
        if captions:
            writer.write_captions(text, text, sentences)
        for number in writer.pending_shards:
            rows = writer.shard_slice(number)
            failures = [
                {"id": f"v{n}", "reason": "unreadable", "message": ""}
                for n in np.flatnonzero(~valid[rows]) + rows.start
            ]
            writer.write_shard(number, {name: values[rows] for name, values in whole.items()}, failures)
        if captions:
            writer.finish()
    return open_store(path, incomplete=not captions)
