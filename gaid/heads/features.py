"""What a head is given: a split's features as tensors on a device. The arrays themselves are the store's."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gaid.heads.base import Head


@runtime_checkable
class FeatureArrays(Protocol):
    """The part of a store's split that heads take (`gaid.stores.Split`); heads know no stores."""

    audio_mask: Any

    def text_as(self, kind: str) -> Any: ...

    def visual_as(self, kind: str) -> Any: ...

    def audio_as(self, kind: str) -> Any: ...


@dataclass(frozen=True)
class Features:
    """Features as stored (float16), on one device; heads widen what they work on.

    `text` has one vector per sentence, followed by that in the sound's own text space for a head that takes both.
    `visual` and `audio` have one embedding per frame, or a frame's patch tokens and audio tokens for a head that takes them;
    `audio` may also be tokens of the whole clip.
    """

    text: Float[Tensor, "texts _"]
    visual: Float[Tensor, "videos frames *patches _"]
    audio: Float[Tensor, "videos steps *tokens _"]
    audio_mask: Bool[Tensor, "videos frames"]

    @classmethod
    def of(cls, split: FeatureArrays, device: str, head: Head | None = None) -> "Features":
        """A split's features in the form that `head` takes; embeddings per frame without a head.

        On the CPU the tensors share the split's memory, unless it is read-only. Raises OptionInvalid and HeadMismatch where
        the store has no tokens of the kind that the head takes.
        """
        visual = split.visual_as("frames" if head is None else head.visual_input)
        audio = split.audio_as("frames" if head is None else head.audio_input)
        text = split.text_as("text" if head is None else head.text_input)
        arrays = (text, visual, audio, split.audio_mask)
        return cls(*(torch.from_numpy(np.require(array, requirements=["C", "W"])).to(device) for array in arrays))

    def videos(self, rows: Any) -> tuple[Tensor, Tensor, Tensor]:
        """(visual, audio, audio_mask) of some videos."""
        return self.visual[rows], self.audio[rows], self.audio_mask[rows]

    def take(self, rows: np.ndarray) -> "Features":
        """Some of the videos, with all texts."""
        visual, audio, audio_mask = self.videos(torch.from_numpy(rows).to(self.visual.device))
        return Features(self.text, visual, audio, audio_mask)

    @property
    def tokens(self) -> int:
        """Visual vectors per frame: 1 embedding, or the number of its patch tokens."""
        return self.visual.shape[2] if self.visual.ndim == 4 else 1

    @property
    def bytes_per_video(self) -> int:
        """Size of one video's features once they are widened to float32."""
        return 4 * (self.visual[0].numel() + self.audio[0].numel()) if len(self.visual) else 4
