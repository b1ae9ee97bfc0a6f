"""A decode worker that does, on clips named so, what a fault in a codec does. Run as a program by the tests of the pool."""

import os
import signal
import sys
import time
from pathlib import Path

from gaid.errors import DependencyMissing
from gaid.media.decode import decode_clip, probe
from gaid.media.worker import main


def decode(request, limits):
    name = Path(request.path).name
    if name.startswith("segfault"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name.startswith("once") and not Path(request.path + ".seen").exists():
        Path(request.path + ".seen").touch()
        os._exit(7)
    if name.startswith("hang"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        while True:
            time.sleep(60)
    if name.startswith("frozen"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        while True:
            time.sleep(60)
    if name.startswith("print"):
        os.write(1, b"a library that prints\n")
        print("and another", file=sys.stdout, flush=True)
    if name.startswith("garble"):
        sys.stdout.flush()
        os.write(max(int(n) for n in os.listdir("/proc/self/fd") if _is_reply(n)), b"x" * 100)  # noqa: PTH208
        time.sleep(60)
    if name.startswith("bug"):
        raise TypeError("a mistake of ours")
    if name.startswith("package"):
        raise DependencyMissing("a package is not there")
    if name.startswith("pid"):
        Path(request.path + ".pid").write_text(str(os.getpid()))
    return decode_clip(request, limits)


def look(path, limits):
    if Path(path).name.startswith("segfault"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return probe(path, limits)


def _is_reply(number):
    try:
        return os.readlink(f"/proc/self/fd/{number}").startswith("pipe:") and int(number) > 2  # noqa: PTH115
    except OSError:
        return False


if __name__ == "__main__":
    main(decode, look)
