"""What a frozen encoder must offer. Everything in and out is numpy: no torch here.

What it is fed with is stated by `gaid.specs` and made by `gaid.media`; loading by name is `gaid.backbones`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gaid.specs import AudioSpec, FrameSpec, Segment

Kind = Literal["visual", "audio", "text", "speech"]
Frames = NDArray[np.uint8]
Features = NDArray[np.float32]


@dataclass(frozen=True)
class TextFeatures:
    """Texts as vectors: one for each text, and one for each of its real tokens (no padding)."""

    embedding: Features  # (B, dim)
    tokens: list[Features]  # B of (n_i, dim)


class VisualBackbone(Protocol):
    """A frozen encoder of frames.

    `provenance` is JSON: name, weights, sha256, dim, input (size, resize), mean, std, interpolation, random_weights.
    `patch_shape` is (patches per frame, dim of a patch), or None where there are none. `thread_safe`: threads may encode clips
    side by side on the CPU, and on a GPU a thread of its own encodes batches; a class without the member is called in
    the main thread, with one clip or batch at a time.
    """

    name: str
    dim: int
    frame_spec: FrameSpec
    provenance: dict[str, Any]
    patch_shape: tuple[int, int] | None
    thread_safe: bool

    def encode_frames(self, frames: Frames) -> Features:
        """Frames (B, F, H, W, 3) as embeddings (B, F, dim), not normalised."""
        ...

    def encode_patches(self, frames: Frames) -> tuple[Features, Features]:
        """Frames (B, F, H, W, 3) as embeddings (B, F, dim) and projected patches (B, F, P, Dp)."""
        ...


class AudioBackbone(Protocol):
    """A frozen encoder of sound. `provenance` as a visual backbone's, with the rate as its input.

    `token_shape` is (tokens per window, dim of a token), or None where there are none; a class without the member has none.
    `has_text`: it also encodes sentences, into the space of its sounds (`encode_text`); a class without the member does not.
    `clip_token_shape` is (tokens per clip, dim of a token) of one that also hears a clip as one; None or absent in others.
    `thread_safe` as a visual backbone's.
    """

    name: str
    dim: int
    audio_spec: AudioSpec
    provenance: dict[str, Any]
    token_shape: tuple[int, int] | None
    has_text: bool
    clip_token_shape: tuple[int, int] | None
    thread_safe: bool

    def encode_audio(self, windows: list[NDArray[np.float32]], mask: NDArray[np.bool_]) -> Features:
        """B clips' windows, each (F, samples), as embeddings (B, F, dim); zeros where `mask` (B, F) is False."""
        ...

    def encode_audio_tokens(
        self, windows: list[NDArray[np.float32]], mask: NDArray[np.bool_]
    ) -> tuple[Features, Features]:
        """The same embeddings as `encode_audio`, and tokens (B, F, N, Dn); both zeros where `mask` is False."""
        ...

    # Where `has_text`. `provenance` covers both sides: the same one gives the same vectors of sounds and of sentences.

    def encode_text(self, texts: list[str]) -> Features:
        """Sentences as embeddings (B, dim) that are compared with those of sounds by their cosine, not normalised."""
        ...

    # Where `clip_token_shape` is not None.

    def encode_clip(self, sounds: list[NDArray[np.float32] | None]) -> Features:
        """Whole sounds (samples,), None for a clip without, as tokens (B, N, Dn) of each clip."""
        ...

    # Where `audio_spec.whole`, these in place of `encode_audio` and `encode_audio_tokens`.

    steps_per_second: float

    def encode_steps(self, pieces: list[NDArray[np.float32]]) -> list[Features]:
        """Pieces (samples,) of up to `audio_spec.longest` seconds, each as steps (S, dim) of its sound, padding left out."""
        ...

    def encode_published(self, sounds: list[NDArray[np.float32]]) -> list[Features]:
        """Whole sounds (samples,), each as the steps (S, dim) that the published code shares among the frames, padding
        included. A class without it can't be used with `--audio-sampling published`."""
        ...


class TextBackbone(Protocol):
    """A frozen encoder of texts."""

    name: str
    dim: int
    provenance: dict[str, Any]

    def encode_text(self, texts: list[str]) -> TextFeatures:
        """Texts as vectors, not normalised unless the encoder itself does."""
        ...

    def count_tokens(self, texts: list[str]) -> list[int]:
        """How many tokens `encode_text` gives for each text. Does not run the model."""
        ...

    # CLIP's has `first_blocks(count)` besides, from which a head may start (`gaid.training.start`).


class Transcriber(Protocol):
    """Writes down what is said in a clip. `provenance` as a visual backbone's.

    `rate` is that of the sound that it hears, in Hz; 0 for one that reads the clip's subtitles. `thread_safe`: threads may
    transcribe clips side by side; a class without the member is called by one thread at a time. The same sound gives the
    same segments, in the order of time.
    """

    name: str
    provenance: dict[str, Any]
    rate: int
    thread_safe: bool

    def transcribe(self, sound: NDArray[np.float32]) -> list[Segment]:
        """What is said in a clip's whole sound (samples,). No segment where nobody speaks."""
        ...

    # Where `rate` is 0, this in place of `transcribe`.

    def read(self, cues: Sequence[Segment]) -> list[Segment]:
        """What is said by the cues of a clip's subtitles, in the order of time."""
        ...


@dataclass(frozen=True)
class Backbones:
    """The three encoders of one store."""

    visual: VisualBackbone
    audio: AudioBackbone
    text: TextBackbone


@dataclass(frozen=True)
class BackboneStatus:
    """Whether a backbone can be used now. `remedy` is empty where it can."""

    name: str
    kind: Kind
    weights: str
    remedy: str

    @property
    def at_hand(self) -> bool:
        return not self.remedy


@dataclass(frozen=True)
class PublishedModel:
    """A model of a family that others published.

    `name` is how gaid takes it, `parameters` are in millions, of all its parts, `dim` is the size of its vectors, `licence`
    is what its card or its package states, else "unknown".
    """

    name: str
    parameters: int
    dim: int
    licence: str


@dataclass(frozen=True)
class BackboneSpec:
    """A family of backbones, as its module's `SPEC`. Importing that module imports no torch and builds nothing.

    `usage` is how its backbones are named ("clip:MODEL/WEIGHTS"; the bare name where there are no variants), `kinds` what
    they encode, `extra` the extra of the package that brings what the family needs, `models` those that `gaid doctor` lists.

    `licences` states those of further backbones, as `PublishedModel.licence` does: by their names, or by kind ("visual") where one
    name stands for several weights.

    `find(kind, variant, random_weights)` makes sure that a backbone can be had, and returns what builds it from a device's
    name and a seed; the same arguments give the same object. It raises BackboneUnavailable (weights), DependencyMissing (a
    package) and OptionInvalid (a variant). `statuses()` looks at files only.
    """

    name: str
    usage: str
    kinds: tuple[Kind, ...]
    find: Callable[[str, str, bool], Callable[[str, int], Any]]
    statuses: Callable[[], list[BackboneStatus]]
    extra: str = ""
    models: tuple[PublishedModel, ...] = ()
    licences: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_variants(self) -> bool:
        return self.usage != self.name

    @property
    def install(self) -> str:
        """The command that installs what the family needs."""
        return f"pip install 'gaid[{self.extra}]'"
