"""Faults of sound and frames on the real files: decoded, corrupted, and encoded by the store's own backbones.

A sample of the gallery is enough; it is the whole gallery of these curves. The clips are decoded once; only a late sound is
decoded again, since a window does not contain what comes before it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaid.backbones import AudioBackbone, VisualBackbone
from gaid.errors import DataMissing, MediaError, OptionInvalid
from gaid.extract.encoder import encode_sound, fixed_threads
from gaid.extract.sources import find_videos, load_encoder
from gaid.extract.steps import encode_clips
from gaid.media import pieces
from gaid.media.clip import Clip, ClipRequest, Sampling
from gaid.media.pool import DecodePool
from gaid.media.sound import SILENCE
from gaid.stress.faults import (
    FAULTS,
    Fault,
    amplitudes,
    blackened,
    dropped,
    generator,
    partners,
    repeated,
    share_of_sounding,
)
from gaid.stress.measure import StressTest
from gaid.stress.results import Finding, MediaSample

if TYPE_CHECKING:
    from gaid.stores import Split, Store

WORKERS = 2
_HOW = {
    "noise": "white noise is added to the whole sound of a clip that has any, silent windows too; the level stays",
    "noise-frames": "the window is white noise of the clip's level",
    "other": "the sound of another clip, brought to the own one's level, is added to the whole sound; the level stays",
    "other-frames": "the window is that of another clip, at the own one's level",
    "late": "the windows are cut that much earlier; what comes before the clip's start is silence",
    "dropped": "lost pictures are closed up and the others spread over all places, one at least",
    "black": "the picture is black and goes through the backbone",
    "repeated": "a frozen frame is the picture before it again",
}


@dataclass
class Files:
    """The decoded clips of a sample and their encoders; `tokens`: sound is also encoded as tokens. Clips that were decoded with
    their whole sound are also encoded as one."""

    split: "Split"
    clips: list[Clip]
    requests: list[ClipRequest]
    visual: VisualBackbone
    audio: AudioBackbone
    seed: int
    tokens: bool = False
    late: dict[float, list[Clip]] = field(default_factory=dict, repr=False)

    @property
    def of_clips(self) -> bool:
        """Whether a head listens to tokens of whole clips."""
        return self.requests[0].clip_sound

    # Encoding: one clip at a time, as extraction does on the CPU, so that clean features have the cached bytes.

    def change_frames(self, change: Callable[[int, NDArray[np.uint8]], NDArray[np.uint8]]) -> "Split":
        """The sample with its frames changed by `change(row, frames)`."""
        with fixed_threads(1):
            features = [
                self.visual.encode_frames(change(row, clip.frames)[None])[0].astype(np.float16)
                for row, clip in enumerate(self.clips)
            ]
        return replace(self.split, visual=np.stack(features))

    def change_sound(self, change: Callable[[int, Clip], Clip]) -> "Split":
        """The sample with its sound changed: `change(row, clip)` returns the clip with other sound."""
        features, tokens, masks, of_clips = [], [], [], []
        with fixed_threads(1):
            for row, clip in enumerate(self.clips):
                changed = change(row, clip)
                vectors, of_tokens = encode_sound([changed], self.audio, self.tokens)
                features.append(vectors[0].astype(np.float16))
                masks.append(changed.audio_mask)
                if of_tokens is not None:
                    tokens.append(of_tokens[0].astype(np.float16))
                if self.of_clips:
                    of_clips.append(encode_clips([changed], self.audio)[0].astype(np.float16))
        return replace(
            self.split,
            audio=np.stack(features),
            audio_mask=np.stack(masks),
            read_audio_tokens=(lambda: np.stack(tokens)) if self.tokens else None,
            read_audio_clip_tokens=(lambda: np.stack(of_clips)) if self.of_clips else None,
        )

    # Faults

    def _late(self, strengths: tuple[float, ...]) -> dict[float, list[Clip]]:
        """The clips under all delays, decoded once; a clip without sound stays without."""
        if not self.late:
            wanted = [replace(one, sound_late=seconds) for seconds in strengths for one in self.requests]
            sounds = [_still_there(clip) for clip in _decode(wanted)]
            count = len(self.requests)
            self.late = {one: sounds[at * count : (at + 1) * count] for at, one in enumerate(strengths)}
        return self.late

    def spoil(self, fault: Fault, strength: float) -> "Split":
        """The sample under a fault of one of `_HOW`'s names."""
        rng = generator(self.seed, fault.name)
        shape = (len(self.clips), self.clips[0].frames.shape[0])
        if fault.name in ("dropped", "repeated"):
            places = (dropped if fault.name == "dropped" else repeated)(shape, strength, rng)
            return self.change_frames(lambda row, frames: frames[places[row]])
        if fault.name == "black":
            black = blackened(shape, strength, rng)
            return self.change_frames(
                lambda row, frames: np.where(black[row][:, None, None, None], np.uint8(0), frames)
            )
        if fault.name == "late":
            late = self._late(fault.strengths)[strength]
            return self.change_sound(lambda row, _: late[row])
        frames = None
        if fault.name.endswith("-frames"):
            frames = share_of_sounding(np.stack([clip.audio_mask for clip in self.clips]), strength, rng)
        partner = None
        if fault.name.startswith("other"):
            partner = partners(np.stack([clip.audio_mask for clip in self.clips]), rng)
        mixing = Mixing(partner, rng.integers(2**63, size=len(self.clips)), strength, frames)
        ones = [_as_one(clip) for clip in self.clips] if self.of_clips else []

        def change(row: int, clip: Clip) -> Clip:
            mixed = mixing.mix(self.clips, row)
            return replace(mixed, clip_sound=mixing.mix(ones, row).audio[0]) if ones else mixed

        return self.change_sound(change)


