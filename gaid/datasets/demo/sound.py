"""The sound of a clip: twenty kinds of sound that can be known within a third of a second, amid noise that is as loud.

Synthesised from a plan and its seed; nothing here writes a file.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gaid.datasets.demo.world import BEATS, ClipPlan

RATE = 24_000
LOUDNESS = 0.12
"""Root mean square of every sound, and of the noise around them."""

Samples = NDArray[np.float64]


def synthesise(plan: ClipPlan) -> NDArray[np.float32] | None:
    """Samples in [-1, 1] at `RATE`, as long as the clip; None where the clip has no audio track."""
    if plan.track == "none":
        return None
    beat = round(plan.beat * RATE)
    samples = np.zeros(BEATS * beat)
    if plan.track == "silent":
        return samples.astype(np.float32)
    rng = np.random.default_rng([*plan.seed, 1])
    noisy = np.ones(BEATS, dtype=bool)
    for sound in plan.sounds:
        noisy[sound.first : sound.first + sound.beats] = False
        piece = slice(sound.first * beat, (sound.first + sound.beats) * beat)
        samples[piece] = _finish(_VOICES[sound.name](sound.beats * beat, rng))
    for at in np.flatnonzero(noisy):
        samples[at * beat : (at + 1) * beat] = _finish(_noise(beat, rng))
    return np.clip(samples, -1, 1).astype(np.float32)


def _finish(samples: Samples) -> Samples:
    """The same loudness for all, and edges that do not click."""
    ramp = RATE // 200
    samples = samples * (LOUDNESS / np.sqrt(np.mean(samples**2)))
    samples[:ramp] *= np.linspace(0, 1, ramp)
    samples[-ramp:] *= np.linspace(1, 0, ramp)
    return samples


def _noise(count: int, rng: np.random.Generator) -> Samples:
    """Hiss that is strong in one or two bands, swells at some rate, and crackles; no two beats of it are alike.

    Band and rate are drawn from where the sounds have theirs, so that noise calls out as loudly as they do; that it is
    noise is heard by its hissing.
    """
    spectrum = np.fft.rfft(rng.standard_normal(count))
    octave = np.log2(np.fft.rfftfreq(count, 1 / RATE) + 50)
    bands = ((rng.uniform(10, 30), rng.uniform(6.3, 12.5), rng.uniform(0.25, 1)) for _ in range(rng.integers(1, 3)))
    decibel = sum(height * np.exp(-(((octave - centre) / width) ** 2)) for height, centre, width in bands)
    hiss = np.fft.irfft(spectrum * 10 ** (decibel / 20) / np.sqrt(2**octave), count)
    hiss /= hiss.std()
    rate, depth = np.exp(rng.uniform(np.log(3), np.log(40))), rng.uniform(0, 0.95)
    hiss *= 1 + depth * np.sin(2 * np.pi * (rate * _time(count) + rng.random()))
    pops = np.zeros(count)
    at = rng.integers(count, size=rng.integers(0, 20))
    pops[at] = rng.normal(0, 8, size=at.size)
    return np.asarray(hiss + np.convolve(pops, np.exp(-np.arange(40) / 8), mode="same"))


def _time(count: int) -> Samples:
    return np.arange(count) / RATE


def _tone(frequency: Samples | float, count: int, harmonics: tuple[float, ...] = (1.0,)) -> Samples:
    """A tone whose frequency (Hz) may change from sample to sample; `harmonics` are the strengths of its multiples."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(frequency, (count,))) / RATE
    return np.asarray(sum(strength * np.sin(k * phase) for k, strength in enumerate(harmonics, 1)))


def _since(times_a_second: float, count: int) -> Samples:
    """Seconds since the last of strokes that come so many times a second."""
    return np.mod(_time(count), 1 / times_a_second)


def _vary(rng: np.random.Generator, value: float, by: float = 0.04) -> float:
    """No two instruments are tuned alike."""
    return float(value * np.exp(rng.normal(0, by)))


def _hum(count: int, rng: np.random.Generator) -> Samples:
    return _tone(_vary(rng, 85), count, (1.0, 0.5, 0.25, 0.1))


def _flute(count: int, rng: np.random.Generator) -> Samples:
    vibrato = 1 + 0.012 * np.sin(2 * np.pi * 6 * _time(count))
    return _tone(_vary(rng, 590) * vibrato, count, (1.0, 0.15, 0.08))


def _whistle(count: int, rng: np.random.Generator) -> Samples:
    return _tone(_vary(rng, 2400), count)


