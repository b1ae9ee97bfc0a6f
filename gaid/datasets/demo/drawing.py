"""The pictures of a clip: a shape on a pale ground while there is something to see, drifting noise in many colours otherwise.

Drawn from a plan and its seed; nothing here writes a file.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from gaid.datasets.demo.world import BEATS, ClipPlan, Sight

WIDTH, HEIGHT = 160, 120

_RGB = {
    "red": (220, 30, 35),
    "orange": (250, 135, 15),
    "yellow": (245, 215, 20),
    "green": (40, 165, 50),
    "turquoise": (20, 195, 190),
    "blue": (30, 80, 220),
    "purple": (125, 45, 180),
    "pink": (250, 105, 180),
}
_GROUNDS = ((247, 244, 236), (236, 243, 248), (240, 247, 238), (246, 238, 244), (240, 240, 240))
_RADIUS = 26.0
_FINER = 4

Points = NDArray[np.float64]
Picture = NDArray[np.uint8]


def draw(plan: ClipPlan) -> Iterator[Picture]:
    """The frames of a clip, (HEIGHT, WIDTH, 3) each, in the order of time."""
    rng = np.random.default_rng([*plan.seed, 2])
    ground = _ground(rng)
    shown: list[Sight | None] = [None] * BEATS
    for sight in plan.sights:
        shown[sight.first : sight.first + sight.beats] = [sight] * sight.beats
    jitter = {sight: rng.uniform(-1, 1, size=3) for sight in plan.sights}
    for beat, what in enumerate(shown):
        if what is None:
            yield from _noise(plan.frames_per_beat, rng)
            continue
        still = None
        for k in range(plan.frames_per_beat):
            if still is not None:
                yield still
                continue
            progress = ((beat - what.first) * plan.frames_per_beat + k + 0.5) / (what.beats * plan.frames_per_beat)
            picture = _scene(what, progress, jitter[what], ground)
            still = picture if what.manner.startswith(("at", "in")) else None
            yield picture


def _ground(rng: np.random.Generator) -> NDArray[np.float32]:
    top = np.array(_GROUNDS[rng.integers(len(_GROUNDS))], dtype=np.float32)
    shade = np.linspace(1.0, 0.93, HEIGHT, dtype=np.float32)[:, None, None]
    return np.broadcast_to(top * shade, (HEIGHT, WIDTH, 3)).copy()


def _scene(sight: Sight, progress: float, jitter: NDArray[np.float64], ground: NDArray[np.float32]) -> Picture:
    x, y, radius = _where(sight.manner, progress)
    x, y, radius = x + 4 * jitter[0], y + 3 * jitter[1], radius * (1 + 0.08 * jitter[2])
    picture = ground.copy()
    for dx, dy, colour, strength in ((2.0, 3.0, (90, 90, 100), 0.25), (0.0, 0.0, _RGB[sight.colour], 1.0)):
        box, mask = _stamp(sight.shape, x + dx, y + dy, radius)
        mask = mask[..., None] * np.float32(strength)
        picture[box] += mask * (np.array(colour, dtype=np.float32) - picture[box])
    return (picture + np.float32(0.5)).astype(np.uint8)


def _where(manner: str, progress: float) -> tuple[float, float, float]:
    """Centre and radius in pixels at a moment of a sight: `progress` goes from 0 to 1."""
    x, y, radius = WIDTH / 2, HEIGHT / 2, _RADIUS
    across, down = 84 * (progress - 0.5), 56 * (progress - 0.5)
    if manner == "moves left":
        x -= across
    elif manner == "moves right":
        x += across
    elif manner == "moves up":
        y -= down
    elif manner == "moves down":
        y += down
    elif manner == "grows":
        radius *= 0.55 + 0.9 * progress
    elif manner == "shrinks":
        radius *= 1.45 - 0.9 * progress
    elif manner == "at the left":
        x -= 46
    elif manner == "at the right":
        x += 46
    elif manner == "at the top":
        y -= 28
    elif manner == "at the bottom":
        y += 28
    return x, y, radius


def _stamp(shape: str, x: float, y: float, radius: float) -> tuple[tuple[slice, slice], NDArray[np.float32]]:
    """The box of the picture that a shape touches, and how much of each pixel there it covers."""
    left, top = max(0, int(x - radius * 1.2)), max(0, int(y - radius * 1.2))
    right, bottom = min(WIDTH, int(x + radius * 1.2) + 2), min(HEIGHT, int(y + radius * 1.2) + 2)
    fine = Image.new("L", ((right - left) * _FINER, (bottom - top) * _FINER), 0)
    brush = ImageDraw.Draw(fine)
    for points, ink in _OUTLINES[shape]:
        place = (points * radius + (x - left, y - top)) * _FINER
        brush.polygon([(float(px), float(py)) for px, py in place], fill=ink)
    covered = np.asarray(fine.reduce(_FINER), dtype=np.float32)
    return (slice(top, bottom), slice(left, right)), covered / np.float32(255)


def _noise(count: int, rng: np.random.Generator) -> Iterator[Picture]:
    """A beat of visual noise: tiles, blots or bands in a few of the sights' own colours, under grain, drifting."""
    kind = rng.choice(["tiles", "blots", "bands"])
    field = {"tiles": _tiles, "blots": _blots, "bands": _bands}[str(kind)](rng)
    inks = np.array([*_RGB.values(), _GROUNDS[0]], dtype=np.float32)
    palette = inks[rng.choice(len(inks), 4, replace=False)]
    # One ink prevails, so that noise says "red" as loudly as a red shape does.
    borders = np.cumsum(rng.permutation([0.5, 0.25, 0.15, 0.1]))[:3]
    colours = palette[np.digitize(field, np.quantile(field, borders))]
    grain = rng.normal(0, 28, size=(field.shape[0] // 3, field.shape[1] // 3, 1)).astype(np.float32)
    colours = colours + np.repeat(np.repeat(grain, 3, axis=0), 3, axis=1)
    whole = np.clip(colours, 0, 255).astype(np.uint8)
    step = rng.integers(-2, 3, size=2)
    for k in range(count):
        top, left = _MARGIN + k * step
        yield np.ascontiguousarray(whole[top : top + HEIGHT, left : left + WIDTH])


_MARGIN = 12
_CANVAS = (HEIGHT + 2 * _MARGIN, WIDTH + 2 * _MARGIN + 2)
"""Larger than the picture, so that there is something to drift; both sides divide by the grain's size."""


def _tiles(rng: np.random.Generator) -> NDArray[np.float32]:
    side = int(rng.integers(6, 17))
    rows, columns = -(-_CANVAS[0] // side), -(-_CANVAS[1] // side)
    tiles = rng.random((rows, columns), dtype=np.float32)
    return np.repeat(np.repeat(tiles, side, axis=0), side, axis=1)[: _CANVAS[0], : _CANVAS[1]]


def _blots(rng: np.random.Generator) -> NDArray[np.float32]:
    coarse = rng.random((int(rng.integers(4, 10)), int(rng.integers(5, 13))), dtype=np.float32)
    return np.asarray(Image.fromarray(coarse).resize((_CANVAS[1], _CANVAS[0]), Image.Resampling.BICUBIC))


def _bands(rng: np.random.Generator) -> NDArray[np.float32]:
    y, x = np.mgrid[: _CANVAS[0], : _CANVAS[1]].astype(np.float32)
    turn, wave, sway = rng.uniform(0, np.pi), rng.uniform(20, 60), rng.uniform(0, 8)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return np.asarray(np.sin(2 * np.pi * (along + sway * np.sin(across / 12)) / wave), dtype=np.float32)


def _circle(radius: float = 1.0, x: float = 0.0, y: float = 0.0) -> Points:
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


def _polygon(corners: int, radii: tuple[float, ...] = (1.0,), turn: float = 0.0) -> Points:
    angle = turn - np.pi / 2 + np.arange(corners) * 2 * np.pi / corners
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.resize(radii, corners)[:, None]


def _heart() -> Points:
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y - 2], axis=1) / 16


def _cross(arm: float = 0.36) -> Points:
    corner = [(-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm)]
    return np.array(corner + [(-x, -y) for x, y in corner])


_OUTLINES: dict[str, tuple[tuple[Points, int], ...]] = {
    "circle": ((_circle(), 255),),
    "square": ((_polygon(4, (1.2,), np.pi / 4), 255),),
    "triangle": ((_polygon(3, (1.2,)) + (0, 0.2), 255),),
    "star": ((_polygon(10, (1.2, 0.48)), 255),),
    "cross": ((_cross(), 255),),
    "heart": ((_heart(), 255),),
    "ring": ((_circle(1.05), 255), (_circle(0.62), 0)),
    "moon": ((_circle(1.1), 255), (_circle(0.95, 0.55, -0.15), 0)),
}
"""Polygons around (0, 0) in units of the radius; painted one upon the other, 255 covers and 0 clears."""
