"""Faults of sound and picture on cached features: numpy in, numpy out. `measure` ranks, `media` corrupts real files.

A store holds one vector per frame and modality, or several (tokens), so a fault is an operation on these vectors, which `how`
describes. All strengths of a fault share their draws (a frame that is corrupted at 25 % is corrupted at 50 % too), and at its
clean strength a fault returns the same bits.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gaid.errors import OptionInvalid
from gaid.stores.schema import AUDIO_STATES

if TYPE_CHECKING:
    from gaid.stores import Split

INF = float("inf")
SNR = (INF, 20.0, 10.0, 5.0, 0.0, -5.0, -10.0, -INF)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
SECONDS = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0)
Unit = Literal["dB", "%", "s"]
Sound = NDArray[np.float16]  # (V, F, Da), or as tokens (V, F, N, Da); as tokens of whole clips (V, N, Da)


@dataclass(frozen=True)
class Foreign:
    """What is mixed into the sound: into that of frames, and into the tokens of whole clips."""

    of_frames: Callable[[Sound], NDArray[np.float32]]
    of_clips: Callable[[Sound], NDArray[np.float32]]


@dataclass(frozen=True)
class Fault:
    """One way in which clips go wrong. `strengths` begins with the clean one; `touches` is the modality that is corrupted."""

    name: str
    title: str
    axis: str
    unit: Unit
    strengths: tuple[float, ...]
    touches: Literal["audio", "visual"]
    how: str
    apply: Callable[["Split", float, np.random.Generator], "Split"]

    @property
    def clean(self) -> float:
        """The strength at which nothing changes."""
        return self.strengths[0]

    def __call__(self, split: "Split", strength: float, seed: int) -> "Split":
        """A split with this fault; arrays that it does not touch are shared with the given one."""
        return self.apply(split, strength, generator(seed, self.name))

    def label(self, strength: float) -> str:
        return label(strength, self.unit).replace("noise", self.name)


def generator(seed: int, name: str) -> np.random.Generator:
    """The random generator of one fault under one seed, the same for all strengths and independent of other faults."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def label(strength: float, unit: Unit) -> str:
    """A strength as an axis label."""
    if unit == "%":
        return f"{100 * strength:.0f} %"
    if np.isinf(strength):
        return "clean" if strength > 0 else "noise alone"
    return f"{strength:g} {unit}".replace("-", "−")


# Sound


def amplitudes(snr: float) -> tuple[float, float]:
    """Factors of signal and noise of equal power for a ratio of `snr` dB, such that their sum keeps the power."""
    with np.errstate(over="ignore"):
        signal = float(1 / np.sqrt(1 + np.power(10.0, -snr / 10)))
    return signal, float(np.sqrt(max(0.0, 1 - signal**2)))


def _mix(split: "Split", other: Foreign, snr: float, frames: NDArray[np.bool_], rng: np.random.Generator) -> "Split":
    """A foreign sound mixed into the sound of `frames`, scaled to the length of the vector that it is mixed into. Of the tokens of
    a whole clip, which belong to no frame, the same share is mixed."""
    signal, noise = amplitudes(snr)
    choose = _share_of_tokens(frames.sum(axis=1) / np.maximum(1, split.audio_mask.sum(axis=1)), rng)

    def mixed(sound: Sound, foreign: NDArray[np.float32], chosen: NDArray[np.bool_]) -> Sound:
        own = sound.astype(np.float32)
        length = np.linalg.norm(own, axis=-1, keepdims=True)
        foreign = foreign * (length / np.maximum(np.linalg.norm(foreign, axis=-1, keepdims=True), 1e-12))
        return np.where(_as_wide(chosen, sound), (signal * own + noise * foreign).astype(sound.dtype), sound)

    return split.change_audio(
        lambda sound: mixed(sound, other.of_frames(sound), frames),
        lambda tokens: mixed(tokens, other.of_clips(tokens), choose(tokens)),
    )


def _share_of_tokens(shares: NDArray[np.float64], rng: np.random.Generator) -> Callable[[Sound], NDArray[np.bool_]]:
    """Which tokens of whole clips (V, N): of each clip a share, drawn when they are read, the same at every reading."""
    seed = rng.spawn(1)[0].bit_generator.seed_seq.generate_state(4)

    def choose(tokens: Sound) -> NDArray[np.bool_]:
        order = _order(tokens.shape[:2], np.random.default_rng(seed))
        return np.asarray(order < np.round(shares * tokens.shape[1])[:, None])

    return choose


def _as_wide(of_frames: NDArray[Any], sound: Sound) -> NDArray[Any]:
    """One value per frame (V, F), broadcastable to the sound of a frame."""
    return of_frames.reshape(*of_frames.shape, *(1,) * (sound.ndim - 2))


def _white(split: "Split", rng: np.random.Generator) -> Foreign:
    """White noise: for embeddings drawn now, for tokens drawn when they are read, the same at every reading."""
    of_frames = rng.standard_normal(split.audio.shape, np.float32)
    seed = rng.spawn(1)[0].bit_generator.seed_seq.generate_state(4)

    def of_tokens(sound: Sound) -> NDArray[np.float32]:
        return np.random.default_rng(seed).standard_normal(sound.shape, np.float32)

    return Foreign(lambda sound: of_frames if sound.ndim == 3 else of_tokens(sound), of_tokens)