def _rise(count: int, rng: np.random.Generator) -> Samples:
    return _tone(_vary(rng, 300) * 2 ** (3 * 4 * _since(4, count)), count)


def _fall(count: int, rng: np.random.Generator) -> Samples:
    return _tone(_vary(rng, 300) * 2 ** (3 * (1 - 4 * _since(4, count))), count)


def _ticking(count: int, rng: np.random.Generator) -> Samples:
    since = _since(_vary(rng, 8), count)
    return np.exp(-since / 0.004) * np.sin(2 * np.pi * _vary(rng, 3000) * since)


def _rattle(count: int, rng: np.random.Generator) -> Samples:
    since = _since(_vary(rng, 28), count)
    return np.exp(-since / 0.003) * np.sin(2 * np.pi * _vary(rng, 1300) * since)


def _beeps(count: int, rng: np.random.Generator) -> Samples:
    return _tone(_vary(rng, 1000), count) * (_since(6, count) < 0.08)


def _buzz(count: int, rng: np.random.Generator) -> Samples:
    return _tone(_vary(rng, 140), count, tuple(1 / np.sqrt(k) for k in range(1, 25)))


def _trill(count: int, rng: np.random.Generator) -> Samples:
    return _tone(_vary(rng, 1300) * np.where(_since(13, count) < 0.5 / 13, 1.0, 1.35), count)


def _birds(count: int, rng: np.random.Generator) -> Samples:
    since = _since(9, count)
    return _tone(_vary(rng, 3600) * (1 + 4 * since), count) * (since < 0.06) * np.sin(np.pi * since / 0.06).clip(0)


def _bell(count: int, rng: np.random.Generator) -> Samples:
    since, pitch = _since(4, count), _vary(rng, 820)
    partials = ((1.0, 1.0), (0.7, 2.76), (0.5, 5.4), (0.3, 8.93))
    return np.asarray(sum(s * np.exp(-since * 7 * k**0.5) * np.sin(2 * np.pi * pitch * k * since) for s, k in partials))


def _drum(count: int, rng: np.random.Generator) -> Samples:
    since = _since(6, count)
    return np.exp(-since / 0.04) * np.sin(2 * np.pi * _vary(rng, 90) * (since + 0.02 * (1 - np.exp(-since / 0.02))))


def _organ(count: int, rng: np.random.Generator) -> Samples:
    root = _vary(rng, 262)
    return np.asarray(sum(_tone(root * ratio, count, (1.0, 0.5, 0.3, 0.3)) for ratio in (1, 1.26, 1.5)))


def _siren(count: int, rng: np.random.Generator) -> Samples:
    return _tone(_vary(rng, 480) * np.where(_since(4, count) < 0.125, 1.0, 1.6), count, (1.0, 0.7, 0.5, 0.3, 0.2))


def _laser(count: int, rng: np.random.Generator) -> Samples:
    since = _since(9, count)
    return _tone(_vary(rng, 5000) * np.exp(-since / 0.035) + 200, count) * np.exp(-since / 0.08)


def _engine(count: int, rng: np.random.Generator) -> Samples:
    since = _since(_vary(rng, 18), count)
    return _tone(_vary(rng, 180), count, (1.0, 1.0, 0.8, 0.5, 0.3)) * np.exp(-since / 0.015)


def _horn(count: int, rng: np.random.Generator) -> Samples:
    return _tone(_vary(rng, 330), count, (0.6, 0.9, 1.0, 0.9, 0.7, 0.5, 0.3, 0.2))


def _crickets(count: int, rng: np.random.Generator) -> Samples:
    return _tone(_vary(rng, 4700), count) * (1 + np.sin(2 * np.pi * 35 * _time(count))) * (_since(7, count) < 0.09)


def _bubbles(count: int, rng: np.random.Generator) -> Samples:
    since = _since(11, count)
    return _tone(_vary(rng, 420) * 2 ** (since * 11 * 1.2), count) * np.exp(-since / 0.03)


_VOICES: dict[str, Callable[[int, np.random.Generator], Samples]] = {
    "hum": _hum,
    "flute": _flute,
    "whistle": _whistle,
    "rise": _rise,
    "fall": _fall,
    "ticking": _ticking,
    "rattle": _rattle,
    "beeps": _beeps,
    "buzz": _buzz,
    "trill": _trill,
    "birds": _birds,
    "bell": _bell,
    "drum": _drum,
    "organ": _organ,
    "siren": _siren,
    "laser": _laser,
    "engine": _engine,
    "horn": _horn,
    "crickets": _crickets,
    "bubbles": _bubbles,
}
