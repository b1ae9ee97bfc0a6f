"""Sounds that the transcriber `tiny` takes for words, and videos that have them."""

from pathlib import Path

import numpy as np

from gaid.backbones.tones import LOWEST, STEP, WORDS

RATE = 16_000


def say(*words: tuple[str, float], seconds: float = 4.0) -> np.ndarray:
    """A sound (samples,) in which each word is said for 0.3 s from its second on, and silence else."""
    sound = np.zeros(round(seconds * RATE), np.float32)
    times = np.arange(round(0.3 * RATE)) / RATE
    for word, start in words:
        tone = 0.3 * np.sin(2 * np.pi * (LOWEST + STEP * WORDS.index(word)) * times)
        sound[round(start * RATE) : round(start * RATE) + len(times)] = tone
    return sound


def write_speaker(path: Path, *words: tuple[str, float], seconds: float = 4.0, seed: int = 0) -> Path:
    """A video in which these words are said; one without a sound track where there are none."""
    from tests.media_maker import write_video

    sound = say(*words, seconds=seconds)[None] if words else None
    return write_video(
        path, frames=round(6 * seconds), rate=6, size=(64, 48), sound=sound, sound_rate=RATE, sound_codec="pcm_s16le",
        seed=seed,
    )  # fmt: skip
