"""Parts of a file by bytes, as RFC 9110 (14) has them: one part, or all of it.

Several parts at once are answered with the whole file, which the standard allows and which costs nobody else anything.
"""

import os
import re
from typing import Protocol

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gaid.server.refusal import Refusal

PIECE = 256 * 1024
_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.ASCII | re.IGNORECASE)


class Unsatisfiable(Exception):
    """No byte of the file is in the range."""


def read_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the end (excluded) of what a Range header asks for; None for the whole. Raises Unsatisfiable."""
    found = _RANGE.fullmatch(header or "")
    if found is None:
        return None
    first, last = found[1], found[2]
    if not first and not last:
        return None
    if not first:  # the last bytes
        if int(last) == 0 or size == 0:
            raise Unsatisfiable
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise Unsatisfiable
    return int(first), min(size, int(last) + 1 if last else size)


class Readable(Protocol):
    """Bytes of a known size. `tag`: another for every state of them. Whoever has it closes it."""

    size: int
    tag: str

    def read(self, count: int, at: int) -> bytes:
        """Up to `count` bytes from `at` on."""

    def close(self) -> None: ...


class OpenFile:
    """A file that is open to be read, with its size and time of change (ns) when it was opened."""

    def __init__(self, path: str) -> None:
        """Never waits for a pipe or a device. Raises OSError."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        found = os.fstat(self._descriptor)
        self.size, self.changed_ns = found.st_size, found.st_mtime_ns
        self.tag = f'"{self.size:x}-{self.changed_ns:x}"'

    def read(self, count: int, at: int) -> bytes:
        return os.pread(self._descriptor, count, at)

    def close(self) -> None:
        os.close(self._descriptor)


class InMemory:
    """Bytes that are there already."""

    def __init__(self, data: bytes, tag: str) -> None:
        self._data, self.size, self.tag = data, len(data), tag

    def read(self, count: int, at: int) -> bytes:
        return self._data[at : at + count]

    def close(self) -> None: ...


class PartAnswer(Response):
    """Bytes, or the part of them that a request asks for; closes what it reads. Raises Refusal (416)."""

    def __init__(self, source: Readable, media_type: str, request: Request) -> None:
        self.source, self.first, self.end = source, 0, source.size
        status = 200
        headers = {"Accept-Ranges": "bytes", "ETag": source.tag, "Cache-Control": "private, no-cache"}
        if source.tag in (one.strip() for one in request.headers.get("if-none-match", "").split(",")):
            status, self.end = 304, 0
        elif request.headers.get("if-range", source.tag) == source.tag:
            try:
                part = read_range(request.headers.get("range"), source.size)
            except Unsatisfiable:
                source.close()
                headers = {"Content-Range": f"bytes */{source.size}"}
                raise Refusal(416, "RangeInvalid", f"the file has {source.size} bytes", headers) from None
            if part is not None:
                status, (self.first, self.end) = 206, part
                headers["Content-Range"] = f"bytes {self.first}-{self.end - 1}/{source.size}"
        if status != 304:
            headers["Content-Length"] = str(self.end - self.first)
        super().__init__(status_code=status, media_type=media_type, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            at = self.end if scope["method"] == "HEAD" else self.first
            while at < self.end:
                piece = await anyio.to_thread.run_sync(self.source.read, min(PIECE, self.end - at), at)
                if not piece:  # the file has become shorter; the client sees that bytes are missing
                    break
                at += len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self.source.close()
