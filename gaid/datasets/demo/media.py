"""Writes a planned clip as a real media file: H.264 and AAC in MP4, through PyAV. What is on it is left to drawing and sound."""

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from gaid.datasets.demo.drawing import HEIGHT, WIDTH, draw
from gaid.datasets.demo.sound import RATE, synthesise
from gaid.datasets.demo.world import FPS, ClipPlan

_ENCODERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("libx264", {"preset": "superfast", "crf": "24", "threads": "1", "x264-params": "mbtree=0"}),
    ("libopenh264", {}),
    ("mpeg4", {"qscale": "3"}),
)
"""The first that this build of FFmpeg has is used."""


def write_clip(plan: ClipPlan, path: Path) -> None:
    """Draws, sounds and encodes a clip. The file appears under its name only when it is whole."""
    import av

    # Named after the process: two that make the same world by mistake do not write into one file.
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.unfinished.mp4")
    with av.open(str(unfinished), "w") as container:
        picture = _add_video(container)
        samples = synthesise(plan)
        sound = None
        if samples is not None:
            sound = container.add_stream("aac", rate=RATE, options={"aac_coder": "fast"})
            sound.layout = "mono"
            sound.bit_rate = 96_000
        for frame in draw(plan):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(picture.encode(None))
        if sound is not None and samples is not None:
            _encode_sound(container, sound, samples)
    unfinished.replace(path)


def _add_video(container: Any) -> Any:
    import av

    for name, options in _ENCODERS:
        if name in av.codecs_available:
            stream = container.add_stream(name, rate=FPS, options=options)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            return stream
    raise RuntimeError(f"this FFmpeg can write none of {', '.join(name for name, _ in _ENCODERS)}")


def _encode_sound(container: Any, stream: Any, samples: np.ndarray) -> None:
    import av

    frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    frame.sample_rate = RATE
    frame.time_base = Fraction(1, RATE)
    frame.pts = 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
