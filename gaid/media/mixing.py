"""Many channels as one: the share of each in the mix. Samples in, samples out; windows and files are left to other modules.

The mix is the mean of the standard stereo downmix (ITU-R BS.775): the centre and every channel beside, behind or above the
listener enter 3 dB below the front ones, and the LFE is left out. The weights are then scaled to sum to 1, so that the
mix never clips and a sound that is in all channels keeps its level. Where the places of the channels are not known,
and for ambisonics, the mix is the mean of the channels.
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

# FFmpeg's names of channels. The weight of one is the mean of its shares in the left and the right of a stereo downmix.
_FRONT = ("FL", "FR", "FLC", "FRC", "DL", "DR")
_AROUND = ("BL", "BR", "SL", "SR", "WL", "WR", "SDL", "SDR", "SSL", "SSR")
_ABOVE = ("TFL", "TFR", "TSL", "TSR", "TBL", "TBR", "TTL", "TTR", "BFL", "BFR")
_WEIGHTS = {
    **dict.fromkeys(_FRONT, 0.5),
    "FC": sqrt(0.5),
    **dict.fromkeys((*_AROUND, *_ABOVE), sqrt(0.5) / 2),
    **dict.fromkeys(("BC", "TC", "TFC", "TBC", "BFC"), 0.5),  # a half in each of two surround channels
    "LFE": 0.0,
    "LFE2": 0.0,
}


def channel_weights(names: Sequence[str], count: int) -> NDArray[np.float32]:
    """The shares (count,) of the channels in the mix, which sum to 1; `names` as FFmpeg calls them, empty where not known."""
    if len(names) == count and all(name in _WEIGHTS for name in names):
        weights = np.array([_WEIGHTS[name] for name in names])
        if weights.any():
            return (weights / weights.sum()).astype(np.float32)
    return np.full(count, 1 / count, np.float32)


def clean(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The samples within full scale, without the NaN and infinities of a damaged file. Changed in place."""
    np.nan_to_num(samples, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(samples, -1.0, 1.0, out=samples)


def mix(samples: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """(channels, n) as (n,)."""
    mono = weights[0] * samples[0]
    for weight, row in zip(weights[1:], samples[1:], strict=True):
        if weight:
            mono += weight * row
    return mono
