"""Sound through PyAV: the packets that touch a window are decoded into it, from the file of the video or one of its own."""

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from av.audio.layout import AudioLayout
from av.audio.plane import AudioPlane
from numpy.typing import NDArray

from gaid.errors import MediaError
from gaid.media.limits import Deadline, DecodeLimits
from gaid.media.mixing import channel_weights, clean, mix
from gaid.media.pyav_file import DECODE_ERRORS, PyAVFile, seconds
from gaid.media.sound import WARM_UP, Sound, SoundWindows

# FFmpeg's packed sample formats: the type, its zero, and the factor that makes its range [-1, 1].
SAMPLES: dict[str, tuple[Any, int, float]] = {
    "u8": (np.uint8, 128, 2.0**-7),
    "s16": (np.int16, 0, 2.0**-15),
    "s32": (np.int32, 0, 2.0**-31),
    "s64": (np.int64, 0, 2.0**-63),
    "flt": (np.float32, 0, 1.0),
    "dbl": (np.float64, 0, 1.0),
}


class Track:
    """Decodes those packets of a sound track that touch a window."""

    def __init__(self, file: PyAVFile, windows: SoundWindows, start: float) -> None:
        self.windows, self.start = windows, start
        self.context = file.audio.codec_context
        # FFmpeg 9 (PyAV 19) drops the samples hidden before an edit from whatever is decoded first, even where those packets were
        # skipped here. Where that could reach a window, pieces are taken whole, and their times say what lies before the start.
        if (
            self.context is not None
            and getattr(self.context, "initial_padding", 0) > WARM_UP / 2 * self.context.sample_rate
        ):
            self.context.options = {**self.context.options, "flags2": "+skip_manual"}
        self._names = file.channels
        self._tick = file.audio.time_base
        self.complete = False
        self._good = self._bad = 0
        self._skipped = False
        self._end = windows.end

    def feed(self, packet: Any) -> None:
        if self.context is None or self.complete:
            return
        if packet.pts is not None:
            begin = seconds(packet.pts, self._tick) - self.start
            if begin > self._end:
                self.complete = True
                return
            if not self.windows.wants(begin, begin + max(0.0, packet_length(packet, self._tick))):
                self._skipped = True
                return
        if self._skipped and self.context.is_open:
            self.context.flush_buffers()
        self._skipped = False
        self._decode(packet)

    def _decode(self, packet: Any) -> None:
        try:
            pieces = self.context.decode(packet)
            if packet is None or not packet.is_discard:  # packets hidden by an edit only prepare the decoder
                for piece in pieces:
                    self._give(piece)
        except DECODE_ERRORS:
            self._bad += 1
        else:
            self._good += packet is not None

    def _give(self, piece: Any) -> None:
        time = None if piece.pts is None else seconds(piece.pts, self._tick) - self.start
        self.windows.add(time, piece.sample_rate, _channels(piece), _names_of(piece, self._names))

    def finish(self) -> Sound:
        """The windows; state "failed" where most packets could not be decoded, since the rest would not be the sound."""
        if self.context is not None and self._good and not self.complete:
            self._decode(None)
        if self.context is None or self._bad > self._good:
            return self.windows.nothing("failed")
        return self.windows.finish()


@lru_cache
def name_channels(layout: str) -> Sequence[str]:
    """The channels of a layout by FFmpeg's name for it, as ("FL", "FR") for stereo; empty where the name is not known."""
    try:
        return tuple(channel.name for channel in AudioLayout(layout).channels)
    except ValueError:
        return ()


def _names_of(piece: Any, names: Sequence[str]) -> Sequence[str]:
    """The channels of a decoded piece; `names` are those of the container, to which the decoder may leave them."""
    own = name_channels(piece.layout.name)
    return names if "NONE" in own and len(own) == len(names) else own


def as_mono(piece: Any, names: Sequence[str]) -> NDArray[np.float32]:
    """A decoded piece as one channel (n,) within [-1, 1], mixed as for features; `names`: the channels of its `PyAVFile`."""
    channels = np.stack(_channels(piece))
    return clean(mix(channels, channel_weights(_names_of(piece, names), len(channels))))


def _channels(piece: Any) -> list[NDArray[np.float32]]:
    """The channels of a piece, scaled to [-1, 1]. Planes are read one by one, since PyAV's own list of eight or more runs into
    other memory."""
    plane: Any = AudioPlane  # a buffer, though its type does not say so
    samples, count = piece.samples, piece.layout.nb_channels
    dtype, offset, scale = SAMPLES[piece.format.name.removesuffix("p")]
    if piece.format.is_planar:
        rows = [np.frombuffer(plane(piece, number), dtype, samples) for number in range(count)]
    else:
        rows = list(np.frombuffer(plane(piece, 0), dtype, samples * count).reshape(samples, count).T)
    if dtype is np.float32:
        return rows
    return [(row.astype(np.float32) - np.float32(offset)) * np.float32(scale) for row in rows]


def decode_sound_file(
    path: str, windows: SoundWindows, offset: float, limits: DecodeLimits, deadline: Deadline
) -> Sound:
    """The windows of a sound in a file of its own, `offset` s into it. A sound that can't be read does not fail the clip."""
    try:
        with PyAVFile(path, limits, video=False, audio=True) as file:
            if file.audio is None:
                return windows.nothing("no track")
            track: Track | None = None
            for packet in file.packets(deadline):
                if track is None:
                    first = file.audio.start_time if file.audio.start_time is not None else packet.pts or 0
                    track = Track(file, windows, seconds(first, file.audio.time_base) + offset)
                track.feed(packet)
                if track.complete:
                    break
            return track.finish() if track is not None else windows.nothing("failed")
    except MediaError as error:
        if error.reason == "too slow":
            raise
        return windows.nothing("failed")


def sound_duration(path: str, limits: DecodeLimits, deadline: Deadline) -> float:
    """Seconds of sound in a file, from its packets; 0 where none can be read."""
    try:
        with PyAVFile(path, limits, video=False, audio=True) as file:
            if file.audio is None:
                return 0.0
            tick, begin, end = file.audio.time_base, float("inf"), 0.0
            for packet in file.packets(deadline):
                if packet.pts is not None:
                    at = seconds(packet.pts, tick)
                    begin, end = min(begin, at), max(end, at + packet_length(packet, tick))
            return max(0.0, end - begin) if end > begin else 0.0
    except MediaError as error:
        if error.reason == "too slow":
            raise
        return 0.0


def packet_length(packet: Any, tick: Fraction) -> float:
    """The duration of a packet in seconds. In FFmpeg's Ogg reader the duration of the last packet, which is negative where the
    file ends before the packet does, wraps at 32 bits."""
    ticks = packet.duration or 0
    return seconds(ticks - 2**32 if ticks >= 2**31 else ticks, tick)