@dataclass(frozen=True)
class Mixing:
    """Noise (without `partner`) or the partner's sound (V,) in a clip's own: at `strength` dB everywhere, or in place of the sound
    of `frames` (V, F)."""

    partner: NDArray[np.int64] | None
    seeds: NDArray[np.int64]
    strength: float
    frames: NDArray[np.bool_] | None

    def mix(self, clips: list[Clip], row: int) -> Clip:
        """The clip of a row with its sound mixed."""
        clip, frames = clips[row], self.frames
        signal, noise = amplitudes(self.strength if frames is None else -np.inf)
        if not clip.audio_mask.any() or (frames is None and noise == 0):
            return clip
        own, shape = pieces.of_clip(clip), clip.audio.shape
        if self.partner is None:
            other = np.random.default_rng(self.seeds[row]).standard_normal(shape, np.float32)
            sounding = np.ones(shape, np.bool_)
        else:
            neighbour = clips[self.partner[row]]
            other, sounding = _fitted(neighbour.audio, shape), _fitted(_with_sound(neighbour), shape)
        other = other * (_level(clip.audio, _with_sound(clip)) / max(_level(other, sounding), 1e-9))
        mixed = np.clip(signal * clip.audio + noise * other, -1, 1).astype(np.float32)
        if frames is not None:
            mixed = np.where(pieces.inside(shape, own, frames[row]), mixed, clip.audio)
        if clip.audio_window is None:  # published: silence is encoded too
            return replace(clip, audio=mixed)
        mask = np.sqrt(pieces.powers(mixed, own)) >= SILENCE
        if frames is not None:
            mask = np.where(frames[row], mask, clip.audio_mask)
        mixed[~pieces.inside(shape, own, mask)] = 0
        return replace(clip, audio=mixed, audio_mask=mask)


def _as_one(clip: Clip) -> Clip:
    """The clip with its whole sound in place of that around its frames, which share it in equal parts."""
    return replace(clip, audio=clip.clip_sound[None], audio_starts=np.zeros(1, np.int64), audio_window=None)


def _with_sound(clip: Clip) -> NDArray[np.bool_]:
    """Which samples (F or G, n) belong to a frame that has sound."""
    return pieces.inside(clip.audio.shape, pieces.of_clip(clip), clip.audio_mask)


def _level(sound: NDArray[np.float32], heard: NDArray[np.bool_]) -> float:
    """Root mean square of the samples that are heard."""
    return float(np.sqrt(np.square(sound[heard], dtype=np.float64).mean())) if heard.any() else 0.0


