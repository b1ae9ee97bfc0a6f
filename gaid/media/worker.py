"""The process that decodes for `gaid.media.pool`: requests come on its standard input, answers go to its standard output.

It holds no model and imports no torch, has a limit on its memory, and ends itself when a clip takes too long, so that a
decoder that hangs does not outlive a parent that was killed.
"""

import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

from gaid.media.clip import Clip, ClipRequest, MediaInfo, ProbeRequest, SpeechRequest
from gaid.media.decode import decode_clip, probe
from gaid.media.limits import DecodeLimits
from gaid.media.speech import hear
from gaid.media.wire import (
    Header,
    clip_to_message,
    error_to_message,
    heard_to_message,
    info_to_message,
    request_from_header,
    unpack,
)

ALARM_AFTER = 2.0  # s beyond the limit: the decoder's own deadline, whose error names the clip, comes first

Decode = Callable[[ClipRequest, DecodeLimits], Clip]
Probe = Callable[[str, DecodeLimits], MediaInfo]


def limit_memory(limits: DecodeLimits) -> None:
    try:
        import resource

        # The soft limit only: an administrator's lower hard limit stays as it is.
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = limits.memory_bytes if hard == resource.RLIM_INFINITY else min(hard, limits.memory_bytes)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):  # a system without such limits: time and pixels still hold
        pass


def serve(requests: BinaryIO, replies: BinaryIO, limits: DecodeLimits, decode: Decode, probe: Probe) -> None:
    """Answers requests until the input ends, as it does when the parent has ended."""

    def read(size: int) -> bytes:
        data = requests.read(size)
        if len(data) < size:
            raise EOFError
        return data

    gc.freeze()
    while True:
        gc.collect()  # PyAV's pictures can be in reference cycles, and they are large; frozen objects are not scanned
        try:
            header, _ = unpack(read)
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, limits.seconds + ALARM_AFTER)
        try:
            reply = _answer(header, limits, decode, probe)
        except Exception as error:
            reply = error_to_message(error)
        signal.setitimer(signal.ITIMER_REAL, 0)
        replies.write(reply)
        replies.flush()


def _answer(header: Header, limits: DecodeLimits, decode: Decode, probe: Probe) -> bytes:
    request = request_from_header(header)
    if isinstance(request, ProbeRequest):
        return info_to_message(probe(request.path, limits))
    if isinstance(request, SpeechRequest):
        return heard_to_message(hear(request, limits))
    return clip_to_message(decode(request, limits))


def main(decode: Decode = decode_clip, probe: Probe = probe) -> None:
    # Ctrl-C reaches the whole process group, but the parent decides which work is still finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    limits = DecodeLimits(**json.loads(sys.argv[1]))
    limit_memory(limits)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not write into the replies
    with suppress(BrokenPipeError):
        serve(sys.stdin.buffer, replies, limits, decode, probe)
    os._exit(0)  # nothing here needs an orderly exit, and that of a library may hang


if __name__ == "__main__":
    main()
