"""Where a frame's sound lies in what was decoded: one window per frame, or pieces of the clip's whole sound.

Pieces are for backbones that hear a whole clip at once (`AudioSpec.whole`). A clip of up to `longest` seconds is one piece.
A longer one is cut into pieces side by side, but never into more than it has frames: the sound of a film is heard around each
frame alone, so that memory and time stay bounded.
"""

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.media.clip import Clip
from gaid.specs import AudioSpec

Span = tuple[int, int, int]  # a piece, and the first sample in it and the one after the last


def cut(moments: NDArray[Any], duration: float, longest: float) -> tuple[NDArray[Any], float]:
    """Middles of the pieces (G,) of a clip whose frames are at `moments`, and how long each piece is, in seconds."""
    if duration <= longest:
        return np.array([duration / 2]), duration
    count = math.ceil(duration / longest)
    if count <= len(moments):
        return (np.arange(count) + 0.5) * longest, longest
    return moments, longest


def frame_window(spec: AudioSpec, step: float) -> float:
    """Seconds of sound that a frame hears, where the next one is `step` s later."""
    window = max(step, spec.shortest)
    return window if spec.whole else min(window, spec.longest)


def spans(
    moments: NDArray[np.floating[Any]], window: float, starts: NDArray[np.int64], samples: int, rate: float
) -> list[list[Span]]:
    """For each frame the parts of pieces (first samples `starts`, each of `samples`) that lie in the frame's window."""
    found: list[list[Span]] = []
    for moment in moments.tolist():
        begin, end = max(0, round((moment - window / 2) * rate)), round((moment + window / 2) * rate)
        first = np.maximum(begin, starts) - starts
        last = np.minimum(end, starts + samples) - starts
        found.append([(piece, int(first[piece]), int(last[piece])) for piece in np.flatnonzero(first < last).tolist()])
    return found


def of_clip(clip: Clip) -> list[list[Span]]:
    """For each frame of a decoded clip where its sound lies in `clip.audio`."""
    frames, (pieces, samples) = len(clip.times), clip.audio.shape
    if clip.audio_window is None:
        edges = np.linspace(0, samples, frames + 1).round().astype(int).tolist()
        return [[(0, first, last)] for first, last in pairwise(edges)]
    if pieces == frames and round(clip.audio_window * clip.audio_rate) == samples:  # a window per frame
        return [[(frame, 0, samples)] for frame in range(frames)]
    return spans(clip.times, clip.audio_window, clip.audio_starts, samples, clip.audio_rate)


def powers(pieces: NDArray[np.float32], of_frames: list[list[Span]]) -> NDArray[np.float64]:
    """Mean square (F,) of each frame's sound; 0 where it has none."""
    total = np.zeros(len(of_frames))
    for frame, parts in enumerate(of_frames):
        heard = sum(last - first for _, first, last in parts)
        for piece, first, last in parts:
            total[frame] += np.square(pieces[piece, first:last], dtype=np.float64).sum() / heard
    return total


def inside(shape: tuple[int, ...], of_frames: list[list[Span]], frames: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which samples (G, n) belong to one of these frames."""
    chosen = np.zeros(shape, np.bool_)
    for frame in np.flatnonzero(frames).tolist():
        for piece, first, last in of_frames[frame]:
            chosen[piece, first:last] = True
    return chosen