def _fitted(samples: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Windows or pieces of another clip, whose number and length follow from its own duration, repeated or cut to this shape."""
    return samples[np.arange(shape[0]) % len(samples)][:, np.arange(shape[1]) % samples.shape[1]]


def _still_there(clip: Clip | MediaError) -> Clip:
    if isinstance(clip, MediaError):  # it could be decoded a moment ago
        raise DataMissing(f"a clip can't be decoded any more ({clip}); were the files moved?")
    return clip


def _decode(requests: list[ClipRequest]) -> list[Clip | MediaError]:
    with DecodePool(WORKERS) as pool:
        return list(pool.map(requests))


def open_files(
    store: "Store",
    split: "Split",
    root: str | Path | None,
    clips: int,
    device: str,
    seed: int,
    names: Mapping[str, str | None] | None = None,
    tokens: bool = False,
    clip_tokens: bool = False,
) -> tuple[Files, MediaSample]:
    """Decodes a sample of a split's clips, drawn by `seed`; those that fail are left out and named.

    `names` has the names of backbones (`visual`, `audio`) that are called otherwise here than in the store. `tokens`: a head listens to
    tokens of the frames' sound; `clip_tokens`: to those of whole clips.

    Raises GaidError where the data set, its files or the backbones are not at hand.
    """
    if clips < 2:
        raise OptionInvalid(f"--clips {clips}: two at least, since clips must be told apart")
    count = len(split.video_ids)
    rows = np.sort(np.random.default_rng(seed).choice(count, min(clips, count), replace=False))
    wanted = [split.video_ids[row] for row in rows]
    videos = find_videos(store, wanted, root)
    lacking = [one for one in wanted if one not in videos]
    if lacking:
        raise DataMissing(f"--media: the data set has no clip {lacking[0]!r}; say with --root where its files are")
    names = names or {}
    pictures = load_encoder(store, "visual", device, names.get("visual"))
    sounds = load_encoder(store, "audio", device, names.get("audio"))
    sampling = Sampling.of_store(store)
    requests = [
        replace(ClipRequest.of(one, sampling, pictures.frame_spec, sounds.audio_spec), clip_sound=clip_tokens)
        for one in videos.values()
    ]
    decoded = _decode(requests)
    good = [row for row, clip in enumerate(decoded) if isinstance(clip, Clip)]
    failed = [split.video_ids[rows[row]] for row, clip in enumerate(decoded) if not isinstance(clip, Clip)]
    if len(good) < 2:
        first = next((str(clip) for clip in decoded if isinstance(clip, MediaError)), "")
        raise DataMissing(
            f"--media: {len(good)} of {len(rows)} clips can be decoded ({first}); say with --root where they are"
        )
    files = Files(
        split.take(rows[good]),
        [clip for clip in decoded if isinstance(clip, Clip)],
        [requests[row] for row in good],
        pictures,
        sounds,
        seed,
        tokens,
    )
    cached = files.split
    files.split = replace(files.change_sound(lambda _, clip: clip), visual=files.change_frames(lambda _, f: f).visual)
    apart = max(
        float(np.abs(getattr(files.split, sense).astype(np.float32) - getattr(cached, sense).astype(np.float32)).max())
        for sense in ("visual", "audio")
    )
    return files, MediaSample(len(good), count, len(files.split.caption_ids), failed, apart)


def media_faults(test: StressTest, files: Files, names: list[str], say: Callable[[str], None]) -> list[Finding]:
    """Curves of a test's heads over a sample of real files, for those of `names` that files can have."""
    able = {label: one for label, one in test.benches.items() if one.head().visual_input == "frames"}
    if not able:
        return []
    # A test of its own: the sample is its gallery, and its clean features are those that were just encoded.
    of_sample = StressTest(able).on(files.split)
    found = []
    for name in names:
        if name not in _HOW:
            continue
        fault = FAULTS[name]
        if fault.touches == "audio" and files.split.audio_mask.any(axis=1).sum() < 2:
            continue
        say(f"real files: {fault.title}")
        spoil = partial(files.spoil, fault)
        finding = of_sample.fault_of_splits(replace(fault, how=_HOW[name]), "media", spoil, f"media-{name}")
        lacking = [label for label in test.benches if label not in able]
        finding.not_applicable |= dict.fromkeys(lacking, "looks at patch tokens, which are not made here")
        found.append(finding)
    return found
