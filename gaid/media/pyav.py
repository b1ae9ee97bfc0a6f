"""The usual decoder: PyAV, in this process, one thread, picture and sound from one reading of the file.

The packets are read first without being decoded; their times decide which pictures are planned and where key frames
are. Then only the packets that lead to a planned picture are decoded: from the key frame before it where that lies past
what was decoded already, else straight on. A jump leaves packets out, so it relies on no container's own seeking. Nor
does it rely on what a container flags as key frames: where the decoder disagrees (`pyav_pictures`), key frames are
looked for again, at last from the beginning of the file.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import MediaError
from gaid.media.clip import Clip, ClipRequest, Remark
from gaid.media.clock import Clock
from gaid.media.limits import Deadline, DecodeLimits
from gaid.media.opening import TS_FORMAT
from gaid.media.pyav_file import DECODE_ERRORS, PyAVFile, seconds
from gaid.media.pyav_pictures import HOLDS_BACK, KeyIsNone, Pictures, prove_keys
from gaid.media.pyav_sound import Track, decode_sound_file, packet_length
from gaid.media.sampling import NO_KEYS, PacketIndex, Plan, Timeline, build_timeline, plan_frames
from gaid.media.sound import Sound, SoundWindows

KEPT_BYTES = 64 << 20  # packets kept in memory between the two steps; a larger file is read twice instead
SEEK_FROM = 30.0  # s: a clip that starts later is sought rather than read up to
SEEK_MARGIN = 1.0  # s
SEEK_FURTHER = 60.0  # s: how far back the second seek goes, where the first was not enough
LAGS = 3  # how often a longer refresh is assumed before all is decoded


def decode_with_pyav(request: ClipRequest, limits: DecodeLimits) -> Clip:
    """As `gaid.media.decode.decode_clip`, for a video."""
    deadline = Deadline(limits.seconds)
    late = request.start is not None and request.start > SEEK_FROM
    for back in (SEEK_MARGIN, SEEK_FURTHER, None) if late else (None,):
        with ExitStack() as files:
            clip = Decoding(request, limits, deadline, back, files).clip()
        if clip is not None:
            return clip
    raise AssertionError("reading from the beginning always ends")


@dataclass
class Reading:
    """What the first step found: the index of the video's packets, and all packets unless they were too many."""

    index: PacketIndex
    kept: list[Any] | None = field(default_factory=list)
    sound_end: float = 0.0  # s, on the file's clock
    moves: NDArray[np.int64] | None = None  # ticks by which each packet was moved, where the clock was reset


