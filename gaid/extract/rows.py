"""The rows of one shard while its clips come in: numpy arrays, failures, remarks. Writing them is left to `shard`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.extract.report import Failure
from gaid.media.clip import Clip, Remark
from gaid.source_files import Sources
from gaid.stores.schema import AUDIO_STATES


@dataclass
class ClipFeatures:
    """The features of one clip, in the precision of the store."""

    visual: NDArray[np.float16]  # (F, Dv)
    audio: NDArray[np.float16]  # (F, Da)
    patches: NDArray[np.float16] | None  # (F, P, Dp)
    audio_tokens: NDArray[np.float16] | None = None  # (F, N, Da)
    audio_clip_tokens: NDArray[np.float16] | None = None  # (N, Dn)


@dataclass(frozen=True)
class ShardShape:
    """What a row of the store holds."""

    frames: int
    visual_dim: int
    audio_dim: int
    patches: tuple[int, int] | None = None
    audio_tokens: tuple[int, int] | None = None
    audio_clip_tokens: tuple[int, int] | None = None


class ShardRows:
    """The arrays of one shard while its rows come in. A row that failed stays zero and invalid."""

    def __init__(self, number: int, rows: int, shape: ShardShape) -> None:
        self.number = number
        self.shape = shape
        self.failures: list[tuple[int, Failure]] = []
        self.sources: list[Sources] = [()] * rows
        self.remarks: list[tuple[int, str, Remark]] = []
        self.arrays: dict[str, NDArray[Any]] = {
            "visual": np.zeros((rows, shape.frames, shape.visual_dim), np.float16),
            "audio": np.zeros((rows, shape.frames, shape.audio_dim), np.float16),
            "audio_mask": np.zeros((rows, shape.frames), np.bool_),
            "audio_state": np.full(rows, AUDIO_STATES.index("failed"), np.uint8),
            "valid": np.zeros(rows, np.bool_),
            "short": np.zeros(rows, np.bool_),
            "time": np.zeros((rows, shape.frames), np.float32),
            "duration": np.zeros(rows, np.float32),
        }
        if shape.patches is not None:
            self.arrays["patches"] = np.zeros((rows, shape.frames, *shape.patches), np.float16)
        if shape.audio_tokens is not None:
            self.arrays["audio_tokens"] = np.zeros((rows, shape.frames, *shape.audio_tokens), np.float16)
        if shape.audio_clip_tokens is not None:
            self.arrays["audio_clip_tokens"] = np.zeros((rows, *shape.audio_clip_tokens), np.float16)

    def put(self, row: int, video: str, clip: Clip, features: ClipFeatures) -> None:
        """Row `row` is `clip` of `video`, encoded."""
        self.remarks += [(row, video, remark) for remark in clip.remarks]
        self.arrays["visual"][row] = features.visual
        self.arrays["audio"][row] = features.audio
        if features.patches is not None:
            self.arrays["patches"][row] = features.patches
        if features.audio_tokens is not None:
            self.arrays["audio_tokens"][row] = features.audio_tokens
        if features.audio_clip_tokens is not None:
            self.arrays["audio_clip_tokens"][row] = features.audio_clip_tokens
        self.arrays["audio_mask"][row] = clip.audio_mask
        self.arrays["audio_state"][row] = AUDIO_STATES.index(clip.audio_state)
        self.arrays["short"][row] = clip.short
        self.arrays["time"][row] = clip.times
        self.arrays["duration"][row] = clip.duration
        self.arrays["valid"][row] = True

    def fail(self, row: int, failure: Failure) -> None:
        """Row `row` has no features."""
        self.failures.append((row, failure))

    @property
    def complete(self) -> bool:
        """Whether every row is filled or has failed."""
        return int(self.arrays["valid"].sum()) + len(self.failures) == len(self.arrays["valid"])

    def listed(self) -> list[dict[str, str]]:
        """The failures in row order, as the store keeps them."""
        return [
            {"id": failure.video, "reason": failure.reason, "message": failure.message}
            for _, failure in sorted(self.failures, key=lambda pair: pair[0])
        ]

    def listed_remarks(self) -> list[dict[str, str]]:
        """The remarks on the pictures of clips, in row order, as the store keeps them."""
        return [
            {"id": video, "kind": kind, "message": message}
            for _, video, (kind, message) in sorted(self.remarks, key=lambda one: one[0])
        ]
