"""Turns at work that few may do at a time, such as searching: a bounded line, and a bound on the time of each turn."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from gaid.server.refusal import busy

T = TypeVar("T")
P = ParamSpec("P")


class Turns:
    """Runs functions on `threads` threads. At most `waiting` are in line or at work; each has `seconds` for both."""

    def __init__(self, name: str, threads: int, waiting: int, seconds: float) -> None:
        self.waiting, self.seconds = waiting, seconds
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._line = 0

    async def take(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """What the function returns. Whoever asked and is gone by then has no turn. Raises Refusal for a line that is too long."""
        if self._line >= self.waiting:
            raise busy()
        self._line += 1
        future = self._threads.submit(function, *arguments, **named)
        future.add_done_callback(self._leave)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.seconds)
        except TimeoutError:
            raise busy() from None

    def _leave(self, _: object) -> None:
        self._line -= 1

    def close(self) -> None:
        """Ends the line; turns at hand are finished."""
        self._threads.shutdown(wait=False, cancel_futures=True)
