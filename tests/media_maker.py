"""Writes small media files of every awkward kind, the same bytes every time, for tests of any part.

    write_video(path, frames=50)                       # 2 s of H.264/AAC in MP4; see the arguments for the rest
    clip.frames[i] -> read_number(clip.frames[i])      # the number of the picture, drawn into it

Each picture carries its own number as 8 black or white blocks, so a test knows which picture it was given.
"""

from collections.abc import Container, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 10


def draw_number(number: int, width: int = 160, height: int = 96, seed: int = 0) -> np.ndarray:
    """A picture (height, width, 3) uint8: a moving texture, and `number` in blocks along its middle."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 215, (height // 16 + 2, width // 16 + 2, 3))
    picture = np.kron(coarse, np.ones((16, 16, 1)))[:height, :width].astype(np.uint8)
    picture = np.roll(picture, 3 * number, axis=1)
    side = height * 8 // 10
    left, top = (width - side) // 2, (height - side) // 2
    edges = np.linspace(0, side, BITS + 1).round().astype(int)
    for bit in range(BITS):
        value = 235 if number >> bit & 1 else 20
        picture[top + side // 3 : top + 2 * side // 3, left + edges[bit] : left + edges[bit + 1]] = value
    return picture


def read_number(picture: np.ndarray) -> int:
    """The number in a picture that was cropped to its middle square and resized."""
    size = picture.shape[0]
    side = size * 8 / 10
    begin = (size - side) / 2
    grey = picture[int(size * 0.46) : int(size * 0.54)].mean(axis=(0, 2))
    bits = [
        grey[int(begin + (b + 0.3) * side / BITS) : int(begin + (b + 0.7) * side / BITS) + 1].mean()
        for b in range(BITS)
    ]
    return sum(1 << b for b, value in enumerate(bits) if value > 128)


def tone(seconds: float, rate: int, frequency: float = 440.0, channels: int = 1, level: float = 0.5) -> np.ndarray:
    """(channels, samples) float32."""
    t = np.arange(round(seconds * rate)) / rate
    return np.repeat((level * np.sin(2 * np.pi * frequency * t)).astype(np.float32)[None], channels, axis=0)


def write_video(
    path: Path,
    *,
    frames: int = 50,
    rate: int = 25,
    size: tuple[int, int] = (160, 96),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    gop: int = 25,
    bframes: int = 2,
    times: Sequence[float] | None = None,
    offset: float = 0.0,
    sound: np.ndarray | str | None = "tone",
    sound_rate: int = 44100,
    sound_codec: str = "aac",
    layout: str = "mono",
    sound_offset: float = 0.0,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    format: str | None = None,
    seed: int = 0,
) -> Path:
    """Writes a video of numbered pictures. `times`: when each comes on screen (variable rate), else every 1/rate s.

    `sound`: (channels, samples), "tone" for one as long as the video, None for no track. `size` is (width, height).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tick = Fraction(1, 12800)
    span = frames / rate if times is None else times[-1] + 1 / rate
    channels = av.AudioLayout(layout).nb_channels
    if isinstance(sound, str):
        sound = tone(span, sound_rate, channels=channels)
    with av.open(str(path), "w", format=format, options=container_options or {}) as out:
        video = out.add_stream(
            codec,
            rate=rate,
            options={"g": str(gop), "threads": "1", **_codec_options(codec, bframes), **(options or {})},
        )
        video.width, video.height, video.pix_fmt = *size, pix_fmt
        video.codec_context.time_base = tick if codec not in ("mpeg2video", "mpeg4", "mjpeg") else Fraction(1, rate)
        if rotation:
            video.set_display_rotation(rotation)
        tick = video.codec_context.time_base
        audio = None
        if sound is not None:
            audio = out.add_stream(sound_codec, rate=sound_rate, layout=layout)
        packets = []
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(draw_number(number, *size, seed=seed), format="rgb24")
            at = number / rate if times is None else times[number]
            picture.pts, picture.time_base = round((at + offset) / tick), tick
            packets += video.encode(picture)
        packets += video.encode(None)
        if audio is not None:
            packets += _encode_sound(audio, sound, sound_rate, layout, offset + sound_offset)
        # Picture and sound side by side, as a camera writes them.
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            out.mux(packet)
    return path


def _codec_options(codec: str, bframes: int) -> dict[str, str]:
    if codec == "libx264":
        # x264's tree of macroblocks gives other bytes from run to run where there are B-frames (seen in PyAV 18's wheel).
        return {"bf": str(bframes), "preset": "veryfast", "crf": "20", "sc_threshold": "0", "x264-params": "mbtree=0"}
    if codec == "libx265":
        return {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1"}
    if codec == "libvpx-vp9":
        return {"deadline": "realtime", "cpu-used": "8"}
    return {}


def _encode_sound(stream: object, sound: np.ndarray, rate: int, layout: str, offset: float) -> list[av.Packet]:
    context = stream.codec_context
    context.open()
    size = context.frame_size or 1024
    resampler = av.AudioResampler(format=context.format, layout=layout, rate=context.sample_rate)
    packets = []
    for begin in range(0, sound.shape[1], size):
        piece = np.ascontiguousarray(sound[:, begin : begin + size].T, np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(piece, format="flt", layout=layout)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = begin + round(offset * rate)
        for converted in resampler.resample(frame):
            packets += stream.encode(converted)
    for converted in resampler.resample(None):
        packets += stream.encode(converted)
    return packets + stream.encode(None)


def write_sound(
    path: Path, sound: np.ndarray, rate: int = 44100, codec: str = "pcm_s16le", layout: str = "mono"
) -> Path:
    """Writes a sound file; `sound` (channels, samples) float32."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, layout=layout)
        out.mux(_encode_sound(stream, sound, rate, layout, 0.0))
    return path


def break_packets(
    source: Path, target: Path, kind: str = "audio", seed: int = 0, which: Container[int] | None = None
) -> Path:
    """Copies a file with the packets of one kind of stream overwritten by noise: all, or those of these numbers."""
    number = -1
    rng = np.random.default_rng(seed)
    with av.open(str(source)) as inp, av.open(str(target), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in inp.streams}
        for packet in inp.demux():
            if not packet.size:
                continue
            stream = packet.stream
            number += stream.type == kind
            if stream.type == kind and (which is None or number in which):
                noise = av.Packet(rng.integers(0, 256, max(8, packet.size), np.uint8).tobytes())
                noise.pts, noise.dts, noise.duration, noise.time_base = (
                    packet.pts,
                    packet.dts,
                    packet.duration,
                    packet.time_base,
                )
                noise.is_keyframe = packet.is_keyframe
                packet = noise
            packet.stream = streams[stream.index]
            out.mux(packet)
    return target
