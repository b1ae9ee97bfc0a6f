"""The process that decodes for `decode_pool`: requests come on its standard input, clips go to its standard output.

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

from gaid.extract.clip import Clip, ClipRequest
from gaid.extract.limits import DecodeLimits
from gaid.extract.media import decode_clip
from gaid.extract.wire import clip_to_message, error_to_message, request_from_header, unpack

ALARM_AFTER = 2.0  # s beyond the limit: the decoder's own clock, which can tell the clip's name, comes first

Decode = Callable[[ClipRequest, DecodeLimits], Clip]


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


def serve(requests: BinaryIO, replies: BinaryIO, limits: DecodeLimits, decode: Decode = decode_clip) -> None:
    """Answers requests until the input ends, which it does when the parent is gone."""

    def read(size: int) -> bytes:
        data = requests.read(size)
        if len(data) < size:
            raise EOFError
        return data

    gc.freeze()
    while True:
        gc.collect()  # PyAV's pictures can hold themselves, and they are large; what was frozen is not looked through
        try:
            header, _ = unpack(read)
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, limits.seconds + ALARM_AFTER)
        try:
            reply = clip_to_message(decode(request_from_header(header), limits))
        except Exception as error:
            reply = error_to_message(error)
        signal.setitimer(signal.ITIMER_REAL, 0)
        replies.write(reply)
        replies.flush()


def main(decode: Decode = decode_clip) -> None:
    # Ctrl-C reaches the whole process group, but it is the parent who decides what is still finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    limits = DecodeLimits(**json.loads(sys.argv[1]))
    limit_memory(limits)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not write into the replies
    with suppress(BrokenPipeError):
        serve(sys.stdin.buffer, replies, limits, decode)
    os._exit(0)  # nothing here needs an orderly end, and a library's may hang


if __name__ == "__main__":
    main()
