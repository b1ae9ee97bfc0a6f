"""What a transcriber needs of a clip: its whole sound, or the cues of its subtitles. No picture is decoded."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gaid.errors import MediaError
from gaid.media.clip import Heard, SpeechRequest
from gaid.media.decode import clip_times, probe
from gaid.media.limits import Deadline, DecodeLimits
from gaid.media.opening import TS_FORMAT, check_file, read_head, show_path
from gaid.media.picture import is_still
from gaid.media.pyav_file import DECODE_ERRORS, PyAVFile, seconds
from gaid.media.pyav_sound import Track
from gaid.media.sound import SoundWindows
from gaid.media.subtitles import read_cues
from gaid.specs import Segment

LONGEST = 3 * 3600.0  # s of one clip's sound: 691 MB at 16 kHz
PIECE = 30.0  # s that are put together at once
SEEK_FROM, SEEK_MARGIN = 30.0, 2.0  # s: a clip that starts later is sought, that much before it


def hear(request: SpeechRequest, limits: DecodeLimits | None = None) -> Heard:
    """The sound of a clip, or its cues where `request.rate` is 0; empty where it has none. Raises MediaError."""
    limits = limits or DecodeLimits()
    deadline, path = Deadline(limits.seconds), check_file(request.path)
    still = is_still(read_head(path))
    if request.may_be_whole and not still:
        start, end = clip_times(request, probe(path, limits).duration)
        request = replace(request, start=start, end=end)
    if not request.rate:
        cues = [] if still else _cut(read_cues(path, limits, deadline), request)
        return Heard(np.zeros(0, np.float32), cues)
    own = request.audio_path is None
    file = path if own else check_file(request.audio_path or "")
    return Heard(_sound(file, own, request, limits, deadline), [])


def _cut(cues: list[Segment], request: SpeechRequest) -> list[Segment]:
    """The cues that begin or end in the clip, in seconds from its start."""
    begin = request.start or 0.0
    end = begin + request.duration
    inside = (cue for cue in cues if cue.end > begin and cue.start < end)
    return [Segment(cue.text, max(cue.start - begin, 0.0), min(cue.end - begin, request.duration)) for cue in inside]


def _sound(
    path: str, with_pictures: bool, request: SpeechRequest, limits: DecodeLimits, deadline: Deadline
) -> NDArray[np.float32]:
    """All of a clip's sound (samples,), its channels mixed, up to LONGEST."""
    seeks = (True, False) if (request.start or 0.0) > SEEK_FROM else (False,)
    for seek in seeks:
        with PyAVFile(path, limits, video=with_pictures, audio=True) as file:
            found = _read(file, request, deadline, seek)
        if found is not None:
            return found
    raise MediaError("unreadable", f"{show_path(path)}: its sound can't be decoded")


def _read(file: PyAVFile, request: SpeechRequest, deadline: Deadline, seek: bool) -> NDArray[np.float32] | None:
    """The sound, from shortly before the clip (`seek`) or from the file's beginning; None where that did not give it."""
    if file.audio is None:
        return np.zeros(0, np.float32)
    start, duration = request.start or 0.0, min(request.duration, LONGEST)
    count = max(1, math.ceil(duration / PIECE))
    windows = SoundWindows(request.rate, PIECE * np.arange(0.5, count, dtype=np.float64), PIECE, duration)
    first = file.video if file.video is not None else file.audio
    zero = None if first.start_time is None else seconds(first.start_time, first.time_base)
    file.video = None  # nothing more is read of it
    if seek and (zero is None or TS_FORMAT in file.container.format.name or not _seek(file, zero + start)):
        return None
    track: Track | None = None
    for packet in file.packets(deadline):
        if track is None:
            at = 0.0 if packet.pts is None else seconds(packet.pts, file.audio.time_base)
            zero = at if zero is None else zero
            if seek and at > zero + start:
                return None
            track = Track(file, windows, zero + start)
        track.feed(packet)
        if track.complete:
            break
    sound = None if track is None else track.finish()
    if sound is None or sound.state == "failed":
        return None
    return sound.samples.reshape(-1)[: windows.total]


def _seek(file: PyAVFile, at: float) -> bool:
    target = round((at - SEEK_MARGIN) / float(file.audio.time_base))
    try:
        file.container.seek(target, stream=file.audio)
    except DECODE_ERRORS:
        return False
    return True
