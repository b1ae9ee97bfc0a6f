"""Clips without captions: all valid videos of a store a block at a time, or some of them. What a search goes over."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.stores.split import Split, hash_gallery
from gaid.stores.store import Store

ARRAYS = ("visual", "audio", "audio_mask", "audio_state", "time", "duration")


def valid_rows(store: Store) -> NDArray[np.int64]:
    """Rows of the videos that have features."""
    return np.flatnonzero(store["videos/valid"][:]).astype(np.int64)


def iter_clips(store: Store, count: int) -> Iterator[tuple[NDArray[np.int64], Split]]:
    """All valid videos, at most about `count` at once, with their rows. What is between two of them is read as well."""
    valid = valid_rows(store)
    whole_chunks = max(1, count // store.layout["chunk_rows"]) * store.layout["chunk_rows"]
    for rows in np.split(valid, np.flatnonzero(np.diff(valid // whole_chunks)) + 1):
        if len(rows):
            yield rows, read_clips(store, rows)


def read_clips(store: Store, rows: NDArray[np.int64]) -> Split:
    """Videos of some rows (each once, ascending) as a split that has no captions."""
    arrays: dict[str, Any] = {name: _read(store, f"videos/{name}", rows) for name in ARRAYS}
    video_ids = [store.ids[row] for row in rows]
    return Split(
        part="all clips",
        protocol="none",
        video_ids=video_ids,
        **arrays,
        caption_ids=[],
        caption_texts=[],
        text=np.empty((0, store.text_dim), np.float16),
        caption_video=np.empty(0, np.int64),
        store_fingerprint=store.fingerprint,
        gallery_hash=hash_gallery(video_ids),
        read_patches=partial(_read, store, "videos/patches", rows) if store.patch_shape else None,
        read_audio_tokens=partial(_read, store, "videos/audio_tokens", rows) if store.audio_token_shape else None,
    )


def _read(store: Store, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Some rows of an array; rows that lie further apart than a chunk are read by themselves."""
    array, gaps = store[name], np.flatnonzero(np.diff(rows) > store.layout["chunk_rows"]) + 1
    parts = [array[part[0] : part[-1] + 1][part - part[0]] for part in np.split(rows, gaps) if len(part)]
    return np.concatenate(parts) if parts else np.empty((0, *array.shape[1:]), array.dtype)
