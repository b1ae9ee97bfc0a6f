"""The moment of a clip that a query found: the run of frames that fits best."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from gaid.heads.features import Features
    from gaid.retrieval.lens import Lens

ALIKE = 1e-5  # frames whose scores differ by less fit equally well


def frame_scores(lens: "Lens", features: "Features", clip: int) -> "NDArray[np.float32]":
    """Scores (Q, F): how well a clip would fit that showed one of these frames all the time, with that frame's sound.

    Any head can be asked this, whatever it does with frames. A sound that does not lie in frames is the whole clip's.
    """
    visual, audio, mask = features.videos(slice(clip, clip + 1))
    frames = visual.shape[1]

    def held(values: "Tensor") -> "Tensor":  # (1, F, ...) as (F, F, ...): clip f has frame f everywhere
        return values[0][:, None].expand(frames, frames, *values.shape[2:])

    by_frame = lens.head.audio_input != "clip"
    clips = replace(
        features,
        visual=held(visual),
        audio=held(audio) if by_frame else audio.expand(frames, *audio.shape[1:]),
        audio_mask=held(mask) if by_frame else mask.expand(frames, *mask.shape[1:]),
    )
    return lens.scores(clips)


def best_run(scores: "NDArray[np.float32]") -> tuple[int, int] | None:
    """First and last frame of the run whose scores lie above the clip's mean by the largest sum; None where all are alike."""
    above = scores - scores.mean()
    if np.ptp(scores) < ALIKE:
        return None
    sums = np.concatenate([[0.0], np.cumsum(above)])
    gain = sums[None, 1:] - sums[:-1, None]  # [first, last]
    gain[np.tril_indices(len(scores), -1)] = -np.inf
    first, last = np.unravel_index(int(gain.argmax()), gain.shape)
    return int(first), int(last)


def best_moment(
    scores: "NDArray[np.float32]", times: "NDArray[np.float32]", duration: float
) -> tuple[float, float] | None:
    """Start and end, in seconds from the clip's start, of the run of frames that fits best; None where no frame fits better.

    `times` (F): when the frames are. A frame lasts from the middle between it and the one before to the middle after it.
    """
    run = best_run(scores) if len(np.unique(times)) > 1 else None
    if run is None:
        return None
    edges = np.concatenate([[0.0], (times[1:] + times[:-1]) / 2, [max(duration, float(times[-1]))]])
    return float(edges[run[0]]), float(edges[run[1] + 1])
