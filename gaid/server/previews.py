"""Previews of files that browsers do not play: made by a process per preview, sent while they are made, kept within a bound."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gaid.media.limits import DecodeLimits
from gaid.media.preview import PreviewRequest
from gaid.server.refusal import Refusal, busy

LONGEST = 60.0  # s of a preview
LIMITS = DecodeLimits(seconds=90.0, memory_bytes=3 << 30, pixels=40_000_000)
AT_ONCE, WAITING = 2, 16  # that are made at once, and with those that wait
MOST_BYTES, MOST_KEPT = 32 << 20, 96 << 20  # of one preview, and of all that are kept
FIRST_SECONDS = 30.0  # within which the first bytes must come


class Preview:
    """A preview that is being made, or is done: its bytes so far."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.done = False
        self.readers = 0
        self._news = asyncio.Condition()

    async def add(self, piece: bytes) -> None:
        async with self._news:
            self.data += piece
            self._news.notify_all()

    async def end(self) -> None:
        async with self._news:
            self.done = True
            self._news.notify_all()

    async def started(self) -> bool:
        """Waits for the first bytes; False where none came."""
        async with self._news:
            await self._news.wait_for(lambda: self.done or bool(self.data))
        return bool(self.data)

    async def pieces(self) -> AsyncIterator[bytes]:
        """All bytes, as they come."""
        at = 0
        while True:
            async with self._news:
                await self._news.wait_for(partial(self._reaches, at))
                piece = bytes(self.data[at : at + (256 << 10)])
            if not piece:
                return
            at += len(piece)
            yield piece

    def _reaches(self, at: int) -> bool:
        return self.done or len(self.data) > at


class Previews:
    """Makes previews and keeps the last ones."""

    def __init__(self) -> None:
        self.bytes = 0
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._kept: OrderedDict[PreviewRequest, Preview] = OrderedDict()
        self._made: dict[PreviewRequest, tuple[Preview, asyncio.Task[None]]] = {}

    async def get(self, request: PreviewRequest) -> Preview:
        """The preview of a part of a file, whose first bytes are there; it counts the caller as a reader, who must `leave`.

        Raises Refusal where nothing of it can be shown, or too many wait.
        """
        preview = self._kept.get(request)
        if preview is not None:
            self._kept.move_to_end(request)
            preview.readers += 1
            return preview
        if request not in self._made:
            if len(self._made) >= WAITING:
                raise busy()
            preview = Preview()
            self._made[request] = preview, asyncio.create_task(self._make(request, preview))
        preview = self._made[request][0]
        preview.readers += 1
        try:
            there = await asyncio.wait_for(preview.started(), FIRST_SECONDS)
        except BaseException as error:
            self.leave(request, preview)
            if isinstance(error, TimeoutError):
                raise busy() from None
            raise
        if not there:
            self.leave(request, preview)
            raise Refusal(422, "MediaError", "the clip's file can't be decoded from there on")
        return preview

    def leave(self, request: PreviewRequest, preview: Preview) -> None:
        """A reader is done. What nobody reads any more is not finished."""
        preview.readers -= 1
        if not preview.readers and not preview.done and request in self._made:
            self._made[request][1].cancel()

    async def _make(self, request: PreviewRequest, preview: Preview) -> None:
        whole = False
        try:
            async with self._slots:
                whole = await _run(request, preview)
        finally:
            del self._made[request]
            await preview.end()
        if whole:
            self._keep(request, preview)

    def _keep(self, request: PreviewRequest, preview: Preview) -> None:
        self._kept[request] = preview
        self.bytes += len(preview.data)
        while self.bytes > MOST_KEPT:
            self.bytes -= len(self._kept.popitem(last=False)[1].data)

    def forget(self) -> None:
        """Drops what is kept: files may have been replaced."""
        self._kept.clear()
        self.bytes = 0

    async def close(self) -> None:
        """Ends what is being made."""
        for _, task in list(self._made.values()):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


class PreviewAnswer(Response):
    """A preview, sent while it is made; counts as a reader of it until the end."""

    def __init__(self, previews: Previews, asked: PreviewRequest, made: Preview, media_type: str) -> None:
        self.previews, self.asked, self.made = previews, asked, made
        super().__init__(media_type=media_type)
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for piece in self.made.pieces():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self.previews.leave(self.asked, self.made)


async def _run(request: PreviewRequest, preview: Preview) -> bool:
    """Reads what the process writes; whether it is whole. Whatever happens, the process has ended afterwards."""
    process = await asyncio.create_subprocess_exec(
        *request.command(LIMITS), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        while piece := await process.stdout.read(64 << 10):
            await preview.add(piece)
            if len(preview.data) > MOST_BYTES:
                return False
        return await process.wait() == 0
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
