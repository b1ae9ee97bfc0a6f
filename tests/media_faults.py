"""Makes of well-formed media files what cameras, recorders and odd muxers make of them, for tests of any part."""

import struct
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.media_maker import draw_number

TS_PACKET = 188


def flag_every_sample(source: Path, target: Path) -> Path:
    """Copies an MP4 without its table of sync samples, so that every sample counts as a key frame."""
    data = source.read_bytes()
    assert data.count(b"stss") == 1
    target.write_bytes(data.replace(b"stss", b"free"))
    return target


def strip_times(source: Path, target: Path, without: Callable[[int], bool]) -> Path:
    """Copies a transport stream; the `n`-th packet of video loses its time where `without(n)`: it becomes stuffing."""
    data = bytearray(source.read_bytes())
    number = 0
    for at in range(0, len(data), TS_PACKET):
        begins, adaptation = data[at + 1] & 0x40, data[at + 3] & 0x20
        head = at + 4 + (1 + data[at + 4] if adaptation else 0)
        if not begins or data[head : head + 3] != b"\0\0\1" or data[head + 3] & 0xF0 != 0xE0:
            continue
        if without(number):
            size = data[head + 8]
            data[head + 7] &= 0x3F
            data[head + 9 : head + 9 + size] = b"\xff" * size
        number += 1
    target.write_bytes(data)
    return target


def pair_times(source: Path, target: Path) -> Path:
    """Copies a video of 25 pictures per second without B-frames; each two pictures have the time of the first."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(whole.streams.video[0])
        packets = [packet for packet in whole.demux(whole.streams.video[0]) if packet.size]
        times = [packet.pts for packet in packets]
        for number, packet in enumerate(packets):
            packet.pts = packet.dts = times[number // 2 * 2]
            packet.stream = stream
            out.mux(packet)
    return target


class Bits:
    """Writes H.264's bits: fixed lengths, Exp-Golomb codes, and the byte stream's NAL units."""

    def __init__(self) -> None:
        self.bits: list[int] = []

    def fixed(self, *pairs: tuple[int, int]) -> "Bits":
        for value, length in pairs:
            self.bits += [value >> i & 1 for i in range(length - 1, -1, -1)]
        return self

    def golomb(self, *values: int) -> "Bits":
        for value in values:
            length = (value + 1).bit_length()
            self.fixed((0, length - 1), (value + 1, length))
        return self

    def align(self) -> "Bits":
        return self.fixed((0, -len(self.bits) % 8))

    def unit(self, head: int) -> bytes:
        body = np.packbits(np.array([*self.bits, 1], np.uint8)).tobytes()
        out, zeros = bytearray(), 0
        for byte in body:
            if zeros >= 2 and byte <= 3:
                out.append(3)
                zeros = 0
            out.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return b"\0\0\0\1" + bytes([head]) + bytes(out)


def _field(luma: np.ndarray, chroma: np.ndarray, bottom: int, number: int, first: bool) -> bytes:
    """One field, as a slice of macroblocks that are written out (I_PCM)."""
    bits = Bits().golomb(0, 7, 0).fixed((number, 8), (1, 1), (bottom, 1))
    if first:
        bits.golomb(0)
    bits.fixed((2 * number + bottom, 8), (0, 2 if first else 1)).golomb(0)
    for y in range(luma.shape[0] // 16):
        for x in range(luma.shape[1] // 16):
            bits.golomb(25).align()
            for plane, side in ((luma, 16), (chroma, 8), (chroma, 8)):
                block = np.ascontiguousarray(plane[y * side : (y + 1) * side, x * side : (x + 1) * side])
                bits.bits += np.unpackbits(block.ravel()).tolist()
    return bits.unit(0x65 if first else 0x61)


def write_field_coded(
    path: Path, frames: int, *, fields_per_packet: int = 2, offset: float = 0.0, gop: int = 10, rate: int = 25
) -> Path:
    """Numbered pictures in H.264 of two fields a picture (PAFF), as AVCHD camcorders write, without sound."""
    width, height = 160, 96
    sps = (
        Bits()
        .fixed((77, 8), (0, 8), (30, 8))
        .golomb(0, 4, 0, 4, 2)
        .fixed((0, 1))
        .golomb(width // 16 - 1, height // 32 - 1)
    )
    sps.fixed((0, 1), (0, 1), (1, 1), (0, 1), (1, 1), (0, 4), (1, 1), (1, 32), (2 * rate, 32), (1, 1), (0, 4))
    pps = Bits().golomb(0, 0).fixed((0, 2)).golomb(0, 0, 0).fixed((0, 3)).golomb(0, 0, 0).fixed((0, 3))
    delimiter = b"\0\0\0\1\x09\x10"
    fields = []
    for number in range(frames):
        luma = (16 + draw_number(number, width, height) @ [0.257, 0.504, 0.098]).clip(16, 235).astype(np.uint8)
        chroma = np.full((height // 2, width // 2), 128, np.uint8)
        first = number % gop == 0
        head = delimiter + (sps.unit(0x67) + pps.unit(0x68) if first else b"")
        fields.append(head + _field(luma[0::2], chroma[0::2], 0, number % gop, first))
        fields.append(delimiter + _field(luma[1::2], chroma[1::2], 1, number % gop, False))
    raw = path.with_suffix(".h264")
    raw.write_bytes(b"".join(fields))
    step = 90000 // rate // 2
    with av.open(str(raw)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for i in range(0, len(fields), fields_per_packet):
            packet = av.Packet(b"".join(fields[i : i + fields_per_packet]))
            packet.time_base, packet.stream = Fraction(1, 90000), stream
            packet.pts = packet.dts = i * step + round(offset * 90000)
            packet.duration, packet.is_keyframe = step * fields_per_packet, i % (2 * gop) == 0
            out.mux(packet)
    return path


def edit(source: Path, target: Path, spans: Sequence[tuple[float, float]]) -> Path:
    """Copies an MP4 whose tracks show these spans (s) of their media one after the other, as an editor's cut list has it."""
    target.write_bytes(_edited(source.read_bytes(), spans))
    return target


def _edited(data: bytes, spans: Sequence[tuple[float, float]], movie_rate: int = 0) -> bytes:
    found = b""
    for kind, body in _boxes(data):
        if kind == b"moov":
            rate = int.from_bytes(dict(_boxes(body))[b"mvhd"][12:16])
            body = _edited(body, spans, rate)
        elif kind == b"trak":
            track = dict(_boxes(body))
            media_rate = int.from_bytes(dict(_boxes(track[b"mdia"]))[b"mdhd"][12:16])
            first = int.from_bytes(dict(_boxes(track[b"edts"]))[b"elst"][12:16])  # where the media's time 0 stands
            edits = b"".join(
                struct.pack(">IIHH", round((end - begin) * movie_rate), first + round(begin * media_rate), 1, 0)
                for begin, end in spans
            )
            track[b"edts"] = _box(b"elst", struct.pack(">II", 0, len(spans)) + edits)
            body = b"".join(_box(*item) for item in track.items())
        found += _box(kind, body)
    return found


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + size]
        at += size


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body
