"""A file through the ffmpeg and ffprobe programs: its streams and packets, and a run of ffmpeg over one stream.

Which pictures and sounds are asked for is left to `ffmpeg_pictures` and `ffmpeg_sound`.
"""

import json
import queue
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import MediaError
from gaid.media.clock import Clock
from gaid.media.limits import Deadline, DecodeLimits, too_large, too_slow
from gaid.media.opening import TS_FORMAT, check_file, open_options, show_path
from gaid.media.sampling import PacketIndex

Filters = list[tuple[str, tuple[Any, ...], dict[str, Any]]]

INPUT = "file:input"
SHOWN = re.compile(rb"^\[Parsed_a?showinfo_\d+ @ [^\]]*\] n: *(\d+) pts: *(-?\d+) +pts_time: *(-?[\d.]+)")
TIME_BASE = re.compile(rb"^\[Parsed_showinfo_\d+ @ [^\]]*\] config in time_base: *(\d+)/(\d+)")
TOO_LARGE = re.compile(rb"Picture size (\d+)x(\d+) exceeds specified max pixel count")


@dataclass(frozen=True)
class Probed:
    """What ffprobe reports of a file: the streams that are used, and the times of their packets."""

    video: dict[str, Any] | None
    audio: dict[str, Any] | None
    index: PacketIndex
    sound_packets: NDArray[np.float64]  # s
    sound_start: float  # s
    sound_end: float  # s
    clock: Clock | None  # of a file whose clock was reset


class FFmpegFile:
    """A checked file, read through the two programs until the deadline."""

    def __init__(self, path: str, limits: DecodeLimits, deadline: Deadline) -> None:
        self.path, self.name, self.limits, self.deadline = check_file(path), show_path(path), limits, deadline
        self.url = f"file:{self.path}"

    def probe(self) -> Probed:
        header = json.loads(self._ffprobe("-show_streams", "-show_programs", "-show_format", "-of", "json") or b"{}")
        video, audio = _choose_streams(header)
        index = PacketIndex(_fraction(video["time_base"]), _rate(video)) if video else PacketIndex(1.0, None)
        tick = _fraction(audio["time_base"]) if audio else 1.0
        joined = TS_FORMAT in str(header.get("format", {}).get("format_name", ""))
        used = [stream["index"] for stream in (video, audio) if stream]
        clock = Clock(index.tick, used[0]) if joined and video else None
        sound: list[tuple[int | None, int]] = []  # time and length of each packet, in ticks
        entries = "packet=stream_index,pts,dts,duration,flags"
        for line in self._ffprobe("-show_entries", entries, "-of", "csv=p=0").splitlines():
            fields = line.decode("ascii", "replace").rstrip(",").split(",")
            if len(fields) < 5:
                continue
            stream, pts, dts, duration = (_number(field) for field in fields[:4])
            if clock is not None and stream is not None and stream in used:
                clock.follow(stream, pts, dts, duration)
            if video and stream == video["index"]:
                index.add(pts, dts, duration, "K" in fields[4], "D" in fields[4])
            elif audio and stream == audio["index"]:
                sound.append((pts, duration or 0))
        start = _number(str(audio.get("start_pts", ""))) if audio else None
        if clock is not None and clock.broken:
            index.move(clock.moves(used[0]))
            if audio:
                moves = clock.moves(audio["index"]).tolist()
                sound = [
                    (None if pts is None else pts + m, length) for (pts, length), m in zip(sound, moves, strict=True)
                ]
        timed = [(pts * tick, (pts + length) * tick) for pts, length in sound if pts is not None]
        times = np.array([begin for begin, _ in timed])
        first = float(times.min(initial=np.inf)) if start is None else start * tick
        return Probed(
            video=video,
            audio=audio,
            index=index,
            sound_packets=times,
            sound_start=first if timed or start is not None else 0.0,
            sound_end=max((end for _, end in timed), default=0.0),
            clock=clock if clock is not None and clock.broken else None,
        )

    def _ffprobe(self, *arguments: str) -> bytes:
        options = [x for name, value in open_options(self.limits).items() for x in (f"-{name}", value)]
        command = ["ffprobe", "-v", "error", *options, *arguments, self.url]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                capture_output=True,
                timeout=self.deadline.remaining(),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise too_slow(self.name, self.deadline.seconds) from None
        if done.returncode and not done.stdout.strip(b"{} \n"):
            if size := TOO_LARGE.search(done.stderr):
                raise too_large(self.name, int(size[1]), int(size[2]), self.limits.pixels)
            words = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
            reason = words[-1].removeprefix(f"{self.url}: ")
            if reason == "Invalid argument":
                raise MediaError(
                    "refused",
                    f"{self.name}: its content is not of a kind that is opened (playlists and lists of files never are)",
                )
            raise MediaError("unreadable", f"{self.name}: not a video or sound ({show_path(reason)})")
        return done.stdout

    def is_encrypted(self, stream: int) -> bool:
        """Whether the first packets of a stream say that they are encrypted."""
        packets = self._ffprobe(
            "-select_streams", str(stream), "-read_intervals", "%+#8", "-show_packets", "-of", "json"
        )
        return b"Encryption info" in packets

    def run(self, stream: int, late: float | None, filters: Filters,
            output: dict[str, Any]) -> "Running":  # fmt: skip
        """Starts ffmpeg on one stream; `late` is the absolute time (s) to seek to first, if any."""
        import ffmpeg

        options: dict[str, Any] = {**open_options(self.limits), "threads": 1, "noautorotate": None, "copyts": None}
        options["reinit_filter:v"] = 0  # where pictures change their size, each keeps its own
        options["guess_layout_max"] = 0  # no layout is guessed for channels whose places the file does not give
        if late is not None:
            options |= {"seek_timestamp": 1, "noaccurate_seek": None, "ss": f"{late:.6f}"}
        # ffmpeg-python can't carry a name that is not UTF-8, so the true one is put in last.
        graph = ffmpeg.input(INPUT, **options)[str(stream)]
        for name, positional, named in filters:
            graph = graph.filter(name, *positional, **named)
        graph = graph.output("pipe:1", **output).global_args(
            "-nostdin", "-hide_banner", "-nostats", "-loglevel", "info", "-filter_complex_threads", "1",
            "-timelimit", str(int(self.limits.seconds) + 1),
        )  # fmt: skip
        command = [self.url if part == INPUT else part for part in graph.compile()]
        return Running(command, self.deadline, self.name)


