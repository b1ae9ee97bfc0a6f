"""The usual decoder: PyAV, in this process, one thread, picture and sound from one reading of the file.

The packets are read first without being decoded; their times say which pictures are wanted and where key frames
are. Then only the packets that lead to a wanted picture are decoded: from the key frame before it where that lies past what was
decoded already, else straight on. Jumping is leaving packets out, so no container's own seeking is trusted for it.
"""

from bisect import insort
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import MediaError
from gaid.extract.clip import Clip, ClipRequest
from gaid.extract.limits import Deadline, DecodeLimits, check_size
from gaid.extract.picture import RGB, Matrix, fit, orient
from gaid.extract.pyav_file import DECODE_ERRORS, PyAVFile, seconds
from gaid.extract.pyav_sound import Track, decode_sound_file
from gaid.extract.sampling import PacketIndex, Plan, build_timeline, plan_frames
from gaid.extract.sound import Sound, SoundWindows

KEPT_BYTES = 64 << 20  # packets kept in memory between the two steps; a larger file is read twice instead
SEEK_FROM = 30.0  # s: a clip that starts later is sought, not read up to
SEEK_MARGIN = 1.0  # s
REORDER = 16  # pictures by which codecs may give a picture late
# Codecs of one picture a packet, in which a picture that none refers to can be left out without a trace.
LEAVES_OUT = ("h264", "hevc")


@dataclass
class Reading:
    """What the first step found: the index of the video's packets, and all packets unless they were too many."""

    index: PacketIndex
    kept: list[Any] | None


def decode_with_pyav(request: ClipRequest, limits: DecodeLimits) -> Clip:
    """As `media.decode_clip`, for a video."""
    deadline = Deadline(limits.seconds)
    with ExitStack() as files:

        def open_file() -> PyAVFile:
            return files.enter_context(PyAVFile(request.path, limits, video=True, audio=request.audio_path is None))

        file = open_file()
        file.check_video()
        origin = file.video.start_time
        sought = _seek(file, request, origin)
        reading = _read(file, request, origin, deadline)
        if sought and not _covers_start(reading.index, request, origin):
            file, sought = open_file(), False
            reading = _read(file, request, origin, deadline)
        if not len(reading.index):
            raise MediaError("no video", f"{file.name}: its video track holds no picture")
        timeline = build_timeline(reading.index)
        zero = origin if sought else int(timeline.shown[0])
        plan = plan_frames(timeline, request.frames, request.start, request.end, zero, file.name)
        if reading.kept is None:
            file = open_file()
            if sought:
                _seek(file, request, origin)
        pictures = Pictures(file, plan, request, timeline.counted)
        windows = SoundWindows.of(request, plan.moments, plan.duration)
        track = Track(file.audio, windows, plan.start * timeline.tick) if file.audio is not None else None
        ordinal = 0
        for packet in file.packets(deadline) if reading.kept is None else reading.kept:
            deadline.check(file.name)
            if packet.stream_index == file.video.index:
                pictures.feed(ordinal, packet)
                ordinal += 1
            elif track is not None:
                track.feed(packet)
            if pictures.complete and (track is None or track.complete):
                break
        frames = pictures.finish()
        if request.audio_path is not None:
            offset = (plan.start - zero) * timeline.tick
            sound = decode_sound_file(request.audio_path, windows, offset, limits, deadline)
        else:
            sound = track.finish() if track is not None else windows.nothing("no track")
    return make_clip(frames, plan.moments, plan.frame_times, plan.duration, sound, plan.short, pictures.decoded)


def _seek(file: PyAVFile, request: ClipRequest, origin: int | None) -> bool:
    """Goes to shortly before a clip that starts late; False where it does not, or the file can't be sought."""
    if origin is None or request.start is None or request.start <= SEEK_FROM:
        return False
    target = origin + round((request.start - SEEK_MARGIN) / float(file.video.time_base))
    try:
        file.container.seek(target, stream=file.video, backward=True)
    except MemoryError:
        raise
    except DECODE_ERRORS:
        return False
    return True


def _covers_start(index: PacketIndex, request: ClipRequest, origin: int) -> bool:
    """Whether a seek landed on a key frame at or before the clip's start, as it should have."""
    start = origin + (request.start or 0.0) / index.tick
    return bool(len(index) and index.key[0] and index.pts[0] is not None and index.pts[0] <= start)


def _read(file: PyAVFile, request: ClipRequest, origin: int | None, deadline: Deadline) -> Reading:
    """Reads packets up to the clip's end, decoding none."""
    video, rate = file.video, file.video.average_rate
    index = PacketIndex(float(video.time_base), float(rate) if rate else None)
    kept: list[Any] | None = []
    size = 0
    limit = (
        None if request.end is None or origin is None else seconds(origin, video.time_base) + request.end + SEEK_MARGIN
    )
    running = {stream.index for stream in file.streams}
    for packet in file.packets(deadline):
        if packet.stream_index == video.index:
            index.add(packet.pts, packet.dts, packet.duration, packet.is_keyframe, packet.is_discard)
        size += packet.size
        if size > KEPT_BYTES:
            kept = None
        elif kept is not None:
            kept.append(packet)
        at = packet.dts if packet.dts is not None else packet.pts
        if limit is not None and at is not None and seconds(at, packet.stream.time_base) > limit:
            running.discard(packet.stream_index)
            if not running:
                break
    return Reading(index, kept)


