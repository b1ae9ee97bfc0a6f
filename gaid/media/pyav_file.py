"""A media file opened by PyAV: checked, whitelisted, one decoding thread, packets until the file breaks off."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from typing import Any

import av

from gaid.errors import MediaError
from gaid.media.hdr import Transfer
from gaid.media.limits import Deadline, DecodeLimits, check_size
from gaid.media.opening import check_file, choose_streams, open_media, show_path
from gaid.media.picture import Display, Matrix

# FFmpeg's numbers of the transfer functions of high dynamic range
TRANSFERS: dict[int, Transfer] = {16: "pq", 18: "hlg"}
# What PyAV raises where a file is damaged.
DECODE_ERRORS = (av.FFmpegError, ValueError, OSError)


class PyAVFile(AbstractContextManager["PyAVFile"]):
    """An open file with the streams that are used, each decoded by one thread; `channels` names those of the sound, as
    the file does."""

    def __init__(self, path: str, limits: DecodeLimits, *, video: bool, audio: bool) -> None:
        self.path, self.name, self.limits = check_file(path), show_path(path), limits
        self.container = open_media(self.path, limits)
        # PyAV's type of a stream covers all kinds, so it would promise attributes that a stream may lack.
        chosen: tuple[Any, Any] = choose_streams(self.container)
        self.video: Any = chosen[0] if video else None
        self.audio: Any = chosen[1] if audio else None
        for stream in self.streams:
            if stream.codec_context is not None:
                stream.codec_context.thread_count = 1
                stream.codec_context.options = {"max_pixels": str(limits.pixels)}
        context = self.audio.codec_context if self.audio is not None else None
        self.channels = _take_channels(context) if context is not None else []

    @property
    def streams(self) -> list[Any]:
        return [s for s in (self.video, self.audio) if s is not None]

    def __exit__(self, *exception: object) -> None:
        self.container.close()

    def check_video(self) -> None:
        if self.video is None:
            raise MediaError("no video", f"{self.name}: holds no moving picture")
        if self.video.codec_context is None:
            raise MediaError("unreadable", f"{self.name}: no decoder for its picture")
        check_size(self.name, self.video.codec_context.width, self.video.codec_context.height, self.limits)

    def display(self, matrix: Matrix) -> Display:
        """How the pictures of the file are to be shown, turned by `matrix`."""
        aspect = self.video.sample_aspect_ratio
        return Display(matrix, float(aspect) if aspect else 1.0, TRANSFERS.get(self.video.codec_context.color_trc))

    def packets(self, deadline: Deadline) -> Iterator[Any]:
        """The packets in the order of the file. A file that breaks off gives those before the break."""
        source = self.container.demux(self.streams)
        while True:
            deadline.check(self.name)
            try:
                packet = next(source)
            except StopIteration:
                return
            except MemoryError:
                raise
            except DECODE_ERRORS:
                return
            if packet.size:
                yield packet


def _take_channels(context: Any) -> list[str]:
    """The names of the channels as the container gives them ("NONE" where it gives none), for a context that is not yet open.

    Reading the layout of a context gives an object that owns memory of the context: PyAV (18) copies a pointer, and a
    layout in an order of its own, as QuickTime has them, would be freed twice. So the context gets a layout without
    such memory at once.
    """
    layout = context.layout
    names = [channel.name for channel in layout.channels]
    if names:
        context.layout = f"{len(names)}C"
    return names


def seconds(ticks: int, tick: Fraction) -> float:
    """Ticks of a stream (its time_base) as seconds, rounded exactly as the product with the fraction, in a tenth of its
    time."""
    return ticks * tick.numerator / tick.denominator
