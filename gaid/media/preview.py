"""A part of a file as a small video that browsers play: the process that makes it, and what it is asked for.

`python -m gaid.media.preview REQUEST LIMITS` writes fragmented MP4 (H.264, AAC) or, where FFmpeg lacks these encoders, WebM
to its standard output, so that it plays while it is made. Like `gaid.media.worker` it has limits on memory and time, since
the file may be anything. Who may ask for one, and how much is kept of it, is left to the callers.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cache
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from gaid.errors import MediaError
from gaid.media.limits import Deadline, DecodeLimits
from gaid.media.opening import check_file, read_head, show_path
from gaid.media.picture import Matrix, is_still, is_turned, orient, read_still
from gaid.media.pyav_file import DECODE_ERRORS, PyAVFile
from gaid.media.pyav_pictures import display_matrix
from gaid.media.pyav_sound import as_mono
from gaid.media.worker import ALARM_AFTER, limit_memory

WIDTH, HEIGHT, RATE, SOUND_RATE = 854, 480, 30, 48000
TICK = Fraction(1, 90000)
STILL_RATE = 2  # pictures per second of a still
# Container, picture and sound encoders, and options of each, in the order of preference.
_WAYS: tuple[tuple[str, str, str, str, dict[str, str], dict[str, str]], ...] = (
    ("video/mp4", "mp4", "libx264", "aac", {"preset": "veryfast", "crf": "28", "bf": "0"},
     {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    ("video/webm", "webm", "libvpx", "libopus", {"deadline": "realtime", "cpu-used": "8", "crf": "30"}, {}),
)  # fmt: skip


@dataclass(frozen=True)
class PreviewRequest:
    """Seconds `start` to `end` of a file, counted from its first picture. `audio_path`: its sound where that is a file apart; of
    such a sound the same seconds are taken."""

    path: str
    start: float
    end: float
    audio_path: str | None = None

    def command(self, limits: DecodeLimits) -> list[str]:
        """The process that makes it."""
        return [sys.executable, "-P", "-m", __name__, json.dumps(asdict(self)), json.dumps(asdict(limits))]


@cache
def _way() -> Any:
    return next((way for way in _WAYS if way[2] in av.codecs_available and way[3] in av.codecs_available), None)


def preview_type() -> str | None:
    """The media type of previews; None where FFmpeg has no encoders for one."""
    way = _way()
    return None if way is None else str(way[0])


class _Writer:
    """The video that is made: pictures and sounds come in order, each with its time in seconds from the beginning."""

    def __init__(self, out: BinaryIO, size: tuple[int, int] | None, sound: bool) -> None:
        _, form, picture_codec, sound_codec, codec_options, options = _way()
        self._out = av.open(_WriteOnly(out), "w", format=form, options=options)
        self._video: Any = None
        self._audio: Any = None
        if size is not None:
            self._video = self._out.add_stream(picture_codec, rate=RATE, options={"g": str(RATE), **codec_options})
            self._video.width, self._video.height = size
            self._video.pix_fmt, self._video.codec_context.time_base = "yuv420p", TICK
            self._video.codec_context.thread_count = 1
        if sound:
            self._audio = self._out.add_stream(sound_codec, rate=SOUND_RATE, layout="mono")
            self._audio.codec_context.open()
            self._resampler = av.AudioResampler(
                self._audio.format, "mono", SOUND_RATE, frame_size=self._audio.codec_context.frame_size or 960
            )
        self._last = -1
        self._samples: int | None = None

    def picture(self, frame: Any, time: float) -> None:
        """A frame of the size that was given; one that comes before RATE allows it is left out."""
        at = round(max(0.0, time) / TICK)
        if self._last >= 0 and at - self._last < 0.9 / (RATE * TICK):
            return
        frame = frame.reformat(format="yuv420p")
        frame.pts, frame.time_base, frame.pict_type = at, TICK, av.video.frame.PictureType.NONE
        self._last = at
        self._out.mux(self._video.encode(frame))

    def sound(self, samples: NDArray[np.float32], rate: int, time: float) -> None:
        """A piece (n,). What lies before the beginning is cut off."""
        if self._samples is None:
            cut = round(max(0.0, -time) * rate)
            samples = samples[cut:]
            if not len(samples):
                return
            self._samples = round(max(0.0, time) * rate)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="flt", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), self._samples
        self._samples += len(samples)
        for ready in self._resampler.resample(frame):
            self._out.mux(self._audio.encode(ready))

    def close(self) -> None:
        if self._audio is not None:
            for ready in self._resampler.resample(None) if self._samples is not None else []:
                self._out.mux(self._audio.encode(ready))
            self._out.mux(self._audio.encode(None))
        if self._video is not None:
            self._out.mux(self._video.encode(None))
        self._out.close()


class _WriteOnly:
    """A pipe, for PyAV: a file object that can seek would be taken for a file."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, data: bytes) -> int:
        self._out.write(data)
        self._out.flush()
        return len(data)


def write_preview(request: PreviewRequest, limits: DecodeLimits, out: BinaryIO) -> None:
    """Makes a preview. Raises MediaError for a file that can't be decoded."""
    path, deadline = check_file(request.path), Deadline(limits.seconds)
    if is_still(read_head(path)):
        _write_still(request, read_still(path, show_path(path), limits), limits, deadline, out)
        return
    apart = request.audio_path is not None
    with PyAVFile(path, limits, video=True, audio=not apart) as file:
        if file.video is not None:
            file.check_video()
        sounds = iter(_apart(request, limits, deadline)) if apart else None
        _convert(request, file, sounds, deadline, out)


