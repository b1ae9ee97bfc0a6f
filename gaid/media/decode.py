"""Decoding a clip: F frames, their times, and the sound around each, from one file that may be anything.

This module picks the decoder, `gaid.media.pyav` or `gaid.media.ffmpeg`, and treats still pictures itself. Decode files
that are not trusted through `gaid.media.pool`: here, a fault in a codec ends the process of the caller.
"""

from contextlib import suppress
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from gaid.errors import MediaError, OptionInvalid
from gaid.media.clip import Clip, ClipRequest, MediaInfo, SpeechRequest
from gaid.media.limits import Deadline, DecodeLimits, no_memory
from gaid.media.opening import check_file, read_head, show_path
from gaid.media.picture import fit, is_still, read_still
from gaid.media.pyav import decode_with_pyav, make_clip
from gaid.media.pyav_file import PyAVFile
from gaid.media.pyav_sound import decode_sound_file, sound_duration
from gaid.media.sampling import frame_moments
from gaid.media.sound import SoundWindows

if TYPE_CHECKING:
    from gaid.datasets.types import Video

STILL_SECONDS = 1.0  # how long a still picture without a sound lasts
WHOLE_WITHIN = 1.0  # s by which a file that is a clip may be longer than the clip's times say


def check_decoder(decoder: str) -> None:
    """Raises DependencyMissing where the decoder can't run on this machine, OptionInvalid where it does not exist."""
    if decoder == "ffmpeg":
        from gaid.media.ffmpeg import check_ffmpeg

        check_ffmpeg()
    elif decoder != "pyav":
        raise OptionInvalid(f"--decoder {decoder}: choose pyav or ffmpeg")


def decode_clip(request: ClipRequest, limits: DecodeLimits | None = None) -> Clip:
    """Decodes one clip in this process, without a limit on memory.

    Raises MediaError, whose `reason` says what is wrong with the file; DependencyMissing for a decoder that is not installed.
    The same file and request give the same bytes every time.
    """
    limits = limits or DecodeLimits()
    if request.frames < 1:
        raise OptionInvalid(f"--frames {request.frames}: at least 1")
    check_decoder(request.decoder)
    path = check_file(request.path)
    try:
        if is_still(read_head(path)):
            return _decode_still(request, path, limits)
        request = _with_times(request, limits)
        if request.decoder == "ffmpeg":
            from gaid.media.ffmpeg import decode_with_ffmpeg

            return decode_with_ffmpeg(request, limits)
        return decode_with_pyav(request, limits)
    except MemoryError:
        raise no_memory(show_path(path)) from None
    except MediaError as error:
        if error.reason != "empty" or not request.entry:
            raise
        raise MediaError("empty", f"{error.message} ({request.entry})") from None


def clip_times(one: "ClipRequest | SpeechRequest | Video", file_seconds: float) -> tuple[float | None, float | None]:
    """Start and end of a clip in its file, which lasts `file_seconds` (0: unknown). (None, None) where the file may be the clip
    itself and is at most a second longer."""
    if one.may_be_whole and one.end is not None and 0 < file_seconds <= one.end - (one.start or 0.0) + WHOLE_WITHIN:
        return None, None
    return one.start, one.end


def _with_times(request: ClipRequest, limits: DecodeLimits) -> ClipRequest:
    """The request with the times that its clip has in the file."""
    if not request.may_be_whole:
        return request
    with suppress(MediaError):  # decoding raises it again
        start, end = clip_times(request, probe(request.path, limits).duration)
        return replace(request, start=start, end=end)
    return request


def _decode_still(request: ClipRequest, path: str, limits: DecodeLimits) -> Clip:
    """A still picture counts as a video that shows it for as long as its sound lasts. PyAV reads its sound in any case."""
    deadline = Deadline(limits.seconds)
    picture = fit(read_still(path, show_path(path), limits), request.frame_spec)
    whole = sound_duration(request.audio_path, limits, deadline) if request.audio_path else 0.0
    begin = request.start or 0.0
    end = request.end if request.end is not None else (whole or begin + STILL_SECONDS)
    if end <= begin:
        raise MediaError("empty", f"{show_path(path)}: the clip from {begin:g} s to {end:g} s has no length")
    duration = end - begin
    moments = frame_moments(request.frame_sampling, duration, request.frames)
    windows = SoundWindows.of(request, moments, duration)
    if request.audio_path:
        sound = decode_sound_file(request.audio_path, windows, begin, limits, deadline)
    else:
        sound = windows.nothing("no track")
    frames = np.repeat(picture[None], request.frames, axis=0)
    return make_clip(frames, moments, np.zeros(request.frames), duration, sound, request.frames > 1, 1)


def probe(path: str | PathLike[str], limits: DecodeLimits | None = None) -> MediaInfo:
    """What the header of a video or sound file says, read in this process. Raises MediaError as `decode_clip` does.

    For files that are not trusted use `gaid.media.pool.DecodePool.probe`.
    """
    limits = limits or DecodeLimits()
    absolute = check_file(path)
    if is_still(read_head(absolute)):
        height, width = read_still(absolute, show_path(path), limits).shape[:2]
        return MediaInfo(absolute, "picture", 0.0, width, height)
    with PyAVFile(absolute, limits, video=True, audio=True) as file:
        if not file.streams:
            raise MediaError("no video", f"{file.name}: holds neither picture nor sound")
        video = file.video.codec_context if file.video is not None else None
        audio = file.audio.codec_context if file.audio is not None else None
        longest = file.video if file.video is not None else file.audio
        duration = 0.0
        if longest is not None and longest.duration:
            duration = float(longest.duration * longest.time_base)
        elif file.container.duration:
            duration = file.container.duration / 1e6
        rate = file.video.average_rate if file.video is not None else None
        return MediaInfo(
            path=absolute,
            format=file.container.format.name,
            duration=duration,
            width=video.width if video else 0,
            height=video.height if video else 0,
            rate=float(rate) if rate else 0.0,
            video_codec=video.name if video else None,
            audio_codec=audio.name if audio else None,
            audio_rate=audio.sample_rate if audio else 0,
            channels=len(file.channels),
            pixels=video.pix_fmt if video else None,
        )
