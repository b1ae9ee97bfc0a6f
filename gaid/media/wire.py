"""Messages between the decode pool and its workers: a JSON header and raw arrays, each with its length before it.

No pickle: a worker whose decoder was taken over by a hostile file must not be able to run code in the parent.
"""

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import DependencyMissing, GaidError, MediaError, OptionInvalid
from gaid.media.clip import Clip, ClipRequest, Heard, MediaInfo, ProbeRequest, SpeechRequest
from gaid.specs import AudioSpec, FrameSpec, Segment

LENGTHS = struct.Struct("<QQ")
LONGEST_HEADER = 1 << 20
LONGEST_BODY = 4 << 30
# In the order of their items' sizes, so that each lies in a message as its items want to be aligned.
ARRAYS = {
    "audio_starts": "int64", "times": "float32", "frame_times": "float32", "audio": "float32", "clip_sound": "float32", "frames": "uint8",
    "audio_mask": "bool",
}  # fmt: skip
VALUES = ("duration", "audio_state", "audio_rate", "audio_window", "short", "decoded", "remarks")
FATAL: dict[str, type[GaidError]] = {"DependencyMissing": DependencyMissing, "OptionInvalid": OptionInvalid}

Header = dict[str, Any]
Body = bytes | bytearray
Message = tuple[Header, Body]
Asked = ClipRequest | ProbeRequest | SpeechRequest
Answer = Clip | MediaInfo | Heard | MediaError
_KINDS = {ClipRequest: "clip", ProbeRequest: "probe", SpeechRequest: "speech"}


def pack(header: Mapping[str, Any], arrays: Sequence[NDArray[Any]] = ()) -> bytes:
    text = json.dumps(header).encode()
    return b"".join(
        [LENGTHS.pack(len(text), sum(array.nbytes for array in arrays)), text, *(array.data for array in arrays)]
    )


def unpack(read: Callable[[int], Body]) -> Message:
    """One message; `read(n)` gives exactly n bytes or raises. ValueError where it is not a message of this module."""
    header_length, body_length = LENGTHS.unpack(read(LENGTHS.size))
    if header_length > LONGEST_HEADER or body_length > LONGEST_BODY:
        raise ValueError("not a message of a decode worker")
    header = json.loads(read(header_length))
    if not isinstance(header, dict):
        raise ValueError("not a message of a decode worker")
    return header, read(body_length)


def request_to_header(request: Asked) -> Header:
    # A file name that is not UTF-8 holds surrogates, which JSON's escapes carry as they are.
    return {_KINDS[type(request)]: asdict(request)}


def request_from_header(header: Header) -> Asked:
    if "probe" in header:
        return ProbeRequest(**header["probe"])
    if "speech" in header:
        return SpeechRequest(**header["speech"])
    clip = header["clip"]
    frame_spec, audio_spec = FrameSpec(**clip.pop("frame_spec")), AudioSpec(**clip.pop("audio_spec"))
    return ClipRequest(frame_spec=frame_spec, audio_spec=audio_spec, **clip)


def clip_to_message(clip: Clip) -> bytes:
    shapes = {name: getattr(clip, name).shape for name in ARRAYS}
    arrays = [np.ascontiguousarray(getattr(clip, name), dtype) for name, dtype in ARRAYS.items()]
    return pack({"clip": {name: getattr(clip, name) for name in VALUES}, "shapes": shapes}, arrays)


def info_to_message(info: MediaInfo) -> bytes:
    return pack({"info": asdict(info)})


def heard_to_message(heard: Heard) -> bytes:
    cues = json.dumps([asdict(cue) for cue in heard.cues]).encode()
    return pack(
        {"heard": len(heard.sound)}, [np.ascontiguousarray(heard.sound, np.float32), np.frombuffer(cues, np.uint8)]
    )


def fault(error: BaseException) -> MediaError:
    """An error that no decoder should raise, as an error of the clip, so that it does not end the run."""
    return MediaError("crashed", f"a fault in the decoder: {type(error).__name__}: {error}")


def error_to_message(error: Exception) -> bytes:
    if type(error).__name__ in FATAL:
        return pack({"fatal": [type(error).__name__, str(error)]})
    media_error = error if isinstance(error, MediaError) else fault(error)
    return pack({"media_error": [media_error.reason, media_error.message]})


def reply_from_message(message: Message) -> Answer:
    """What a worker answered, whose arrays share the message's memory; a fault beyond the clip (a missing program) is raised."""
    header, body = message
    if "fatal" in header:
        kind, text = header["fatal"]
        raise FATAL[kind](text)
    if "media_error" in header:
        reason, text = header["media_error"]
        return MediaError(reason, text)
    if "info" in header:
        return MediaInfo(**header["info"])
    if "heard" in header:
        sound = np.frombuffer(body, np.float32, int(header["heard"]))
        return Heard(sound, [Segment(**cue) for cue in json.loads(body[sound.nbytes :])])
    arrays: dict[str, Any] = {}
    at = 0
    for name, dtype in ARRAYS.items():
        shape = [int(n) for n in header["shapes"][name]]
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(body, dtype, count, at).reshape(shape)
        at += arrays[name].nbytes
    values = {name: header["clip"][name] for name in VALUES}
    values["remarks"] = tuple((str(kind), str(said)) for kind, said in values["remarks"])
    return Clip(**arrays, **values)
