"""What is asked of the decoders and what they give back: plain data, no decoding. `gaid.media.decode` decodes."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gaid.source_files import Sources
from gaid.specs import AudioSpec, FrameSpec, Segment

if TYPE_CHECKING:
    from gaid.datasets.types import Video
    from gaid.stores import Store

Decoder = Literal["pyav", "ffmpeg"]
FrameSampling = Literal["even", "per-second", "keyframes"]
AudioSampling = Literal["aligned", "spread", "published"]
Pixels = Literal["square", "stored"]
AudioState = Literal["sound", "silent", "no track", "failed"]
Remark = tuple[Literal["replaced", "one picture", "long gap"], str]  # the kind that it is counted under, and its text


# Version of the rules by which a clip is decoded, a part of a store's identity. 1: stores that do not say. 2: channels
# are mixed by the standard downmix and the loudest one decides what is silent; the last picture is held; key frames,
# times and tracks are chosen by other rules.
RULES = 2


@dataclass(frozen=True)
class Sampling:
    """How all clips of a store are sampled, whatever its backbones: a part of every request, and of the store's identity.

    `frame_sampling` says at which moments the frames are (`gaid.media.sampling`), `audio_sampling` which sound belongs to each.
    `pixels`: as they are meant to be seen (`square`: pixels that are not square are made so, and a high dynamic range becomes
    a standard one), or as the file stores them (`stored`).
    """

    frames: int = 12
    decoder: Decoder = "pyav"
    audio_sampling: AudioSampling = "aligned"
    pixels: Pixels = "square"
    frame_sampling: FrameSampling = "even"

    @classmethod
    def of_store(cls, store: "Store") -> "Sampling":
        """The sampling that a store was extracted with, for whatever decodes its clips again.

        Stores that do not say what they did with pixels are from before there was a choice, and took them as stored.
        """
        told = store.attrs.get("sampling", {})
        audio_sampling = told.get("audio_sampling", "aligned")
        if audio_sampling == "published" and not told.get("audio", {}).get("whole"):
            audio_sampling = "spread"  # its name before there were backbones that hear the whole sound
        return cls(
            frames=store.frames,
            decoder=told.get("decoder", "pyav"),
            audio_sampling=audio_sampling,
            pixels=told.get("pixels", "stored"),
            frame_sampling=told.get("frame_sampling", "even"),
        )

    def to_attrs(self) -> dict[str, Any]:
        """What a new store records of it, beside the specs of its backbones."""
        return {
            "frames": self.frames,
            "decoder": self.decoder,
            "pixels": self.pixels,
            "rules": RULES,
            # Only where they are not the defaults, so that a store from before there was a choice keeps its identity.
            **({} if self.frame_sampling == "even" else {"frame_sampling": self.frame_sampling}),
            **({} if self.audio_sampling == "aligned" else {"audio_sampling": self.audio_sampling}),
        }


@dataclass(frozen=True)
class ProbeRequest:
    """A file of which only the header and the packets are read; nothing is decoded."""

    path: str


@dataclass(frozen=True)
class SpeechRequest:
    """A clip of which only what is said is wanted (`gaid.media.speech`): its whole sound at `rate` Hz, or with 0 its subtitles.

    `start`, `end`, `may_be_whole` and `audio_path` as in `ClipRequest`; `duration` is how long the clip lasts.
    """

    path: str
    audio_path: str | None
    start: float | None
    end: float | None
    may_be_whole: bool
    duration: float
    rate: int

    @classmethod
    def of(cls, video: "Video", duration: float, rate: int) -> "SpeechRequest":
        """The request for a clip of a data set, with absolute paths."""
        sound = None if video.audio_path is None else str(video.audio_path.absolute())
        path = str(video.path.absolute())
        return cls(path, sound, video.start, video.end, video.may_be_whole, duration, rate)


@dataclass(frozen=True)
class Heard:
    """The sound of a clip (samples,), or the cues of its subtitles; both are empty where it has none."""

    sound: NDArray[np.float32]
    cues: list[Segment]


@dataclass(frozen=True)
class ClipRequest:
    """One clip to decode: which part of which file, how many frames, and in which form.

    `start` and `end` are seconds from the first picture of the video; None means the video's own. `audio_path` names
    the sound where it is a file of its own; its first sample then belongs to the first picture of the video.
    `frame_sampling`, `audio_sampling` and `pixels` are those of `Sampling`. `sound_late` delays the sound by that many seconds, a fault that only `gaid stress` asks for. `entry`
    is the annotation that asks for the clip: errors name it where the file does not have the times asked for. `may_be_whole`:
    a file that is no longer than the clip is the clip itself (`gaid.media.decode.clip_times`). `clip_sound`:
    the clip's whole sound is wanted beside that of its frames (`Clip.clip_sound`).
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
    frame_sampling: FrameSampling = "even"
    entry: str = ""
    may_be_whole: bool = False
    clip_sound: bool = False

    @classmethod
    def of(cls, video: "Video", sampling: Sampling, frame_spec: FrameSpec, audio_spec: AudioSpec) -> "ClipRequest":
        """The request for a clip of a data set. Paths are absolute, since the current folder of a worker may be another."""
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
            frame_sampling=sampling.frame_sampling,
            entry=video.entry,
            may_be_whole=video.may_be_whole,
        )


@dataclass
class Clip:
    """A decoded clip: F pictures, the moments at which they are on screen, and the sound around each moment.

    `times` are the moments in seconds from the clip's start (`gaid.media.sampling`), `frame_times` when the pictures shown
    came on screen. Of a clip with fewer than F pictures or moments the last one repeats (`short`). `audio_mask` is False
    where a frame has no sound; `audio_state` gives the reason. `decoded` counts the pictures that were decoded to get these.
    `remarks` name what is wrong with the pictures, or unlikely to be what was meant.

    `audio` is a window per frame, or pieces of the whole sound (`gaid.media.pieces`), mono at `audio_rate` Hz.
    `audio_starts` are their first samples, counted from the clip's start, and `audio_window` is the length in seconds of
    the sound that belongs to a frame. None: the frames share all of it in equal parts, whenever they are.
    `clip_sound` is the first channel of the whole sound, of up to 300 s; empty where there is none, or none was asked for.
    """

    frames: NDArray[np.uint8]  # (F, H, W, 3)
    times: NDArray[np.float32]  # (F,)
    duration: float
    audio: NDArray[np.float32]  # (F or G, samples)
    audio_mask: NDArray[np.bool_]  # (F,)
    audio_state: AudioState
    audio_starts: NDArray[np.int64]  # (F or G,)
    audio_rate: int
    audio_window: float | None
    short: bool
    decoded: int
    frame_times: NDArray[np.float32]  # (F,)
    remarks: tuple[Remark, ...] = ()
    clip_sound: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))  # (n,)
    sources: Sources = ()  # its files, where a decode pool was asked to look at them


@dataclass(frozen=True)
class MediaInfo:
    """What the header of a file says; sizes before rotation, durations in seconds (0 where unknown). `pixels`: FFmpeg's name for
    how its pictures are stored."""

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
    pixels: str | None = None