def partners(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """(V,) for each clip another one that has sound; no two clips with sound have the same. Raises OptionInvalid."""
    sounding = np.flatnonzero(mask.any(axis=1))
    if len(sounding) < 2:
        raise OptionInvalid("fewer than two clips have sound, so no other clip's can be mixed in")
    order = rng.permutation(sounding)
    partner = order[rng.integers(0, len(order), len(mask))]
    partner[order] = np.roll(order, 1)
    return partner


def _others(split: "Split", rng: np.random.Generator) -> Foreign:
    """For each frame the sound of a random frame with sound of the clip's partner; tokens keep their places in a frame, or in the
    clip."""
    partner = partners(split.audio_mask, rng)
    drawn = np.where(
        split.audio_mask[partner][:, None], rng.random((*split.audio_mask.shape, split.audio.shape[1])), -1
    )
    frame = drawn.argmax(axis=2)
    return Foreign(
        lambda sound: sound[partner[:, None], frame].astype(np.float32),
        lambda tokens: tokens[partner].astype(np.float32),
    )


def _order(
    shape: tuple[int, ...], rng: np.random.Generator, first: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """A random order of the entries of the last axis, as places; entries that are `first` come before the others."""
    drawn = rng.random(shape) + (0 if first is None else ~first)
    return drawn.argsort(axis=-1).argsort(axis=-1)


def share_of_sounding(sounding: NDArray[np.bool_], share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(V, F) bool: that share of each clip's frames that have sound."""
    return sounding & (_order(sounding.shape, rng, sounding) < np.round(share * sounding.sum(axis=1))[:, None])


def _noise(split: "Split", snr: float, rng: np.random.Generator) -> "Split":
    return _mix(split, _white(split, rng), snr, split.audio_mask, rng)


def _noise_frames(split: "Split", share: float, rng: np.random.Generator) -> "Split":
    return _mix(split, _white(split, rng), -INF, share_of_sounding(split.audio_mask, share, rng), rng)


def _other(split: "Split", snr: float, rng: np.random.Generator) -> "Split":
    return _mix(split, _others(split, rng), snr, split.audio_mask, rng)


def _other_frames(split: "Split", share: float, rng: np.random.Generator) -> "Split":
    return _mix(split, _others(split, rng), -INF, share_of_sounding(split.audio_mask, share, rng), rng)


def _late(split: "Split", seconds: float, rng: np.random.Generator) -> "Split":
    return _at_moments(split, split.time - seconds, rng)


def _turned(split: "Split", seconds: float, rng: np.random.Generator) -> "Split":
    moments = split.time if seconds == 0 else np.mod(split.time - seconds, np.maximum(split.duration, 1e-6)[:, None])
    return _at_moments(split, moments, rng)


def _at_moments(split: "Split", moments: NDArray[np.float32], rng: np.random.Generator) -> "Split":
    """The sound of other moments (V, F), interpolated linearly between two frames.

    A moment outside the clip has no sound, and neither has one whose nearer frame has none. Tokens of a whole clip have no
    moments: of them the share is lost that the frames lose.
    """
    time, frames = split.time, split.time.shape[1]
    own = np.arange(frames)
    right = np.stack([np.searchsorted(row, at) for row, at in zip(time, moments, strict=True)]).clip(0, frames - 1)
    right = np.where(moments == time, own, right)
    left = np.where((moments == time) | (moments > time[:, -1:]), right, np.maximum(right - 1, 0))
    at_left, at_right = np.take_along_axis(time, left, 1), np.take_along_axis(time, right, 1)
    apart = at_right - at_left
    weight = np.where(apart > 0, ((moments - at_left) / np.where(apart > 0, apart, 1)).clip(0, 1), 1.0)
    from_left = (1 - weight) * np.take_along_axis(split.audio_mask, left, 1)
    from_right = weight * np.take_along_axis(split.audio_mask, right, 1)
    total = from_left + from_right
    inside = (moments >= 0) & (moments <= split.duration[:, None])
    sounding = (total >= 0.5) & inside
    safe = np.where(sounding, total, 1)

    def moved(sound: Sound) -> Sound:
        def part(weights: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
            return _as_wide(weights, sound) * np.take_along_axis(sound, _as_wide(places, sound), 1).astype(np.float32)

        between = (part(from_left, left) + part(from_right, right)) / _as_wide(safe, sound)
        between = np.where(_as_wide(sounding, sound), between, 0).astype(sound.dtype)
        return np.where(_as_wide(moments == time, sound), sound, between)

    before, after = split.audio_mask.sum(axis=1), sounding.sum(axis=1)
    lost = _share_of_tokens(np.clip(1 - after / np.maximum(1, before), 0, 1) * (before > 0), rng)
    return split.change_audio(
        moved,
        lambda tokens: np.where(lost(tokens)[:, :, None], np.zeros((), tokens.dtype), tokens),
        audio_mask=sounding,
    )


def _missing(split: "Split", share: float, rng: np.random.Generator) -> "Split":
    sounding = np.asarray(split.audio_mask.any(axis=1))
    lost = sounding & (_order(sounding.shape, rng, sounding) < round(share * sounding.sum()))
    every = np.broadcast_to(lost[:, None], split.audio_mask.shape)
    return split.change_audio(
        lambda sound: np.where(_as_wide(every, sound), np.zeros((), sound.dtype), sound),
        lambda tokens: np.where(lost[:, None, None], np.zeros((), tokens.dtype), tokens),
        audio_mask=split.audio_mask & ~lost[:, None],
        audio_state=np.where(lost, AUDIO_STATES.index("no track"), split.audio_state).astype(split.audio_state.dtype),
    )


# Pictures


def dropped(shape: tuple[int, int], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """(V, F) the frame at each place when that share of frames is lost and the rest is spread over all places."""
    frames = shape[1]
    lost = min(round(share * frames), frames - 1)
    kept = np.sort(np.argsort(_order(shape, rng), axis=1)[:, lost:], axis=1)
    spread = ((np.arange(frames) + 0.5) * kept.shape[1] / frames).astype(np.int64)
    return kept[:, spread]


def repeated(shape: tuple[int, int], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """(V, F) the frame at each place when that share of frames repeats the one before; the first never does."""
    stuck = _order(shape, rng) < round(share * shape[1])
    own = np.where(stuck, 0, np.arange(shape[1]))
    return np.maximum.accumulate(own, axis=1)


def blackened(shape: tuple[int, int], share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(V, F) bool: which frames are black."""
    return _order(shape, rng) < round(share * shape[1])


def _frames_of(split: "Split", places: NDArray[np.int64]) -> "Split":
    read = split.read_patches

    def patches() -> NDArray[np.float16]:
        return np.take_along_axis(split.visual_as("patches"), places[..., None, None], axis=1)

    return replace(
        split,
        visual=np.take_along_axis(split.visual, places[..., None], axis=1),
        read_patches=None if read is None else patches,
    )


def _drop(split: "Split", share: float, rng: np.random.Generator) -> "Split":
    return _frames_of(split, dropped(split.audio_mask.shape, share, rng))


def _repeat(split: "Split", share: float, rng: np.random.Generator) -> "Split":
    return _frames_of(split, repeated(split.audio_mask.shape, share, rng))


def _black(split: "Split", share: float, rng: np.random.Generator) -> "Split":
    black = blackened(split.audio_mask.shape, share, rng)
    read = split.read_patches

    def patches() -> NDArray[np.float16]:
        tokens = split.visual_as("patches")
        return np.where(black[..., None, None], tokens.mean(axis=(0, 1), dtype=np.float64).astype(tokens.dtype), tokens)

    mean = split.visual.mean(axis=(0, 1), dtype=np.float64).astype(split.visual.dtype)
    return replace(
        split,
        visual=np.where(black[..., None], mean, split.visual),
        read_patches=None if read is None else patches,
    )


_MIXED = "each vector of sound keeps its length; frames without sound stay without"
FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("noise", "white noise in the sound", "signal to noise", "dB", SNR, "audio",
              f"a random direction is mixed into the sound's vector ({_MIXED})", _noise),
        Fault("noise-frames", "noise in place of the sound", "share of the sounding frames", "%", SHARES, "audio",
              "the sound's vector is replaced by a random direction of its length", _noise_frames),
        Fault("other", "another clip's sound mixed in", "own to other sound", "dB", SNR, "audio",
              f"the vector of a sounding frame of another clip is mixed in ({_MIXED})", _other),
        Fault("other-frames", "another clip's sound in place of the own", "share of the sounding frames", "%", SHARES,
              "audio", "the sound's vector is replaced by one of another clip, at its length", _other_frames),
        Fault("late", "sound that is late", "delay", "s", SECONDS, "audio",
              "each frame has the sound of the moment that much earlier, between two frames interpolated linearly; what comes "
              "before the clip's start is silence", _late),
        Fault("turned", "sound that is shifted round", "shift", "s", SECONDS, "audio",
              "as a late sound, but what falls off the end comes in at the start: no sound is lost, only its place", _turned),
        Fault("missing", "clips without sound", "share of the sounding clips", "%", SHARES, "audio",
              "the audio mask of the clip is false throughout", _missing),
        Fault("dropped", "frames dropped", "share of the frames", "%", SHARES, "visual",
              "lost frames are closed up and the others spread over all places, one at least; the sound stays", _drop),
        Fault("black", "frames black", "share of the frames", "%", SHARES, "visual",
              "what a backbone makes of black can't be known from a cache: the mean picture vector of the gallery (of patches: each place's mean) stands in its "
              "place (--media encodes black)", _black),
        Fault("repeated", "frames that freeze", "share of the frames", "%", SHARES, "visual",
              "a frozen frame shows the one before it; the sound continues", _repeat),
    )
}  # fmt: skip
