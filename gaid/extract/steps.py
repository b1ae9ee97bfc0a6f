"""Features of a clip's whole sound as features of its frames: the backbone gives steps with times, and each frame their mean."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gaid.media.clip import Clip

if TYPE_CHECKING:
    from gaid.backbones import AudioBackbone

Features = NDArray[np.float32]


def encode_whole(clips: Sequence[Clip], backbone: "AudioBackbone") -> Features:
    """Embeddings (B, F, dim) of clips that were decoded for a backbone that hears the whole sound; 0 where a frame has none."""
    found = np.zeros((len(clips), len(clips[0].times), backbone.dim), np.float32)
    with_sound = [(row, clip) for row, clip in enumerate(clips) if clip.audio_mask.any()]
    of_windows = [(row, clip) for row, clip in with_sound if clip.audio_window is not None]
    of_parts = [(row, clip) for row, clip in with_sound if clip.audio_window is None]
    if of_windows:
        steps = iter(backbone.encode_steps([piece for _, clip in of_windows for piece in clip.audio]))
        for row, clip in of_windows:
            found[row] = mean_of_windows([next(steps) for _ in clip.audio], clip, backbone.steps_per_second)
    if of_parts:
        every = backbone.encode_published([clip.audio[0] for _, clip in of_parts])
        for (row, clip), of_clip in zip(of_parts, every, strict=True):
            found[row] = mean_of_parts(of_clip, len(clip.times))
    found[~np.stack([clip.audio_mask for clip in clips])] = 0
    return found


def encode_clips(clips: Sequence[Clip], backbone: "AudioBackbone") -> Features:
    """Tokens (B, N, Dn) of clips' whole sounds; the backbone says what a clip without sound has."""
    return backbone.encode_clip([clip.clip_sound if len(clip.clip_sound) else None for clip in clips])


def mean_of_windows(steps: Sequence[Features], clip: Clip, per_second: float) -> Features:
    """Steps (S_g, dim) of each of a clip's pieces as frames (F, dim): of the steps whose middles lie in a frame's window, else the
    nearest one."""
    assert clip.audio_window is not None
    values = np.concatenate(steps)
    middles = np.concatenate(
        [
            start / clip.audio_rate + (np.arange(len(one)) + 0.5) / per_second
            for start, one in zip(clip.audio_starts.tolist(), steps, strict=True)
        ]
    )
    found = np.empty((len(clip.times), values.shape[1]), np.float32)
    for frame, moment in enumerate(clip.times.tolist()):
        away = np.abs(middles - moment)
        chosen = away <= clip.audio_window / 2
        found[frame] = values[chosen].mean(axis=0) if chosen.any() else values[away.argmin()]
    return found


def mean_of_parts(steps: Features, frames: int) -> Features:
    """Steps (S, dim) as frames (F, dim): frame f has the mean of steps floor(S f / F) to ceil(S (f + 1) / F) - 1, so that
    neighbours share a step where S is not a multiple of F (PyTorch's adaptive mean)."""
    count = len(steps)
    return np.stack(
        [steps[count * f // frames : -(-count * (f + 1) // frames)].mean(axis=0) for f in range(frames)]
    ).astype(np.float32)
