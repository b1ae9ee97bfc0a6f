"""AST's picture of a sound: Kaldi's log-mel filter bank, in numpy. Fitting and normalising it is the encoder's."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
WINDOW = 400  # samples: 25 ms
_FFT = 512
_PRE_EMPHASIS = 0.97
_LOWEST = 20.0  # Hz
_FLOOR = float(np.finfo(np.float32).eps)


def fbank(sound: NDArray[np.float32], shift: int, bins: int) -> NDArray[np.float32]:
    """A sound (samples,) as the logarithm of its power in mel bins, (rows, bins): a row for every `shift` samples.

    As Kaldi makes it (HTK-compatible, Hann window, no energy, no dither): each window of 25 ms loses its mean and gets
    pre-emphasis; only windows that lie wholly inside the sound count, so a shorter sound has no row.
    """
    if len(sound) < WINDOW:
        return np.zeros((0, bins), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(sound.astype(np.float64), WINDOW)[::shift]
    windows = windows - windows.mean(axis=1, keepdims=True)
    before = np.concatenate([windows[:, :1], windows[:, :-1]], axis=1)
    shaped = (windows - _PRE_EMPHASIS * before) * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(shaped, _FFT, axis=1)) ** 2
    logarithm: NDArray[np.float32] = np.log(np.maximum(power @ _bank(bins), _FLOOR)).astype(np.float32)
    return logarithm


@lru_cache(maxsize=4)
def _bank(bins: int) -> NDArray[np.float64]:
    """Triangles of height 1 on Kaldi's mel scale from 20 Hz to half the rate, (frequencies, bins). The highest frequency counts in none."""

    mels = 1127.0 * np.log1p(np.array([_LOWEST, *(np.arange(_FFT // 2 + 1) * RATE / _FFT)]) / 700.0)
    edges, mels = np.linspace(float(mels[0]), float(mels[-1]), bins + 2), mels[1:, None]
    rising = (mels - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mels) / (edges[2:] - edges[1:-1])
    found = np.maximum(0.0, np.minimum(rising, falling))
    found[-1] = 0.0
    return found
