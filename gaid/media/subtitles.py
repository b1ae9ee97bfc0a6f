"""Subtitles of a video as cues: the text file beside it, else the text track within it. What is said by them is a backbone's.

A file beside it is NAME.srt or NAME.vtt, or one with a language between (NAME.en.srt), English first.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gaid.errors import MediaError
from gaid.media.limits import Deadline, DecodeLimits
from gaid.media.opening import NO_PICTURE, open_media, show_path
from gaid.media.pyav_file import DECODE_ERRORS, seconds
from gaid.specs import Segment

SUFFIXES = (".srt", ".vtt")
LARGEST = 16 << 20  # bytes of a file of subtitles
MOST = 100_000  # cues of a file
_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
_TIMES = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}")


def find_beside(path: str) -> str | None:
    """The file of subtitles beside a video."""
    video = Path(path)
    try:
        names = [one.name for one in os.scandir(video.parent) if one.name.startswith(f"{video.stem}.")]
    except OSError:
        return None
    found = [
        name for name in names if Path(name).suffix.lower() in SUFFIXES and name.count(".") <= video.name.count(".") + 1
    ]

    def rank(name: str) -> tuple[int, str]:
        between = name[len(video.stem) : -len(Path(name).suffix)].strip(".").lower()
        return (0 if not between else 1 if between.startswith("en") else 2), name

    return str(video.with_name(min(found, key=rank))) if found else None


def parse(text: str) -> Iterator[Segment]:
    """The cues of an SRT or WebVTT text in their order; whatever is not a cue is passed over."""
    times: tuple[float, float] | None = None
    lines: list[str] = []
    for line in [*text.splitlines(), ""]:
        found = _TIMES.match(line)
        if found:
            parts = found.groups()
            times, lines = (_seconds(*parts[:4]), _seconds(*parts[4:])), []
        elif line.strip() and times is not None:
            lines.append(line.strip())
        elif times is not None:
            if lines and times[1] > times[0]:
                yield Segment(" ".join(lines), *times)
            times = None


def _seconds(hours: str | None, minutes: str, second: str, part: str) -> float:
    return 3600 * int(hours or 0) + 60 * int(minutes) + int(second) + int(part.ljust(3, "0")) / 1000


def read_cues(path: str, limits: DecodeLimits, deadline: Deadline) -> list[Segment]:
    """The cues of a video, in seconds from its first picture, in the order of time; none where it has no subtitles.

    Raises MediaError for a file that can't be read.
    """
    beside = find_beside(path)
    cues = parse(_read(beside)) if beside is not None else _within(path, limits, deadline)
    found = []
    for cue in cues:
        found.append(cue)
        if len(found) == MOST:
            break
    return sorted(found, key=lambda cue: cue.start)


def _read(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(LARGEST)
    except OSError as error:
        raise MediaError("unreadable", f"{show_path(path)}: {error.strerror}") from None
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", "replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _within(path: str, limits: DecodeLimits, deadline: Deadline) -> Iterator[Segment]:
    """The cues of the file's default text track, else of its first."""
    with open_media(path, limits) as container:
        tracks: list[Any] = [one for one in container.streams.subtitles if one.codec_context is not None]
        tracks.sort(key=lambda one: not one.disposition & NO_PICTURE.__class__.default)
        if not tracks:
            return
        track = tracks[0]
        pictures = container.streams.video
        zero = 0.0
        if pictures and pictures[0].start_time is not None and pictures[0].time_base is not None:
            zero = seconds(pictures[0].start_time, pictures[0].time_base)
        try:
            for packet in container.demux(track):
                deadline.check(show_path(path))
                if packet.pts is None or not packet.size:
                    continue
                begin = seconds(packet.pts, track.time_base) - zero
                for text in _texts(packet):
                    yield Segment(text, begin, begin + seconds(packet.duration or 0, track.time_base))
        except DECODE_ERRORS:
            return  # the file breaks off


def _texts(packet: Any) -> Iterator[str]:
    """What a packet of a text track says; nothing for pictures of text."""
    for shown in packet.decode():
        said = getattr(shown, "dialogue", None)  # pictures have none
        if said:
            text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
            yield " ".join(text.replace("\\N", " ").replace("\\n", " ").split())
