"""What an encoder is fed with: the size of its pictures, the rate and length of its sound. Backbones state it, media
makes it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class FrameSpec:
    """The picture that a visual backbone takes.

    `crop` resizes the shortest side to `size` and cuts out the centre; `squash` resizes to a square.
    """

    size: int
    resize: Literal["crop", "squash"] = "crop"
    interpolation: Literal["bicubic", "bilinear", "area"] = "bicubic"


@dataclass(frozen=True)
class AudioSpec:
    """The sound that an audio backbone takes: mono at `rate` Hz, in windows of `shortest` to `longest` seconds.

    The window of a frame lasts min(max(T/F, shortest), longest) and is centred on the frame's time, with zeros past the ends.
    """

    rate: int
    shortest: float
    longest: float
