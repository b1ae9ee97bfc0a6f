"""What an encoder is fed with: the size of its pictures, the rate and length of its sound. Backbones state it, media
makes it. And what is said in a clip, which media, backbones and stores hand to one another."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Segment:
    """A stretch of speech: what is said, and when, in seconds from the clip's start."""

    text: str
    start: float
    end: float


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

    `whole`: the backbone takes the clip's whole sound in place of windows, in pieces of up to `longest` seconds, and gives
    features with times (steps). A frame then gets the mean of the steps in its window, which lasts max(T/F, shortest).
    """

    rate: int
    shortest: float
    longest: float
    whole: bool = False

    def to_attrs(self) -> dict[str, Any]:
        """What a store says of it; `whole` only where it is so, since stores from before it exist."""
        return {name: value for name, value in asdict(self).items() if name != "whole" or value}
