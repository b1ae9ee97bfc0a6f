"""Controls: splits with the same videos and captions and other features, which show what a figure depends on.

The audio of another clip or another moment, no audio, and noise in place of all features of a clip. Training and
evaluation both take them from here, so that a name means the same in both.
"""

from dataclasses import replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gaid.errors import OptionInvalid
from gaid.stores.split import Split

Audio = Literal["own", "shuffled", "moved", "silence", "none"]
"""Own; another clip's; its own in another order of frames; zeros that count as audio; none (mask false everywhere)."""


def derangement(count: int, seed: int) -> NDArray[np.int64]:
    """A permutation of 0..count-1 that leaves nothing in its place (impossible for a single item)."""
    order = np.random.default_rng([seed, 17]).permutation(count)
    other = np.empty(count, np.int64)
    other[order] = np.roll(order, 1)
    return other


def with_audio(split: Split, audio: Audio | str, seed: int = 0) -> Split:
    """The split with other audio. `seed` decides which clip's, or which order. Raises OptionInvalid for an unknown name."""
    if audio not in get_args(Audio):
        raise OptionInvalid(f"audio {audio!r} is none of {', '.join(get_args(Audio))}")
    if audio == "own":
        return split
    if audio == "shuffled":
        other = derangement(len(split.video_ids), seed)
        return split.change_audio(
            lambda sound: sound[other], lambda tokens: tokens[other], audio_mask=split.audio_mask[other]
        )
    if audio == "moved":
        videos, frames = split.audio_mask.shape
        # A rotation by one frame at least: every frame gets the audio of another moment, in the same order.
        by = np.random.default_rng([seed, 18]).integers(1, max(2, frames), videos)
        place = (np.arange(frames) + by[:, None]) % frames
        rows = np.arange(videos)[:, None]
        return split.change_audio(
            lambda sound: sound[rows, place],
            lambda tokens: _rotated(tokens, by * tokens.shape[1] // frames),
            audio_mask=split.audio_mask[rows, place],
        )
    return split.change_audio(
        np.zeros_like, np.zeros_like, audio_mask=np.full_like(split.audio_mask, audio == "silence")
    )


def _rotated(tokens: NDArray, by: NDArray[np.int64]) -> NDArray:
    """Each clip's tokens (V, N, D) rotated by so many places; a head that reads them as a set does not notice."""
    count = tokens.shape[1]
    return np.take_along_axis(tokens, ((np.arange(count) + by[:, None]) % count)[:, :, None], axis=1)


def with_noise(split: Split, seed: int = 0) -> Split:
    """The split with normal noise for visual and audio features, with the mean and spread of each of their dimensions.

    Captions and masks stay. Whatever a head still finds among such videos does not come from their features.
    """
    rng = np.random.default_rng([seed, 19])

    def noise(features: NDArray, of: NDArray, rng: np.random.Generator = rng) -> NDArray:
        if not len(of):
            return features
        mean, spread = of.mean(axis=0, dtype=np.float64), of.std(axis=0, dtype=np.float64)
        drawn = rng.standard_normal(features.shape, dtype=np.float32)
        return (mean + spread * drawn).astype(features.dtype)

    heard = split.audio_mask
    seen = noise(split.visual, split.visual.reshape(-1, split.visual.shape[-1]))
    sound = np.where(heard[..., None], noise(split.audio, split.audio[heard]), 0).astype(split.audio.dtype)
    read, read_sound, read_clips = split.read_patches, split.read_audio_tokens, split.read_audio_clip_tokens

    def patches() -> NDArray:
        tokens = split.visual_as("patches")
        return noise(tokens, tokens.reshape(-1, tokens.shape[-1]))

    def audio_tokens() -> NDArray:
        tokens = split.audio_as("tokens")
        drawn = noise(tokens, tokens[heard].reshape(-1, tokens.shape[-1]), np.random.default_rng([seed, 20]))
        return np.where(heard[..., None, None], drawn, 0).astype(tokens.dtype)

    def clip_tokens() -> NDArray:
        tokens = split.audio_as("clip")
        return noise(tokens, tokens.reshape(-1, tokens.shape[-1]), np.random.default_rng([seed, 21]))

    return replace(
        split,
        visual=seen,
        audio=sound,
        read_patches=None if read is None else patches,
        read_audio_tokens=None if read_sound is None else audio_tokens,
        read_audio_clip_tokens=None if read_clips is None else clip_tokens,
    )
