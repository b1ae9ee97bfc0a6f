"""The only place where a media file is opened, so that only the file asked for is ever opened.

FFmpeg follows playlists, protocols in a name, and lists of further files. Two whitelists on an absolute `file:` path prevent
that, and either alone does not: `protocol_whitelist` alone opened a neighbour through an ffconcat text, `format_whitelist`
alone a network address given as a name.
"""

import os
import stat
from pathlib import Path
from typing import Any

import av
import av.container
import av.container.core

from gaid.console import printable
from gaid.errors import MediaError
from gaid.media.limits import DecodeLimits, no_memory

# Containers that hold their data themselves. No playlists (hls, dash, concat), no scripts, no streams (sdp, rtsp), no
# patterns of file names (image2).
FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,asf,gif,ogg,wav,w64,mp3,flac,aac,ac3,eac3,aiff,au,caf,amr,wv"
PROTOCOLS = "file"
PROBE_BYTES = 16
TS_FORMAT = "mpegts"
NO_PICTURE = (
    av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails | av.stream.Disposition.still_image
)
# A tag (title, encoder) that is not UTF-8 must not cost the clip. PyAV 19 keeps its bytes as surrogates; 17 and 18 need
# the option.
_TAGS: dict[str, Any] = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "surrogateescape"}


def show_path(path: str | os.PathLike[str]) -> str:
    """A path for a message: one line, whatever characters its name has."""
    return printable(os.fspath(path))


def check_file(path: str | os.PathLike[str]) -> str:
    """The absolute path of a regular, readable, non-empty file; MediaError otherwise. Never blocks on a pipe or device."""
    name = show_path(path)
    try:
        absolute = os.path.abspath(path)  # noqa: PTH100 (resolve() would lose the name that the user knows)
        found = os.stat(absolute)  # noqa: PTH116
    except FileNotFoundError:
        if os.path.islink(path):  # noqa: PTH114
            raise MediaError("missing", f"{name}: a link to a file that is not there") from None
        raise MediaError("missing", f"{name}: no such file") from None
    except (OSError, ValueError) as error:
        raise MediaError("unreadable", f"{name}: {getattr(error, 'strerror', None) or error}") from None
    if stat.S_ISDIR(found.st_mode):
        raise MediaError("refused", f"{name}: a folder, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise MediaError("refused", f"{name}: a pipe, socket or device, not a file")
    if found.st_size == 0:
        raise MediaError("empty", f"{name}: the file has 0 bytes")
    return absolute


def read_head(path: str) -> bytes:
    """The first bytes of a checked file."""
    try:
        with Path(path).open("rb") as file:
            return file.read(PROBE_BYTES)
    except OSError as error:
        raise MediaError("unreadable", f"{show_path(path)}: {error.strerror}") from None


def open_options(limits: DecodeLimits) -> dict[str, str]:
    """Options of every open, the same for both decoders. `max_pixels` also holds while FFmpeg guesses stream parameters."""
    return {"format_whitelist": FORMATS, "protocol_whitelist": PROTOCOLS, "max_pixels": str(limits.pixels)}


def open_media(path: str, limits: DecodeLimits) -> "av.container.InputContainer":
    """Opens a checked, absolute path. Raises MediaError."""
    name = show_path(path)
    try:
        container = av.open(f"file:{path}", options=open_options(limits), **_TAGS)
    except av.error.ArgumentError:
        raise MediaError(
            "refused", f"{name}: its content is not of a kind that is opened (playlists and lists of files never are)"
        ) from None
    except MemoryError:
        raise no_memory(name) from None
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError("unreadable", f"{name}: not a video or sound ({describe(error)})") from None
    # PyAV has times of display made up where there are none (AVI), and with reordered pictures they are wrong.
    gen_pts: Any = av.container.core.Flags.gen_pts.value
    container.flags &= ~gen_pts
    return container


def describe(error: BaseException) -> str:
    """FFmpeg's text of an error, without its number and the path, which the message has already."""
    return str(getattr(error, "strerror", None) or type(error).__name__)


def choose_streams(container: Any) -> tuple[Any | None, Any | None]:
    """The streams of pictures and of sound: of each kind the default one, else the first, of those that can be decoded.

    A cover or thumbnail does not count as pictures. A transport stream may hold several programmes: the sound is taken
    from the programme of the pictures, and a programme with sound is preferred to one without.
    """
    pictures = [stream for stream in container.streams.video if not stream.disposition & NO_PICTURE]
    sounds = list(container.streams.audio)
    if TS_FORMAT in container.format.name and len(pictures) > 1:
        picture_of = {sound.index: container.streams.best("video", related=sound) for sound in sounds}
        heard = {picture.index for picture in picture_of.values() if picture is not None}
        video = _choose([one for one in pictures if one.index in heard] or pictures)
        return video, _choose([sound for sound in sounds if picture_of[sound.index] is video])
    return _choose(pictures), _choose(sounds)


def _choose(streams: list[Any]) -> Any | None:
    """The first default stream that can be decoded, else the first that can be decoded, else the first; None without any."""
    usable = [stream for stream in streams if stream.codec_context is not None]
    default = [stream for stream in usable if stream.disposition & av.stream.Disposition.default]
    return next(iter([*default, *usable, *streams]), None)