def make_clip(
    frames: NDArray[np.uint8],
    moments: NDArray[np.float64],
    frame_times: NDArray[np.float64],
    duration: float,
    sound: Sound,
    short: bool,
    decoded: int,
) -> Clip:
    audio, mask, state = sound
    return Clip(
        frames=frames,
        times=moments.astype(np.float32),
        duration=float(duration),
        audio=audio,
        audio_mask=mask,
        audio_state=state,
        short=short,
        decoded=decoded,
        frame_times=frame_times.astype(np.float32),
    )


class Pictures:
    """Decodes what leads to the planned pictures, and converts only these."""

    def __init__(self, file: PyAVFile, plan: Plan, request: ClipRequest, counted: bool) -> None:
        self.file, self.plan, self.spec, self.counted = file, plan, request.frame_spec, counted
        self.context = file.video.codec_context
        self.leaves_out = self.context.name in LEAVES_OUT and not counted
        self.found: list[RGB] = []
        self.decoded = 0
        self._fed = -1  # last packet that was decoded
        self._best: Any = None  # the latest picture that is not later than the wanted one
        self._ahead: list[tuple[int, int, Any]] = []  # decoded pictures, from the wanted one on, in order of display
        self._last: RGB | None = None
        self._last_label: int | None = None
        self._matrix: Matrix | None = None  # the first picture's: looking it up keeps a picture in memory for a while

    @property
    def complete(self) -> bool:
        return len(self.found) == len(self.plan.labels)

    def feed(self, ordinal: int, packet: Any) -> None:
        if self.complete:
            return
        begin = int(self.plan.key_ordinals[len(self.found)])
        if ordinal < begin:
            return
        if self._fed >= 0 and ordinal > self._fed + 1:
            self.context.flush_buffers()
        self._fed = ordinal
        if self.leaves_out:
            before = packet.pts is not None and packet.pts < self.plan.labels[len(self.found)]
            self.context.skip_frame = "NONREF" if before else "DEFAULT"
        try:
            pictures = packet.decode()
        except MemoryError:
            raise
        except DECODE_ERRORS:
            return
        self._take(pictures)

    def _take(self, pictures: list[Any]) -> None:
        for picture in pictures:
            label = self.decoded if self.counted else picture.pts
            self.decoded += 1
            if label is not None and not self.complete:
                insort(self._ahead, (label, self.decoded, picture), key=itemgetter(0))
                self._match(REORDER)

    def _match(self, patience: int) -> None:
        """Gives the wanted pictures what has been decoded. One that is missing may still come late, by `patience` pictures."""
        while self._ahead and not self.complete:
            wanted = int(self.plan.labels[len(self.found)])
            label, _, picture = self._ahead[0]
            if label == wanted:
                self._accept(picture, wanted)
            elif label < wanted:
                self._best = picture
                del self._ahead[0]
            elif len(self._ahead) > patience:
                self._accept(picture if self._best is None else self._best, wanted)
            else:
                return

    def _accept(self, picture: Any, label: int) -> None:
        if self._last is None or self._last_label != label:
            self._last, self._last_label = self._convert(picture), label
        self.found.append(self._last)

    def _convert(self, picture: Any) -> RGB:
        check_size(self.file.name, picture.width, picture.height, self.file.limits)
        try:
            # One thread: FFmpeg's own choice would start one for each core, for each picture.
            rgb = picture.to_ndarray(format="rgb24", threads=1)
        except MemoryError:
            raise
        except DECODE_ERRORS as error:
            raise MediaError("unreadable", f"{self.file.name}: its pixels can't be converted ({error})") from None
        if self._matrix is None:
            self._matrix = display_matrix(picture)
        return fit(orient(rgb, self._matrix), self.spec)

    def finish(self) -> NDArray[np.uint8]:
        """The frames (F, H, W, 3). What could not be decoded is the nearest picture before it, or else after it."""
        if not self.complete and self._fed >= 0:
            with suppress(*DECODE_ERRORS):
                self._take(self.context.decode(None))
            self._match(0)
            while not self.complete and self._best is not None:
                self._accept(self._best, int(self.plan.labels[len(self.found)]))
        if not self.found:
            raise MediaError("unreadable", f"{self.file.name}: none of its pictures could be decoded")
        while not self.complete:
            self.found.append(self.found[-1])
        return np.stack(self.found)


def display_matrix(picture: Any) -> Matrix:
    """How a picture is to be turned and mirrored for display."""
    data = picture.side_data.get("DISPLAYMATRIX")
    if data is not None:
        m = np.frombuffer(bytes(data), np.int32)
        if len(m) >= 5 and (m[0] or m[1]):
            return int(m[0]), int(m[1]), int(m[3]), int(m[4])
    return 1, 0, 0, 1