def _convert(request: PreviewRequest, file: PyAVFile, sounds: Any, deadline: Deadline, out: BinaryIO) -> None:
    """Pictures and sounds as they come in the file; those of a file apart follow the pictures' time."""
    if not file.streams:
        raise MediaError("no video", f"{file.name}: holds neither picture nor sound")
    lead = file.video if file.video is not None else file.audio
    zero = float((lead.start_time or 0) * lead.time_base)
    if request.start > 0:
        with suppress(*DECODE_ERRORS):
            file.container.seek(round((zero + request.start) / lead.time_base), stream=lead)
    size = _shown_size(file.video) if file.video is not None else None
    writer, matrix = None, None
    for kind, time, frame in _decoded(file, deadline, zero + request.start, request.end - request.start):
        if writer is None:
            matrix = display_matrix(frame) if kind == "picture" else None
            if matrix is not None and size is not None and is_turned(matrix):
                size = _fitted(file.video.codec_context.height, file.video.codec_context.width)
            writer = _Writer(out, size, file.audio is not None or sounds is not None)
        if kind == "picture":
            writer.picture(_turned(frame, matrix or (1, 0, 0, 1), size or (2, 2)), time)
            while sounds is not None and (piece := next(sounds, None)) is not None:
                writer.sound(*piece)
                if piece[2] > time + 1:
                    break
        else:
            writer.sound(as_mono(frame, file.channels), frame.sample_rate, time)
    if writer is None:
        raise MediaError("empty", f"{file.name}: nothing to show from {request.start:g} s on")
    writer.close()


def _decoded(file: PyAVFile, deadline: Deadline, start: float, length: float) -> Iterator[tuple[str, float, Any]]:
    """Pictures and sounds with their times from `start` on, for `length` seconds. Sounds wait for the first picture."""
    ended: set[int] = set()
    waiting: list[tuple[str, float, Any]] = []
    begun = file.video is None
    for packet in file.packets(deadline):
        if packet.stream.index in ended or packet.stream.codec_context is None:
            continue
        try:
            frames = packet.decode()
        except DECODE_ERRORS:
            continue
        for frame in frames:
            kind = "picture" if packet.stream is file.video else "sound"
            if frame.pts is None:
                continue
            time = float(frame.pts * frame.time_base) - start
            if time >= length:
                ended.add(packet.stream.index)
                break
            if time < (-1e-3 if kind == "picture" else -0.5):
                continue
            if not begun and kind == "sound":
                waiting = [*waiting[-256:], (kind, time, frame)]
                continue
            yield kind, time, frame
            if not begun:
                begun = True
                yield from waiting
        if len(ended) == len(file.streams):
            return


def _apart(
    request: PreviewRequest, limits: DecodeLimits, deadline: Deadline
) -> Iterator[tuple[NDArray[np.float32], int, float]]:
    """The sound of a file apart: pieces, their rate, and their times from the start on."""
    with PyAVFile(str(request.audio_path), limits, video=False, audio=True) as file:
        if file.audio is None:
            return
        zero = float((file.audio.start_time or 0) * file.audio.time_base)
        for _, time, frame in _decoded(file, deadline, zero + request.start, request.end - request.start):
            yield as_mono(frame, file.channels), frame.sample_rate, time


def _write_still(
    request: PreviewRequest, picture: NDArray[np.uint8], limits: DecodeLimits, deadline: Deadline, out: BinaryIO
) -> None:
    """A picture for as long as it is asked for, with the sound that lies beside it."""
    height, width = picture.shape[:2]
    size = _fitted(width, height)
    shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(*size, format="yuv420p")
    writer = _Writer(out, size, request.audio_path is not None)
    sounds = iter(_apart(request, limits, deadline) if request.audio_path is not None else ())
    for number in range(max(1, round((request.end - request.start) * STILL_RATE))):
        deadline.check(show_path(request.path))
        writer.picture(shown, number / STILL_RATE)
        for piece in sounds:
            writer.sound(*piece)
            if piece[2] > (number + 1) / STILL_RATE:
                break
    writer.close()


def _shown_size(video: Any) -> tuple[int, int]:
    context, aspect = video.codec_context, video.sample_aspect_ratio
    return _fitted(context.width * (float(aspect) if aspect else 1.0), context.height)


def _fitted(width: float, height: float) -> tuple[int, int]:
    """The even size of a picture that is no larger than WIDTH x HEIGHT, or than that turned."""
    longest, shortest = max(width, height), max(1.0, min(width, height))
    scale = min(1.0, WIDTH / longest, HEIGHT / shortest)
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))


def _turned(frame: Any, matrix: Matrix, size: tuple[int, int]) -> Any:
    """A picture in the size in which it is shown, turned as its display matrix says."""
    if matrix[0] > 0 and matrix[3] > 0 and not is_turned(matrix):
        return frame.reformat(*size)
    stored = size[::-1] if is_turned(matrix) else size
    picture = orient(frame.to_ndarray(format="rgb24", width=stored[0], height=stored[1]), matrix)
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")


def main() -> None:
    request, limits = PreviewRequest(**json.loads(sys.argv[1])), DecodeLimits(**json.loads(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who ends this process
    signal.setitimer(signal.ITIMER_REAL, limits.seconds + ALARM_AFTER)
    limit_memory(limits)
    os.nice(5)  # searches go first
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not write into the video
    try:
        write_preview(request, limits, out)
    except BrokenPipeError:
        os._exit(0)
    except Exception as error:
        print(error, file=sys.stderr)
        os._exit(1)
    out.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