class Running(AbstractContextManager["Running"]):
    """A running ffmpeg: what `showinfo` prints of each piece, and the bytes of the pieces, in step."""

    def __init__(self, command: list[str], deadline: Deadline, name: str) -> None:
        self.deadline, self.name = deadline, name
        # A session of its own: on Ctrl-C ffmpeg would stop early, and its output so far would pass for all of it.
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read_lines, daemon=True)
        self._reader.start()
        self._timer = threading.Timer(deadline.remaining(), self.process.kill)
        self._timer.daemon = True
        self._timer.start()

    def _read_lines(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)
        self._lines.put(None)

    def pieces(self, tick: float | None = None) -> Iterator[tuple[int, float, bytes]]:
        """(number, time in s, the whole line) of each piece that passes; its bytes are to be `read` before the next.

        The program prints seconds with six digits only, so times are counted in units: of `tick` s for sound, while the
        unit of pictures is printed at the beginning.
        """
        while (line := self._lines.get()) is not None:
            if found := SHOWN.match(line):
                yield int(found[1]), float(found[3]) if tick is None else int(found[2]) * tick, line
            elif unit := TIME_BASE.match(line):
                tick = int(unit[1]) / int(unit[2])

    def read(self, size: int) -> bytes:
        assert self.process.stdout is not None
        data = self.process.stdout.read(size)
        self.deadline.check(self.name)
        return data

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self.process.kill()
        self._reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        self.process.wait()


def _choose_streams(header: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The streams of pictures and of sound, chosen as `opening.choose_streams` does."""
    streams = header.get("streams", [])
    pictures = [one for one in streams if one.get("codec_type") == "video" and not _is_no_picture(one)]
    sounds = [one for one in streams if one.get("codec_type") == "audio"]
    if len(pictures) > 1 and header.get("programs"):
        programs = [{one["index"] for one in program.get("streams", [])} for program in header["programs"]]
        heard = [program for program in programs if any(sound["index"] in program for sound in sounds)]
        video = _choose([one for one in pictures if any(one["index"] in program for program in heard)] or pictures)
        of_it = set().union(*(program for program in programs if video and video["index"] in program))
        return video, _choose([sound for sound in sounds if sound["index"] in of_it])
    return _choose(pictures), _choose(sounds)


def _choose(streams: list[dict[str, Any]]) -> dict[str, Any] | None:
    usable = [one for one in streams if one.get("codec_name")]
    default = [one for one in usable if one.get("disposition", {}).get("default")]
    return next(iter([*default, *usable, *streams]), None)


def _is_no_picture(stream: dict[str, Any]) -> bool:
    kinds = stream.get("disposition", {})
    return any(kinds.get(kind) for kind in ("attached_pic", "timed_thumbnails", "still_image"))


def _fraction(text: str) -> float:
    above, _, below = text.partition("/")
    return float(above) / float(below or 1)


def _rate(stream: dict[str, Any]) -> float | None:
    text = stream.get("avg_frame_rate", "0/0")
    return _fraction(text) if not text.startswith("0") and not text.endswith("/0") else None


def _number(text: str) -> int | None:
    return int(text) if text.lstrip("-").isdigit() else None
