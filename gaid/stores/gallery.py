"""Clips of a store in memory, without captions: some of them, or all valid ones in blocks. What a search goes over."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gaid.stores.reader import StoreReader
from gaid.stores.split import Split, hash_gallery

ARRAYS = ("visual", "audio", "audio_mask", "audio_state", "time", "duration")


def valid_rows(store: StoreReader) -> NDArray[np.int64]:
    """Rows of the videos that have features."""
    return np.flatnonzero(store.valid).astype(np.int64)


def iter_clips(
    store: StoreReader, count: int, rows: NDArray[np.int64] | None = None
) -> Iterator[tuple[NDArray[np.int64], Split]]:
    """All valid videos, or those of `rows` (each once, ascending), at most about `count` at once, with their rows."""
    valid = valid_rows(store) if rows is None else rows
    whole_chunks = max(1, count // store.layout["chunk_rows"]) * store.layout["chunk_rows"]
    for some in np.split(valid, np.flatnonzero(np.diff(valid // whole_chunks)) + 1):
        if len(some):
            yield some, read_clips(store, some)


def read_clips(store: StoreReader, rows: NDArray[np.int64]) -> Split:
    """Videos of some rows (each once, ascending) as a split that has no captions."""
    video_ids = [store.ids[row] for row in rows]
    return Split(
        part="all clips",
        protocol="none",
        video_ids=video_ids,
        **{name: store.rows(f"videos/{name}", rows) for name in ARRAYS},  # type: ignore[arg-type]
        caption_ids=[],
        caption_texts=[],
        text=np.empty((0, store.text_dim), np.float16),
        audio_text=np.empty((0, store.audio_dim), np.float16) if store.has_audio_text else None,
        caption_video=np.empty(0, np.int64),
        store_fingerprint=store.fingerprint,
        gallery_hash=hash_gallery(video_ids),
        read_patches=partial(store.rows, "videos/patches", rows) if store.patch_shape else None,
        read_audio_tokens=partial(store.rows, "videos/audio_tokens", rows) if store.audio_token_shape else None,
        read_audio_clip_tokens=(
            partial(store.rows, "videos/audio_clip_tokens", rows) if store.audio_clip_token_shape else None
        ),
    )
