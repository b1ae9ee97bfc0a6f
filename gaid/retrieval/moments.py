"""The moment of a clip that a query found: the run of frames that fits best."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from gaid.heads.features import Features
    from gaid.retrieval.lens import Lens

ALIKE = 1e-5  # frames whose scores differ by less fit equally well


def frame_scores(lens: "Lens", features: "Features", clips: "NDArray[np.int64]") -> "NDArray[np.float32]":
    """Scores (Q, N, F) of the frames of N clips: how well a clip would fit that showed one of these frames all the time, with that
    frame's sound.

    Any head can be asked this, whatever it does with frames. A sound that does not lie in frames is the whole clip's.
    """
    frames = features.visual.shape[1]
    block = max(1, lens.memory // 4 // (frames * features.bytes_per_video))
    blocks = np.split(clips, range(block, len(clips), block))
    found = [lens.scores(_as_clips(lens, features, some, frames)) for some in blocks]
    scores: NDArray[np.float32] = np.concatenate(found, axis=1).reshape(len(lens.text), len(clips), frames)
    return scores


@dataclass(frozen=True)
class Strip:
    """The frames of a clip under a query: their times in seconds from the clip's start, their scores, and what each sense adds to
    these, (F) each, NaN where a frame has no sound. `lanes`: gate, attention and sound weight (F) where the head explains them."""

    times: "NDArray[np.float32]"
    scores: "NDArray[np.float32]"
    senses: "dict[str, NDArray[np.float32]]"
    lanes: "dict[str, NDArray[np.float32]]"


def frame_evidence(lens: "Lens", features: "Features") -> "tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]":
    """Of a lens with one query and of one clip: the scores (F) of `frame_scores`, and what each sense adds to them."""
    clips = _as_clips(lens, features, np.array([0]), features.visual.shape[1])
    return lens.scores(clips)[0], {name: found[0] for name, found in lens.senses(clips).items()}


def _as_clips(lens: "Lens", features: "Features", clips: "NDArray[np.int64]", frames: int) -> "Features":
    """Each frame of these clips as a clip of its own that shows it all the time (N * F)."""
    visual, audio, mask = features.take(clips).videos(slice(None))

    def held(values: "Tensor") -> "Tensor":  # (N, F, ...) as (N * F, F, ...): of clip n, clip f has frame f everywhere
        return values[:, :, None].expand(-1, -1, frames, *values.shape[2:]).flatten(0, 1)

    def whole(values: "Tensor") -> "Tensor":
        return values.repeat_interleave(frames, dim=0)

    of_sound = whole if lens.head.audio_input == "clip" else held
    return replace(features, visual=held(visual), audio=of_sound(audio), audio_mask=of_sound(mask))


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
