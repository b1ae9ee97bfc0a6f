"""High dynamic range to the standard one that encoders were trained on: PQ and HLG to 8-bit BT.709.

To light: the inverse transfer functions of ITU-R BT.2100, HLG for a display of 1,000 cd/m2. To the range of a standard
display whose white is the reference white of BT.2408 (203 cd/m2): the curve of BT.2390 section 5.4 (EETF) on the
largest of red, green and blue, so that hues stay. To the primaries of BT.709: the matrix of BT.2087, colours outside
cut off. To a signal: the inverse of BT.1886 (exponent 2.4). Light below 90 cd/m2 stays in proportion, reference white
becomes 230 of 255, and brighter light is compressed into the rest.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Transfer = Literal["pq", "hlg"]

WHITE = 203.0  # cd/m2
PEAK = 1000.0  # cd/m2: what most HDR video is mastered for, and HLG's nominal display
CODES = 1 << 16
GAMMA = 1.2  # HLG's system gamma for a display of 1,000 cd/m2
M1, M2 = 2610 / 16384, 2523 / 4096 * 128
C1, C2, C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
A, B, C = 0.17883277, 0.28466892, 0.55991073
LUMA_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)  # BT.2087


def pq_to_light(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """A PQ signal in [0, 1] as cd/m2."""
    root = signal ** (1 / M2)
    return 10_000 * (np.maximum(root - C1, 0) / (C2 - C3 * root)) ** (1 / M1)


def light_to_pq(light: NDArray[np.float64]) -> NDArray[np.float64]:
    power = (light / 10_000) ** M1
    return ((C1 + C2 * power) / (1 + C3 * power)) ** M2


def hlg_to_scene(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """An HLG signal in [0, 1] as the scene's light in [0, 1]."""
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - C) / A) + B) / 12)


@lru_cache
def _table(transfer: Transfer) -> NDArray[np.float32]:
    """The light of each 16-bit code: cd/m2 for PQ, the light of the scene for HLG."""
    signal = np.arange(CODES) / (CODES - 1)
    return (pq_to_light(signal) if transfer == "pq" else hlg_to_scene(signal)).astype(np.float32)


@lru_cache
def _curve() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The EETF of BT.2390 from [0, PEAK] to [0, WHITE] cd/m2, as a table to interpolate in."""
    top, white = (float(light_to_pq(np.array(light))) for light in (PEAK, WHITE))
    ends = white / top
    knee = 1.5 * ends - 0.5
    signal = np.linspace(0, 1, 2048)
    t = np.clip((signal - knee) / (1 - knee), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * ends
    return pq_to_light(signal * top), pq_to_light(np.where(signal < knee, signal, spline) * top)


def to_sdr(picture: NDArray[np.uint16], transfer: Transfer) -> NDArray[np.uint8]:
    """A picture (H, W, 3) of 16-bit PQ or HLG in BT.2020's primaries as 8-bit BT.709."""
    light = _table(transfer)[picture]
    if transfer == "hlg":
        light *= PEAK * (light @ LUMA_2020)[..., None] ** (GAMMA - 1)
    brightest = light.max(axis=2)
    pressed = np.interp(brightest, *_curve()) / np.maximum(brightest, 1e-6)
    light *= (pressed / WHITE).astype(np.float32)[..., None]
    signal = np.clip(light @ TO_709.T, 0, 1) ** np.float32(1 / 2.4)
    return (signal * 255 + 0.5).astype(np.uint8)


def shrink(picture: NDArray[np.uint16], least: int) -> NDArray[np.uint16]:
    """A picture divided by a whole number, its shorter side at least `least`: tone mapping of large pictures is slow."""
    factor = max(1, min(picture.shape[:2]) // least)
    if factor == 1:
        return picture
    height, width = (size // factor for size in picture.shape[:2])
    total = np.zeros((height, width, 3), np.uint32)
    for row in range(factor):
        for column in range(factor):
            total += picture[row::factor, column::factor][:height, :width]
    return ((total + factor**2 // 2) // factor**2).astype(np.uint16)
