"""The usual decoder: PyAV, in this process, one thread, picture and sound from one reading of the file.

The packets are read first without being decoded; their times say which pictures are wanted and where key frames
are. Then only the packets that lead to a wanted picture are decoded: from the key frame before it where that lies past what was
decoded already, else straight on. Jumping is leaving packets out, so no container's own seeking is trusted for it.
"""

from bisect import insort
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from gaid.errors import MediaError
from gaid.extract.clip import Clip, ClipRequest
from gaid.extract.limits import Deadline, DecodeLimits, check_size
from gaid.extract.opening import check_file, first_audio, first_video, open_media, show_path
from gaid.extract.picture import RGB, Matrix, fit, orient
from gaid.extract.sampling import PacketIndex, Plan, build_timeline, plan_frames
from gaid.extract.sound import SoundWindows, to_mono

KEPT_BYTES = 64 << 20  # packets kept in memory between the two steps; a larger file is read twice instead
SEEK_FROM = 30.0  # s: a clip that starts later is sought, not read up to
SEEK_MARGIN = 1.0  # s
REORDER = 16  # pictures by which codecs may give a picture late
# Codecs of one picture a packet, in which a picture that none refers to can be left out without a trace.
LEAVES_OUT = ("h264", "hevc")

DECODE_ERRORS = (av.FFmpegError, ValueError, OSError)
Sound = tuple[NDArray[np.float32], NDArray[np.bool_], Any]


@dataclass
class Reading:
    """What the first step found: the index of the video's packets, and all packets unless they were too many."""

    index: PacketIndex
    sound_end: float  # s on the audio stream's clock
    sound_start: float
    kept: list[Any] | None


class PyAVFile(AbstractContextManager["PyAVFile"]):
    """An open file with the streams that are used, each decoded by one thread."""

    def __init__(self, path: str, limits: DecodeLimits, *, video: bool, audio: bool) -> None:
        self.path, self.name, self.limits = check_file(path), show_path(path), limits
        self.container = open_media(self.path, limits)
        self.video = first_video(self.container) if video else None
        self.audio = first_audio(self.container) if audio else None
        for stream in self.streams:
            if stream.codec_context is not None:
                stream.codec_context.thread_count = 1
                stream.codec_context.options = {"max_pixels": str(limits.pixels)}

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

    def packets(self, deadline: Deadline) -> Iterator[Any]:
        """The packets in the file's order. A file that breaks off gives those before the break."""
        source = self.container.demux(self.streams)
        while True:
            deadline.check(self.name)
            try:
                packet = next(source)
            except StopIteration:
                return
            except MemoryError:
                raise MediaError("too large", f"{self.name}: does not fit the memory limit") from None
            except DECODE_ERRORS:
                return
            if packet.size:
                yield packet


def _seconds(ticks: int, stream: Any) -> float:
    return float(ticks * stream.time_base)


