"""Clips to measure on: moving texture with H.264 and AAC, of a size, length and distance of key frames; the same every time."""

from fractions import Fraction
from pathlib import Path

import numpy as np

FOLDER = Path("data") / "bench"
RATE = 30
SOUND_RATE = 48_000
SIZES = {"360p": (640, 360), "1080p": (1920, 1080)}


def make_clip(size: str, gop: int, seconds: float, seed: int = 0, folder: Path = FOLDER) -> Path:
    """The path of such a clip, made if it is not there yet. A key frame every `gop` frames and nowhere else."""
    path = folder / f"{size}-gop{gop}-{seconds:g}s-{seed}.mp4"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished.mp4")
        _write(unfinished, *SIZES[size], gop, seconds, seed)
        unfinished.replace(path)
    return path


def _write(path: Path, width: int, height: int, gop: int, seconds: float, seed: int) -> None:
    import av

    rng = np.random.default_rng(seed)
    ground = _texture(rng, 2 * width, 2 * height)
    thing = _texture(rng, width // 3, height // 3)
    frames = round(seconds * RATE)
    options = {
        "preset": "veryfast", "crf": "23", "g": str(gop), "keyint_min": str(gop), "sc_threshold": "0", "threads": "2",
    }  # fmt: skip
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=RATE, options=options)
        picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
        sound = container.add_stream("aac", rate=SOUND_RATE)
        sound.layout = "stereo"
        for number in range(frames):
            x, y = (2 * number) % width, number % height
            drawn = ground[y : y + height, x : x + width].copy()
            at = int((0.5 + 0.4 * np.sin(number / 20)) * (width - width // 3))
            drawn[height // 3 : height // 3 + len(thing), at : at + thing.shape[1]] = thing
            for packet in picture.encode(av.VideoFrame.from_ndarray(drawn, format="rgb24")):
                container.mux(packet)
        container.mux(picture.encode(None))
        times = np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
        wave = 0.4 * np.sin(2 * np.pi * (300 + 50 * np.sin(times)) * times) + 0.02 * rng.standard_normal(len(times))
        frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]).astype(np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.time_base, frame.pts = SOUND_RATE, Fraction(1, SOUND_RATE), 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))


def _texture(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Blocks of several sizes and a little noise: as hard to code as a usual picture."""
    picture = np.zeros((height, width, 3))
    for block, weight in ((64, 0.5), (16, 0.3), (4, 0.2)):
        coarse = rng.integers(20, 235, (height // block + 1, width // block + 1, 3))
        picture += weight * coarse.repeat(block, 0).repeat(block, 1)[:height, :width]
    return np.clip(picture + rng.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)