class Decoding:
    """One attempt at a clip: from `back` s before it, or from the beginning of the file (None)."""

    def __init__(
        self, request: ClipRequest, limits: DecodeLimits, deadline: Deadline, back: float | None, files: ExitStack
    ) -> None:
        self.request, self.limits, self.deadline, self.files = request, limits, deadline, files
        self.file = self._open()
        # The clock of a transport stream may be reset, and then times do not say where in the file a clip is.
        self.joined = TS_FORMAT in self.file.container.format.name
        self.back = None if self.joined else back
        self.file.check_video()
        self.origin: int | None = self.file.video.start_time

    def clip(self) -> Clip | None:
        """The clip; None where it can't be decoded from there, and reading must begin further back."""
        request, name = self.request, self.file.name
        if self.back is not None and not self._seek(self.file):
            return None
        reading = self._read()
        if self.back is not None and not self._covers_start(reading.index):
            return None
        if not len(reading.index):
            raise MediaError("no video", f"{name}: its video track holds no picture")
        timeline = build_timeline(reading.index, self.file.video.codec_context.reorder_depth).hold(reading.sound_end)
        zero = int(timeline.shown[0]) if self.back is None or self.origin is None else self.origin
        plan = plan_frames(timeline, request.frames, request.start, request.end, zero, name, request.frame_sampling)
        found = self._decode(reading, timeline, plan)
        if found is None:
            return None
        frames, pictures, sound = found
        if sound is None:
            windows = SoundWindows.of(request, plan.moments, plan.duration)
            if request.audio_path is not None:
                offset = (plan.start - zero) * timeline.tick
                sound = decode_sound_file(request.audio_path, windows, offset, self.limits, self.deadline)
            else:
                sound = windows.nothing("no track")
        remarks = plan.remarks(pictures.replaced)
        return make_clip(
            frames, plan.moments, plan.frame_times, plan.duration, sound, plan.short, pictures.decoded, remarks
        )

    def _open(self) -> PyAVFile:
        apart = self.request.audio_path is not None
        return self.files.enter_context(PyAVFile(self.request.path, self.limits, video=True, audio=not apart))

    def _seek(self, file: PyAVFile) -> bool:
        """Goes to `back` s before the clip; False where that is not in the file, or the file can't be sought."""
        target = (self.request.start or 0.0) - (self.back or 0.0)
        if self.origin is None or target <= 0:
            return False
        try:
            file.container.seek(self.origin + round(target / float(file.video.time_base)), stream=file.video)
        except MemoryError:
            raise
        except DECODE_ERRORS:
            return False
        return True

    def _covers_start(self, index: PacketIndex) -> bool:
        """Whether a seek landed on a key frame at or before the clip's start, as it should have."""
        start = (self.origin or 0) + (self.request.start or 0.0) / index.tick
        return bool(len(index) and index.key[0] and index.pts[0] is not None and index.pts[0] <= start)

    def _read(self) -> Reading:
        """Reads packets up to the end of the clip and decodes none."""
        video, rate, end = self.file.video, self.file.video.average_rate, self.request.end
        reading = Reading(PacketIndex(float(video.time_base), float(rate) if rate else None))
        size = 0
        limit = (
            None if end is None or self.origin is None else seconds(self.origin, video.time_base) + end + SEEK_MARGIN
        )
        ticks = {stream.index: stream.time_base for stream in self.file.streams}  # a packet's own makes a fraction anew
        running = set(ticks)
        clock = Clock(float(video.time_base), video.index) if self.joined else None
        for packet in self.file.packets(self.deadline):
            tick = ticks[packet.stream_index]
            if clock is not None:
                clock.follow(packet.stream_index, packet.pts, packet.dts, packet.duration)
            if packet.stream_index == video.index:
                reading.index.add(packet.pts, packet.dts, packet.duration, packet.is_keyframe, packet.is_discard)
            elif packet.pts is not None:
                reading.sound_end = max(reading.sound_end, seconds(packet.pts, tick) + packet_length(packet, tick))
            size += packet.size
            if size > KEPT_BYTES:
                reading.kept = None
            elif reading.kept is not None:
                reading.kept.append(packet)
            at = packet.dts if packet.dts is not None else packet.pts
            if limit is not None and at is not None and seconds(at, tick) > limit and not (clock and clock.broken):
                running.discard(packet.stream_index)
                if not running:
                    break
        if clock is not None and clock.broken:
            reading.index.move(clock.moves(video.index))
            reading.moves = clock.moves()
            if self.file.audio is not None:
                reading.sound_end = seconds(clock.end(self.file.audio.index), video.time_base)
            if reading.kept is not None:
                reading.kept = list(_moved(reading.kept, reading.moves))
        return reading

    def _again(self, reading: Reading) -> tuple[PyAVFile, Iterable[Any]]:
        """The packets once more, with the open file to which they belong, whose decoders are reset."""
        if reading.kept is None:
            file = self._open()
            if self.back is not None:
                self._seek(file)
            packets = file.packets(self.deadline)
            return file, packets if reading.moves is None else _moved(packets, reading.moves)
        for stream in self.file.streams:
            if stream.codec_context is not None and stream.codec_context.is_open:
                stream.codec_context.flush_buffers()
        return self.file, reading.kept

    def _decode(
        self, reading: Reading, timeline: Timeline, plan: Plan
    ) -> tuple[NDArray[np.uint8], Pictures, Sound | None] | None:
        """Pictures and sound; None where no key frame follows the place that was sought. Every jump is checked.

        Where a jump led to no key frame, decoding begins at other packets: where the decoder holds pictures back until they
        are whole, as much earlier; else at those that the decoder calls key frames; else at the first packet.
        """
        keys, lag, tries = timeline.keys, 0, 0
        while True:
            begins = plan.begin_at(keys.later(lag))
            try:
                return self._pass(reading, timeline, plan, begins)
            except KeyIsNone as wrong:
                if not len(keys.ordinals):
                    return None
                tries += 1
                late = 0 if wrong.came is None else wrong.came - wrong.label
                if self.file.video.codec_context.name in HOLDS_BACK and late > lag and tries <= LAGS:
                    lag = late
                elif tries <= LAGS + 1:
                    file, packets = self._again(reading)
                    own = (packet for packet in packets if packet.stream_index == file.video.index)
                    keys, lag, tries = keys.only(prove_keys(file, own, begins, KEPT_BYTES)), 0, LAGS + 1
                else:
                    keys = NO_KEYS

    def _pass(
        self, reading: Reading, timeline: Timeline, plan: Plan, begins: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], Pictures, Sound | None]:
        file, packets = self._again(reading)
        pictures = Pictures(file, timeline, plan, begins, self.request, self.back is not None)
        track: Track | None = None
        if file.audio is not None:
            windows = SoundWindows.of(self.request, plan.moments, plan.duration)
            track = Track(file, windows, plan.start * timeline.tick)
        ordinal = 0
        for packet in packets:
            self.deadline.check(file.name)
            if packet.stream_index == file.video.index:
                pictures.feed(ordinal, packet)
                ordinal += 1
            elif track is not None:
                track.feed(packet)
            if pictures.complete and (track is None or track.complete):
                break
        frames = pictures.finish()
        return frames, pictures, track.finish() if track is not None else None


def _moved(packets: Iterable[Any], moves: NDArray[np.int64]) -> Iterator[Any]:
    """The packets, each moved by its number of ticks."""
    for packet, move in zip(packets, moves.tolist(), strict=False):
        packet.pts = None if packet.pts is None else packet.pts + move
        packet.dts = None if packet.dts is None else packet.dts + move
        yield packet


def make_clip(
    frames: NDArray[np.uint8],
    moments: NDArray[np.float64],
    frame_times: NDArray[np.float64],
    duration: float,
    sound: Sound,
    short: bool,
    decoded: int,
    remarks: Sequence[Remark] = (),
) -> Clip:
    return Clip(
        frames=frames,
        times=moments.astype(np.float32),
        duration=float(duration),
        audio=sound.samples,
        audio_mask=sound.mask,
        audio_state=sound.state,
        audio_starts=sound.starts,
        audio_rate=sound.rate,
        audio_window=sound.window,
        clip_sound=sound.whole,
        short=short,
        decoded=decoded,
        frame_times=frame_times.astype(np.float32),
        remarks=tuple(remarks),
    )
