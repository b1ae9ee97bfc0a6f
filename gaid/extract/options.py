"""What an extraction was asked for: one frozen object from the command to the end, and the parts of it that workers get."""

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from gaid import plugins
from gaid.datasets.types import Dataset
from gaid.devices import parse_device, pick_device
from gaid.errors import OptionInvalid
from gaid.files import check_folder
from gaid.media.clip import AudioSampling, Decoder, FrameSampling, Pixels, Sampling
from gaid.media.limits import DecodeLimits
from gaid.paths import local_path

if TYPE_CHECKING:
    from gaid.backbones import Backbones


@dataclass(frozen=True)
class BackboneChoice:
    """The arguments of `load_backbones`, so that a worker loads what the driver planned with."""

    visual: str
    audio: str
    text: str | None
    device: str
    random_weights: bool = False
    patches: bool = False
    audio_tokens: bool = False
    audio_clip_tokens: bool = False

    @property
    def resolved_device(self) -> str:
        """Where the models run on this machine: `auto` is its first GPU. torch is only asked where a backbone needs it."""
        if parse_device(self.device) == "cpu" or {self.visual, self.audio, self.text} <= {"tiny", None}:
            return "cpu"
        return pick_device(self.device)

    def load(self) -> "Backbones":
        from gaid.backbones import load_backbones

        return load_backbones(
            self.visual,
            self.audio,
            self.text,
            device=self.resolved_device,
            random_weights=self.random_weights,
            patches=self.patches,
            audio_tokens=self.audio_tokens,
            audio_clip_tokens=self.audio_clip_tokens,
        )


@dataclass(frozen=True)
class Resources:
    """What one machine spends on the work. The bytes of the store depend on none of it, but for `threads` of some models."""

    batch_size: int = 32  # clips, on a GPU
    workers: int = 1  # processes that decode
    threads: int = 1  # of the encoders
    clip_seconds: float = DecodeLimits.seconds


@dataclass(frozen=True, kw_only=True)
class Options:
    """The arguments of `gaid.extract.extract`, where they are explained."""

    dataset: str | Dataset
    root: str | os.PathLike[str] | None
    audio_root: str | os.PathLike[str] | None
    out: str | os.PathLike[str] | None
    visual: str | None
    audio: str | None
    text: str | None
    frames: int
    frame_sampling: FrameSampling
    decoder: Decoder
    audio_sampling: AudioSampling
    pixels: Pixels
    device: str
    batch_size: int
    workers: int
    clip_seconds: float
    scheduler: str | None
    patches: bool
    audio_tokens: bool
    audio_clip_tokens: bool
    speech: str | None
    overwrite: bool
    random_weights: bool
    max_missing: float
    limit: int | None
    watch: bool
    progress: bool

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.frames, self.decoder, self.audio_sampling, self.pixels, self.frame_sampling)

    @property
    def resources(self) -> Resources:
        return Resources(self.batch_size, self.workers, encode_threads(), self.clip_seconds)

    def choice(self, visual: str, audio: str, text: str | None) -> BackboneChoice:
        """The backbones of these names. Files of code get their whole path, since a worker's current folder is another."""
        visual, audio, text = plugins.absolute(visual), plugins.absolute(audio), text and plugins.absolute(text)
        kept = (self.patches, self.audio_tokens, self.audio_clip_tokens)
        return BackboneChoice(visual, audio, text, self.device, self.random_weights, *kept)

    def check(self) -> None:
        """Raises OptionInvalid or DependencyMissing for what can be seen to be wrong before anything is read."""
        from gaid.media.decode import check_decoder

        for option, value, least in (
            ("--frames", self.frames, 1),
            ("--batch-size", self.batch_size, 1),
            ("--workers", self.workers, 0),
        ):
            if value < least:
                raise OptionInvalid(f"{option} {value}: at least {least}")
        if not 0 < self.clip_seconds < math.inf:
            raise OptionInvalid(f"--clip-seconds {self.clip_seconds:g}: more than 0, and finite")
        check_decoder(self.decoder)
        for option, chosen, known in (
            ("--frame-sampling", self.frame_sampling, get_args(FrameSampling)),
            ("--audio-sampling", self.audio_sampling, get_args(AudioSampling)),
            ("--pixels", self.pixels, get_args(Pixels)),
        ):
            if chosen not in known:
                raise OptionInvalid(f"{option} {chosen}: choose {' or '.join(known)}")
        if self.out is not None:
            check_folder(local_path(self.out).expanduser().parent, "--out")


def encode_threads() -> int:
    """Threads of one model on the CPU: OMP_NUM_THREADS where the user set it, else the cores that this process may use.

    The order of a sum may depend on the number of threads, so that number does not depend on an option such as the number of
    workers. The workers of a cluster take it from the process that started the extraction.
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
