"""What is asked of the decoders and what they give back: plain data, no decoding. `gaid.media.decode` decodes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gaid.source_files import Sources
from gaid.specs import AudioSpec, FrameSpec

if TYPE_CHECKING:
    from gaid.datasets.types import Video
    from gaid.stores import Store

Decoder = Literal["pyav", "ffmpeg"]
AudioSampling = Literal["aligned", "published"]
Pixels = Literal["square", "stored"]
AudioState = Literal["sound", "silent", "no track", "failed"]
Remark = tuple[Literal["replaced", "one picture", "long gap"], str]  # its kind, by which it is counted, and the words


# Version of the rules by which a clip is decoded, for a store's identity. 1: stores that do not say. 2: channels are mixed by the standard
# downmix and the loudest one decides what is silent; the last picture is held; key frames, times and tracks are chosen anew.
RULES = 2


@dataclass(frozen=True)
class Sampling:
    """How all clips of a store are sampled, whatever its backbones: a part of every request, and of the store's identity.

    `pixels`: as they are meant to be seen (`square`: pixels that are not square are made so, and a high dynamic range becomes
    an ordinary one), or as the file stores them (`stored`).
    """

    frames: int = 12
    decoder: Decoder = "pyav"
    audio_sampling: AudioSampling = "aligned"
    pixels: Pixels = "square"

    @classmethod
    def of_store(cls, store: "Store") -> "Sampling":
        """The sampling that a store was extracted with, for whatever decodes its clips again.

        Stores that do not say what they did with pixels are from before there was a choice, and took them as stored.
        """
        told = store.attrs.get("sampling", {})
        return cls(
            store.frames,
            told.get("decoder", "pyav"),
            told.get("audio_sampling", "aligned"),
            told.get("pixels", "stored"),
        )

    def to_attrs(self) -> dict[str, Any]:
        """What a new store says of it, beside the forms that its backbones want."""
        return {
            "frames": self.frames,
            "decoder": self.decoder,
            "pixels": self.pixels,
            "rules": RULES,
            # Only where it is not the usual one, as stores had it before there were the two before.
            **({} if self.audio_sampling == "aligned" else {"audio_sampling": self.audio_sampling}),
        }


@dataclass(frozen=True)
class ProbeRequest:
    """A file that is asked what it says of itself; nothing of it is decoded."""

    path: str


@dataclass(frozen=True)
class ClipRequest:
    """One clip to decode: which part of which file, how many frames, and the form that the backbones want.

    `start` and `end` are seconds from the video's first picture; None is the video's own. `audio_path` names the
    sound where it is a file of its own; its first sample then belongs to the video's first picture. `audio_sampling` says
    which sound is a frame's (`gaid.media.sound`), `pixels` what is made of the file's (`Sampling`); `sound_late` delays the sound by that many seconds, a fault that only
    `gaid stress` asks for. `entry` is where the clip is asked for, told with times that the file does not have.
    """

    path: str
    start: float | None
    end: float | None
    audio_path: str | None
    frames: int
    frame_spec: FrameSpec
    audio_spec: AudioSpec
    decoder: Decoder = "pyav"
    audio_sampling: AudioSampling = "aligned"
    sound_late: float = 0.0
    pixels: Pixels = "square"
    entry: str = ""

    @classmethod
    def of(cls, video: "Video", sampling: Sampling, frame_spec: FrameSpec, audio_spec: AudioSpec) -> "ClipRequest":
        """The request of a data set's clip. Paths are absolute, since a worker's current folder may be another."""
        return cls(
            path=str(video.path.absolute()),
            start=video.start,
            end=video.end,
            audio_path=None if video.audio_path is None else str(video.audio_path.absolute()),
            frames=sampling.frames,
            frame_spec=frame_spec,
            audio_spec=audio_spec,
            decoder=sampling.decoder,
            audio_sampling=sampling.audio_sampling,
            pixels=sampling.pixels,
            entry=video.entry,
        )


@dataclass
class Clip:
    """A decoded clip: F pictures, the moments at which they are on screen, and the sound around each moment.

    `times` (seconds from the clip's start) are the middles of F equal parts of the clip, `frame_times` when the pictures
    at those moments came on screen. A clip of fewer than F pictures has each once, at the middle of its time on
    screen, and its last ones repeat (`short`); a single picture stays on screen for the whole clip. `audio_mask` is False
    where the window has no sound; `audio_state` tells why. `decoded` counts the pictures that were decoded to get these.
    `remarks` say what of the pictures is not as it should be, or hardly what was meant.
    """

    frames: NDArray[np.uint8]  # (F, H, W, 3)
    times: NDArray[np.float32]  # (F,)
    duration: float
    audio: NDArray[np.float32]  # (F, samples)
    audio_mask: NDArray[np.bool_]  # (F,)
    audio_state: AudioState
    short: bool
    decoded: int
    frame_times: NDArray[np.float32]  # (F,)
    remarks: tuple[Remark, ...] = ()
    sources: Sources = ()  # its files, where a decode pool was to look at them


@dataclass(frozen=True)
class MediaInfo:
    """What a file says of itself; sizes before rotation, durations in seconds (0 where unknown)."""

    path: str
    format: str
    duration: float
    width: int = 0
    height: int = 0
    rate: float = 0.0
    video_codec: str | None = None
    audio_codec: str | None = None
    audio_rate: int = 0
    channels: int = 0