class ClipDecoder:
    """Decodes one request. `decode` is the whole of it; the object only carries what its steps share."""

    def __init__(self, request: ClipRequest, limits: DecodeLimits) -> None:
        self.request, self.limits = request, limits
        self.deadline = Deadline(limits.seconds)

    def decode(self) -> Clip:
        request = self.request
        with PyAVFile(request.path, self.limits, video=True, audio=request.audio_path is None) as file:
            file.check_video()
            stream = file.video
            origin = stream.start_time
            late = request.start is not None and origin is not None and request.start > SEEK_FROM
            sought = late and self._seek(file, origin)
            reading = self._read(file, origin)
            if sought and not self._covers_start(reading, origin):
                sought = False
                with PyAVFile(request.path, self.limits, video=True, audio=request.audio_path is None) as again:
                    return self._decode_read(again, self._read(again, origin), origin, sought=False)
            return self._decode_read(file, reading, origin, sought=sought)

    def _seek(self, file: PyAVFile, origin: int) -> bool:
        target = origin + round((float(self.request.start or 0.0) - SEEK_MARGIN) / float(file.video.time_base))
        try:
            file.container.seek(target, stream=file.video, backward=True)
        except DECODE_ERRORS:
            return False
        return True

    def _covers_start(self, reading: Reading, origin: int) -> bool:
        """Whether a seek landed on a key frame at or before the clip's start, as it should have."""
        index = reading.index
        start = origin + float(self.request.start or 0.0) / index.tick
        return bool(len(index) and index.key[0] and index.pts[0] is not None and index.pts[0] <= start)

    def _read(self, file: PyAVFile, origin: int | None) -> Reading:
        """Reads packets up to the clip's end, decoding none."""
        video, audio, end = file.video, file.audio, self.request.end
        rate = video.average_rate
        index = PacketIndex(float(video.time_base), float(rate) if rate else None)
        kept: list[Any] | None = []
        size, sound_start, sound_end = 0, float("inf"), 0.0
        video_over, audio_over = False, audio is None
        limit = None if end is None or origin is None else _seconds(origin, video) + end + SEEK_MARGIN
        for packet in file.packets(self.deadline):
            at = packet.dts if packet.dts is not None else packet.pts
            over = limit is not None and at is not None and _seconds(at, packet.stream) > limit
            if packet.stream_index == video.index:
                index.add(packet.pts, packet.dts, packet.duration, packet.is_keyframe, packet.is_discard)
                video_over |= over
            else:
                audio_over |= over
                if packet.pts is not None:
                    begin = _seconds(packet.pts, audio)
                    sound_start = min(sound_start, begin)
                    sound_end = max(sound_end, begin + _seconds(packet.duration or 0, audio))
            size += packet.size
            if size > KEPT_BYTES:
                kept = None
            elif kept is not None:
                kept.append(packet)
            if video_over and audio_over:
                break
        if not len(index):
            raise MediaError("no video", f"{file.name}: its video track holds no picture")
        return Reading(index, sound_end, sound_start, kept)

    def _decode_read(self, file: PyAVFile, reading: Reading, origin: int | None, *, sought: bool) -> Clip:
        request = self.request
        timeline = build_timeline(reading.index)
        zero = int(timeline.shown[0]) if origin is None or not sought else origin
        plan = plan_frames(timeline, request.frames, request.start, request.end, zero, file.name)
        windows = SoundWindows(request.audio_spec, plan.moments, plan.duration)
        start = plan.start * timeline.tick
        again: AbstractContextManager[Any] = nullcontext(file)
        if reading.kept is None:
            again = PyAVFile(request.path, self.limits, video=True, audio=request.audio_path is None)
        with again as source:
            if reading.kept is None and sought:
                self._seek(source, zero)
            pictures = Pictures(source, plan, request, timeline.counted)
            track = Track(source.audio, windows, start) if source.audio is not None else None
            ordinal = 0
            for packet in reading.kept if reading.kept is not None else source.packets(self.deadline):
                self.deadline.check(file.name)
                if packet.stream_index == source.video.index:
                    pictures.feed(ordinal, packet)
                    ordinal += 1
                elif track is not None:
                    track.feed(packet)
                if pictures.complete and (track is None or track.complete):
                    break
            frames = pictures.finish()
            if request.audio_path is not None:
                offset = (plan.start - zero) * timeline.tick
                sound = decode_sound_file(request.audio_path, windows, offset, self.limits, self.deadline)
            else:
                sound = track.finish() if track is not None else windows.nothing("no track")
        return make_clip(frames, plan.moments, plan.frame_times, plan.duration, sound, plan.short, pictures.decoded)


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
            raise MediaError("too large", f"{self.file.name}: does not fit the memory limit") from None
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
            rgb = picture.to_ndarray(format="rgb24")
        except MemoryError:
            raise MediaError("too large", f"{self.file.name}: does not fit the memory limit") from None
        except DECODE_ERRORS as error:
            raise MediaError("unreadable", f"{self.file.name}: its pixels can't be converted ({error})") from None
        return fit(orient(rgb, display_matrix(picture)), self.spec)

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
    for data in picture.side_data:
        if data.type.name == "DISPLAYMATRIX":
            m = np.frombuffer(bytes(data), np.int32)
            if len(m) >= 5 and (m[0] or m[1]):
                return int(m[0]), int(m[1]), int(m[3]), int(m[4])
    return 1, 0, 0, 1


