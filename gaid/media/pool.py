"""Decoding in processes of their own: a hostile or damaged file costs its own clip and nothing else.

Children are plain `python -m gaid.media.worker` processes rather than multiprocessing's, since those can't be started from a
dask worker (a daemon) and would import what the parent has imported. One thread per child waits for it here. A clip is guarded
three times: the decoder checks its deadline between packets and names the clip, an alarm ends a child whose codec hangs, and
the parent kills a child that even its alarm has not ended.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from gaid.errors import GaidError, MediaError, OptionInvalid
from gaid.media.clip import Clip, ClipRequest, Heard, MediaInfo, ProbeRequest, SpeechRequest
from gaid.media.decode import decode_clip, probe
from gaid.media.limits import DecodeLimits, too_slow
from gaid.media.opening import show_path
from gaid.media.speech import hear
from gaid.media.wire import Answer, Asked, fault, pack, reply_from_message, request_to_header, unpack
from gaid.media.worker import ALARM_AFTER
from gaid.source_files import look_at, source_of

TRIES = 2
START_SECONDS = 60.0  # granted to a child's start, which waits for the disk on a busy machine
GRACE = 10.0  # s after which a child that even its own alarm has not ended is killed
FIRST = 64 << 20  # bytes held for an answer before as much has come

COMMAND = (sys.executable, "-P", "-m", "gaid.media.worker")


class _Died(Exception):
    def __init__(self, code: int | None) -> None:
        self.code = code


class _Child:
    """One decode process, started when it is first needed and again after it has ended."""

    def __init__(self, command: Sequence[str], limits: DecodeLimits) -> None:
        self.command, self.limits = [*command, json.dumps(asdict(limits))], limits
        self.process: subprocess.Popen[bytes] | None = None
        self._fresh = True

    def start(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)},
            bufsize=0,
        )
        self._fresh = True

    def ask(self, request: Asked) -> Answer:
        """The answer to a request. Raises _Died where the child ended instead, TimeoutError where it does neither."""
        if self.process is None:
            self.start()
        process = self.process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        end = time.monotonic() + self.limits.seconds + ALARM_AFTER + GRACE + (START_SECONDS if self._fresh else 0.0)
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        descriptor = process.stdout.fileno()

        def read(size: int) -> bytearray:
            # Into one block, since putting pieces together took three times as long; its size is only claimed so far.
            block, come = bytearray(min(size, FIRST)), 0
            while come < size:
                left = end - time.monotonic()
                if left <= 0 or not poll.poll(left * 1000):
                    raise TimeoutError
                if come == len(block):
                    block.extend(bytes(min(come, size - come)))
                with memoryview(block) as view:
                    count = os.readv(descriptor, [view[come:]])
                if not count:
                    raise _Died(process.wait())
                come += count
            return block

        try:
            process.stdin.write(pack(request_to_header(request)))
        except OSError:
            raise _Died(process.wait()) from None
        answer = reply_from_message(unpack(read))
        self._fresh = False
        return answer

    def stop(self) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        process.wait()


class DecodePool:
    """Decodes clips in `workers` processes, in order and some clips ahead of the reader. Linux and macOS only.

    `ahead` bounds the clips that are decoded or being decoded before they are asked for. With `workers=0` clips are decoded
    in this process when they are asked for: the same bytes, without the protection. `sources` also looks at each clip's files
    (`gaid.source_files`). Use it as a context manager.
    """

    def __init__(
        self,
        workers: int,
        limits: DecodeLimits | None = None,
        *,
        ahead: int | None = None,
        command: Sequence[str] = COMMAND,
        sources: bool = False,
    ) -> None:
        if workers < 0:
            raise ValueError(f"workers must be 0 or more, not {workers}")
        if workers and not hasattr(select, "poll"):
            raise OptionInvalid(
                "decoding in processes of their own needs Linux or macOS; gaid extract --workers 0 decodes in its own process"
            )
        self.workers, self.limits = workers, limits or DecodeLimits()
        self.ahead = max(1, ahead if ahead is not None else 2 * workers + 2)
        self.sources = sources
        self._children = [_Child(command, self.limits) for _ in range(workers)]
        self._idle: SimpleQueue[_Child] = SimpleQueue()
        for child in self._children:
            self._idle.put(child)
        self._threads = ThreadPoolExecutor(max(1, workers), thread_name_prefix="decode")
        self._closed = False

    def __enter__(self) -> "DecodePool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the children at once; the clips in work are lost."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for child in self._children:
            process = child.process
            if process is not None:
                process.kill()  # its thread then reads the end of the pipe and returns
        self._threads.shutdown(wait=True)
        for child in self._children:
            child.stop()

    def map(self, requests: Iterable[ClipRequest]) -> Iterator[Clip | MediaError]:
        """For each request, in order, its clip or what is wrong with it. Faults beyond a single clip are raised."""
        return self._run(requests)

    def probe(self, paths: Iterable[str]) -> Iterator[MediaInfo | MediaError]:
        """For each file, in order, what `gaid.media.decode.probe` finds, or what is wrong with it."""
        return self._run(ProbeRequest(path) for path in paths)

    def hear(self, requests: Iterable[SpeechRequest]) -> Iterator[Heard | MediaError]:
        """For each request, in order, what `gaid.media.speech.hear` gives, or what is wrong with the file."""
        return self._run(requests)

    def _run(self, requests: Iterable[Asked]) -> Iterator[Any]:
        """The answers, in order: of the kind of each request, or a MediaError."""
        if self.workers == 0:
            for request in requests:
                yield self._with_sources(request, partial(_answer_here, request, self.limits))
            return
        pending: deque[Future[Answer]] = deque()
        try:
            for request in requests:
                pending.append(self._threads.submit(self._answer, request))
                if len(pending) >= self.ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def _answer(self, request: Asked) -> Answer:
        return self._with_sources(request, partial(self._ask, request))

    def _with_sources(self, request: Asked, answer: Callable[[], Answer]) -> Answer:
        """The answer, with what its files were before and after it, where that was asked for."""
        if not self.sources or not isinstance(request, ClipRequest):
            return answer()
        files = [path for path in (request.path, request.audio_path) if path is not None]
        before = [look_at(path) for path in files]
        found = answer()
        if isinstance(found, Clip | MediaError):
            found.sources = tuple(map(source_of, files, before))
        return found

    def _ask(self, request: Asked) -> Answer:
        child = self._idle.get()
        try:
            return self._try(child, request)
        finally:
            self._idle.put(child)

    def _try(self, child: _Child, request: Asked) -> Answer:
        """Asks a child. Where it dies, the clip is tried once more in a new process, and only this clip is lost."""
        name = show_path(request.path)
        ended: int | None = None
        for _ in range(TRIES):
            if self._closed:
                break
            try:
                return child.ask(request)
            except _Died as death:
                child.stop()
                ended = death.code
                if ended == -signal.SIGALRM:
                    return too_slow(name, self.limits.seconds)
            except TimeoutError:
                child.stop()
                return too_slow(name, self.limits.seconds)
            except GaidError:
                raise
            except (ValueError, KeyError, TypeError):  # not an answer: the process that gave it is not trusted any more
                child.stop()
        return MediaError("crashed", f"{name}: the decoder ended on it, {TRIES} times ({_describe_end(ended)})")


def _describe_end(code: int | None) -> str:
    if code is None:
        return "with a garbled answer"
    if code < 0:
        with suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    return f"exit status {code}"


def _answer_here(request: Asked, limits: DecodeLimits) -> Answer:
    try:
        if isinstance(request, ProbeRequest):
            return probe(request.path, limits)
        if isinstance(request, SpeechRequest):
            return hear(request, limits)
        return decode_clip(request, limits)
    except MediaError as error:
        return error
    except GaidError:
        raise
    except Exception as error:
        return fault(error)
