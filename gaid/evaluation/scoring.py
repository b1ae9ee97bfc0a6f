"""Scores of all (caption, video) pairs of a split in bounded memory, and ranks from them block by block.

Heads score a block of videos with all captions; how they work within a block is up to them. The matrix is kept in memory
where it fits a quarter of the budget, else in a temporary file.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.special import softmax

from gaid import metrics
from gaid.errors import HeadMismatch, OptionInvalid
from gaid.evaluation.conditioning import OwnCaption, Protocol, captions_of_place, first_captions, places_of
from gaid.heads import Head
from gaid.heads.base import Noise
from gaid.heads.features import Features

Over = Literal["texts", "videos"]
DualSoftmax = Literal["published", "per-direction"]
DUAL_SOFTMAX: dict[DualSoftmax, str] = {
    "published": "score x softmax(100 x score) over all test texts, in both directions, as T-MASS's and GAID's code has it",
    "per-direction": "score x softmax(100 x score) over all test queries of the direction, known at once",
}
"""Forms of the second softmax. `published` keeps the order of video to text, except for scores below 0 and several captions."""

DUAL_SCALE = 100.0
"""The factor of scores before the second softmax in the published scripts."""


@torch.inference_mode()
def score_all(
    head: Head,
    features: Features,
    caption_video: Int[np.ndarray, " captions"],
    protocol: Protocol,
    *,
    memory: int,
    seed: int = 0,
    own_caption: Int[np.ndarray, " videos"] | None = None,
    reads: OwnCaption = "first",
    noise: Noise | None = None,
) -> Float[np.ndarray, "captions videos"]:
    """Scores of all pairs, float32, under a protocol.

    `own_caption`: the row of the caption that each video reads where the protocol lets it; its first by default.
    `reads="same"` pools each video by its own k-th caption for k-th captions, which are then scored place by place.
    `noise`: how the trials of a head are drawn (`conditioning.NOISES`); as the protocol has it by default.
    `memory` bounds in bytes what is held beside the features: an eighth for a block's scores, an eighth for its widened
    features, half for the head, and a quarter for the matrix, which goes to a temporary file where it is larger.
    """
    captions, videos = len(features.text), len(features.visual)
    scores = _matrix(captions, videos, in_memory=captions * videos * 4 <= memory // 4)
    if own_caption is None:
        own_caption = first_captions(caption_video, videos)
    by_place = reads == "same" and protocol.pool_by == "own_caption"
    places = places_of(caption_video) if by_place else np.zeros(captions, np.int64)
    pooled_by = [captions_of_place(place, caption_video, videos) for place in range(int(places.max(initial=0)) + 1)]
    options: dict[str, Any] = {"gate_by": protocol.gate_by, "pool_by": protocol.pool_by, "seed": seed}
    options["memory"] = memory // 2
    if head.has_trials:
        options["noise"] = noise or protocol.noise
    for rows in _blocks(videos, min(memory // 8 // (4 * max(captions, 1)), memory // 8 // features.bytes_per_video)):
        if len(pooled_by) == 1:
            own = torch.from_numpy(own_caption[rows]).to(features.text.device)
            options["own_caption"] = own if protocol.gallery_reads_captions else None
            if head.has_trials:
                options["video_rows"] = torch.arange(rows.start, rows.stop)
            scores[:, rows] = head.score(features.text, *features.videos(rows), **options).float().cpu().numpy()
            continue
        for place, pooling in enumerate(pooled_by):
            asking = np.flatnonzero(places == place)
            gating = own_caption[rows] if protocol.gate_by == "own_caption" else pooling[rows]
            scores[asking, rows] = _score_place(head, features, rows, asking, gating, pooling[rows], options)
    return scores


def _score_place(
    head: Head,
    features: Features,
    rows: slice,
    asking: Int[np.ndarray, " asking"],
    gating: Int[np.ndarray, " block"],
    pooling: Int[np.ndarray, " block"],
    options: dict[str, Any],
) -> Float[np.ndarray, "asking block"]:
    """Scores (asking, rows) where one caption of a video gates it and another pools it; only the texts needed are passed."""
    texts = np.union1d(asking, np.concatenate([gating, pooling]))
    device = features.text.device
    gate, pool = (torch.from_numpy(np.searchsorted(texts, one)).to(device) for one in (gating, pooling))
    options = options | {"own_caption": gate}
    if "noise" in options:
        options |= {"text_rows": torch.from_numpy(texts), "video_rows": torch.arange(rows.start, rows.stop)}
    if (gating != pooling).any():
        if not head.scores_by_pool_caption:
            raise HeadMismatch(
                f"{type(head).__name__}.score takes no pool_caption, by which --own-caption same pools a video by another "
                "of its captions than the one that gates it; add it, or leave --own-caption at first"
            )
        options["pool_caption"] = pool
    block = head.score(features.text[torch.from_numpy(texts).to(device)], *features.videos(rows), **options)
    found: np.ndarray = block.float().cpu().numpy()
    return found[np.searchsorted(texts, asking)]


def ranks_of(
    scores: Float[np.ndarray, "captions videos"],
    caption_video: Int[np.ndarray, " captions"],
    direction: str,
    *,
    memory: int,
    ties: metrics.Ties = "against",
) -> Float[np.ndarray, " queries"]:
    """`metrics.ranks` of a matrix that may not fit into memory: the same numbers, one block of queries at a time.

    Every video of a split has a caption. Video to text, a list has each video once, at the place of its best caption, so the
    lists are the columns of the matrix "best score of the captions of video i with video j".
    """
    if direction == "t2v":
        lists, own = scores, np.asarray(caption_video)
    else:
        lists, own = best_of_captions(scores, caption_video, memory).T, np.arange(scores.shape[1])
    # Finding NaN, comparing and counting take a few bytes per score beside the block itself.
    blocks = _blocks(len(own), memory // (16 * lists.shape[1]))
    return np.concatenate([metrics.ranks(np.array(lists[rows]), own[rows], "t2v", ties) for rows in blocks])


def best_of_captions(
    scores: Float[np.ndarray, "captions videos"], caption_video: Int[np.ndarray, " captions"], memory: int
) -> Float[np.ndarray, "videos videos"]:
    """(videos, videos): the best score of a caption of video i with video j."""
    captions, videos = scores.shape
    best = _matrix(videos, videos, videos * videos * scores.itemsize <= memory // 4, scores.dtype)
    order = np.argsort(caption_video, kind="stable")
    starts = np.searchsorted(caption_video[order], np.arange(videos))
    for columns in _blocks(videos, memory // (16 * captions)):
        best[:, columns] = np.maximum.reduceat(scores[:, columns][order], starts, axis=0)
    return best


def select(
    scores: Float[np.ndarray, "captions videos"],
    rows: Int[np.ndarray, " rows"],
    columns: Int[np.ndarray, " columns"],
    memory: int,
) -> Float[np.ndarray, "rows columns"]:
    """A part of a matrix of scores, in memory or in a temporary file by the same rule as the whole."""
    part = _matrix(len(rows), len(columns), in_memory=len(rows) * len(columns) * 4 <= memory // 4)
    for block in _blocks(len(rows), memory // (16 * scores.shape[1])):
        part[block] = scores[rows[block]][:, columns]
    return part


def dual_softmax(
    scores: np.ndarray,
    over: Over,
    groups: Sequence[np.ndarray] | None = None,
    *,
    memory: int,
    scale: float = DUAL_SCALE,
) -> np.ndarray:
    """Score x softmax(scale x score) over `texts` or over `videos`, float64 of the same shape.

    Over texts, a video that scores high for many of them counts less for each, so every text is ranked with the help of the
    others. `groups`: rows (of texts, or of videos) whose softmax is taken together, each row in one group; all by default.
    The softmax of a single row is 1, which leaves its scores unchanged.
    """
    queries = scores if over == "texts" else scores.T
    count, items = queries.shape
    rows, width = scores.shape
    out = _matrix(rows, width, 8 * scores.size <= memory // 4, np.float64)
    turned = out if over == "texts" else out.T
    # In double precision: exp(100 x a difference of scores) underflows in float32, and zeros would be ties.
    for columns in _blocks(items, memory // (40 * count)):
        block = np.asarray(queries[:, columns], np.float64)
        for group in [np.arange(count)] if groups is None else groups:
            of_group = block[group]
            turned[group, columns] = of_group * softmax(scale * of_group, axis=0)
    return out


def random_groups(count: int, size: int, seed: int = 0) -> list[np.ndarray]:
    """Queries in random groups whose sizes differ by one at most, each query in one group."""
    order = np.random.default_rng([seed, 23]).permutation(count)
    return [np.sort(group) for group in np.array_split(order, max(1, round(count / max(1, size))))]


def best_videos(
    scores: Float[np.ndarray, "captions videos"], count: int, *, memory: int
) -> tuple[Int[np.ndarray, "captions best"], Float[np.ndarray, "captions best"]]:
    """Rows (captions, count) of the best videos of each caption, best first, and their scores."""
    captions, videos = scores.shape
    count = min(count, videos)
    rows_found, scores_found = [], []
    for rows in _blocks(captions, memory // (videos * 32)):
        block = np.array(scores[rows])
        # A copy: a view would keep every block's whole order alive.
        order = np.argsort(-block, axis=1, kind="stable")[:, :count].copy()
        rows_found.append(order)
        scores_found.append(np.take_along_axis(block, order, axis=1))
    return np.concatenate(rows_found), np.concatenate(scores_found)


def _blocks(count: int, size: int) -> Iterator[slice]:
    size = max(1, size)
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _matrix(rows: int, columns: int, in_memory: bool, dtype: Any = np.float32) -> np.ndarray:
    """An empty matrix, in memory or in a temporary file. Raises OptionInvalid where the disk has no room."""
    if in_memory:
        return np.empty((rows, columns), dtype)
    count = rows * columns * np.dtype(dtype).itemsize
    with tempfile.TemporaryFile(
        prefix="gaid-scores-"
    ) as file:  # the map outlives the file's name, and its bytes are freed with it
        _reserve(file.fileno(), count)
        return np.memmap(file, dtype, "w+", shape=(rows, columns))


def _reserve(descriptor: int, count: int) -> None:
    """Reserves disk space for a file: writing to a map without it would kill the process."""
    place = tempfile.gettempdir()
    free = shutil.disk_usage(place).free
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, count)
        elif free < count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP) and free >= count:
            return  # a file system without reservation
        raise OptionInvalid(
            f"the scores take {count / 1e6:,.0f} MB, and there is no room for them in {place} ({free / 1e6:,.0f} MB are free): "
            f"set TMPDIR to a folder with room, or keep them in memory with --memory {-(-4 * count // 10**6)}MB"
        ) from error