class Track:
    """Decodes those packets of a sound track that touch a window."""

    def __init__(self, stream: Any, windows: SoundWindows, start: float) -> None:
        self.stream, self.windows, self.start = stream, windows, start
        self.context = stream.codec_context
        self.complete = False
        self._good = self._bad = 0
        self._skipped = False
        self._resampler: Any = None
        self._end = float(np.max(windows.starts)) / windows.rate + windows.length

    def feed(self, packet: Any) -> None:
        if self.context is None or self.complete:
            return
        if packet.pts is not None:
            begin = _seconds(packet.pts, self.stream) - self.start
            if begin > self._end:
                self.complete = True
                return
            if not self.windows.wants(begin, begin + _seconds(packet.duration or 0, self.stream)):
                self._skipped = True
                return
        if self._skipped and self.context.is_open:
            self.context.flush_buffers()
        self._skipped = False
        self._decode(packet)

    def _decode(self, packet: Any) -> None:
        try:
            pieces = self.context.decode(packet)
            for piece in pieces:
                self._give(piece)
        except MemoryError:
            raise MediaError("too large", "its sound does not fit the memory limit") from None
        except DECODE_ERRORS:
            self._bad += 1
        else:
            self._good += packet is not None

    def _give(self, piece: Any) -> None:
        time = None if piece.pts is None else float(piece.pts * piece.time_base) - self.start
        if self._resampler is None:
            self._resampler = av.AudioResampler(format="fltp")
        try:
            converted = self._resampler.resample(piece)
        except ValueError:  # the track changes its layout or rate on the way
            self._resampler = av.AudioResampler(format="fltp")
            converted = self._resampler.resample(piece)
        for part in converted:
            self.windows.add(time, part.sample_rate, to_mono(part.to_ndarray()))
            time = None

    def finish(self) -> Sound:
        """The windows; state "failed" where most packets could not be decoded, since what is left is not the sound."""
        if self.context is not None and self._good and not self.complete:
            self._decode(None)
        if self.context is None or self._bad > self._good:
            return self.windows.nothing("failed")
        return self.windows.finish()


def decode_sound_file(
    path: str, windows: SoundWindows, offset: float, limits: DecodeLimits, deadline: Deadline
) -> Sound:
    """The windows of a sound in a file of its own, `offset` s into it. A sound that can't be had does not cost the picture."""
    try:
        with PyAVFile(path, limits, video=False, audio=True) as file:
            if file.audio is None:
                return windows.nothing("no track")
            track: Track | None = None
            for packet in file.packets(deadline):
                if track is None:
                    first = file.audio.start_time if file.audio.start_time is not None else packet.pts or 0
                    track = Track(file.audio, windows, _seconds(first, file.audio) + offset)
                track.feed(packet)
                if track.complete:
                    break
            return track.finish() if track is not None else windows.nothing("failed")
    except MediaError as error:
        if error.reason == "too slow":
            raise
        return windows.nothing("failed")


def sound_duration(path: str, limits: DecodeLimits, deadline: Deadline) -> float:
    """Seconds of sound in a file, from its packets; 0 where it has none that can be read."""
    try:
        with PyAVFile(path, limits, video=False, audio=True) as file:
            if file.audio is None:
                return 0.0
            begin, end = float("inf"), 0.0
            for packet in file.packets(deadline):
                if packet.pts is not None:
                    at = _seconds(packet.pts, file.audio)
                    begin, end = min(begin, at), max(end, at + _seconds(packet.duration or 0, file.audio))
            return max(0.0, end - begin) if end > begin else 0.0
    except MediaError as error:
        if error.reason == "too slow":
            raise
        return 0.0
