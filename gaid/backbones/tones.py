"""The transcriber of `tiny`, which understands no language: tones are its words. It is for tests and for trying things out.

A tone of at least 0.15 s says the word whose frequency it has. Words with less than 0.5 s between them are one segment.
"""

import hashlib
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.specs import Segment

WORDS = (
    "apple", "bridge", "candle", "dragon", "engine", "forest", "garden", "hammer",
    "island", "jacket", "kettle", "ladder", "mirror", "needle", "orange", "pepper",
)  # fmt: skip
RATE = 16_000
LOWEST, STEP = 400, 100  # Hz of the first word, and from one word to the next
HOP = 800  # samples: 0.05 s, in which a frequency is known to 20 Hz
LEAST = 3  # hops of a word
PAUSE = 0.5  # s that end a segment
LOUD, PURE = 0.01, 0.8  # root mean square of a tone, and the share of its power at one frequency


class TinySpeech:
    """Tones as words."""

    name = "tiny"
    rate = RATE
    thread_safe = True

    def __init__(self) -> None:
        self.provenance: dict[str, Any] = {
            "name": "tiny",
            "weights": "none (tones are words)",
            "sha256": hashlib.sha256(" ".join(WORDS).encode()).hexdigest(),
            "input": f"{RATE} Hz",
            "random_weights": False,
        }

    def transcribe(self, sound: NDArray[np.float32]) -> list[Segment]:
        """The words of a sound (samples,), one after the other."""
        words = [(number, len(list(run))) for number, run in groupby(_tones(sound).tolist())]
        found: list[Segment] = []
        at = 0
        for number, hops in words:
            start, at = at * HOP / RATE, at + hops
            if number < 0 or hops < LEAST:
                continue
            said, end = WORDS[number], at * HOP / RATE
            if found and start - found[-1].end < PAUSE:
                found[-1] = Segment(f"{found[-1].text} {said}", found[-1].start, end)
            else:
                found.append(Segment(said, start, end))
        return found


def _tones(sound: NDArray[np.float32]) -> NDArray[np.int64]:
    """The number of the word of each hop, -1 where none is said: (hops,)."""
    hops = sound[: len(sound) // HOP * HOP].reshape(-1, HOP)
    power = np.abs(np.fft.rfft(hops * np.hanning(HOP).astype(np.float32), axis=1)) ** 2
    peak = power[:, 1:].argmax(axis=1) + 1
    near = np.clip(peak[:, None] + np.arange(-2, 3), 0, power.shape[1] - 1)
    pure = np.take_along_axis(power, near, axis=1).sum(axis=1) >= PURE * power.sum(axis=1) + 1e-12
    word = np.round((peak * RATE / HOP - LOWEST) / STEP).astype(np.int64)
    loud = np.sqrt(np.square(hops).mean(axis=1)) >= LOUD
    return np.where(loud & pure & (word >= 0) & (word < len(WORDS)), word, -1)
