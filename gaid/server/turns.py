"""Turns at the searcher, which one thread at a time may ask: a bounded line, and a bound on the time of each turn."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class Busy(Exception):
    """Too many wait for their turn, or it did not come in time: ask again later."""


class Turns:
    """Runs functions one after the other on one thread. At most `waiting` stand in line; each waits and runs for at most `seconds`."""

    def __init__(self, waiting: int = 128, seconds: float = 60.0) -> None:
        self.waiting, self.seconds = waiting, seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="search")
        self._line = 0

    async def take(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """What the function returns. Whoever asked and is gone by then has no turn. Raises Busy."""
        if self._line >= self.waiting:
            raise Busy
        self._line += 1
        future = self._thread.submit(function, *arguments, **named)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.seconds)
        except TimeoutError:
            raise Busy from None
        finally:
            self._line -= 1

    def close(self) -> None:
        """Ends the line; the turn at hand is finished."""
        self._thread.shutdown(wait=False, cancel_futures=True)
