"""Turns at work that few may do at a time, such as searching: a bounded line, and a bound on the time of each turn."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, ParamSpec, TypeVar

from gaid.server.refusal import busy

A = TypeVar("A")
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


@dataclass(eq=False)
class _Waiting(Generic[A, T]):
    """What someone asks, which questions it may be answered with, and its answer once that is there."""

    asked: A
    group: Hashable
    answers: list[T] = field(default_factory=list)


class Together(Generic[A, T]):
    """Answers in one call what waits in line at the same time, at most `most` at once: for a head, sixteen sentences are little more
    work than one. `turns` has one thread. Everyone keeps a place in the line, and whoever finds the answer there passes at once."""

    def __init__(self, turns: Turns, answer: Callable[[Sequence[A]], Sequence[T]], most: int = 16) -> None:
        self._turns, self._answer, self._most = turns, answer, most
        self._line: list[_Waiting[A, T]] = []

    async def take(self, asked: A, group: Hashable) -> T:
        """The answer. Only what is of one `group` is answered together. Raises Refusal, and what the function raises."""
        mine: _Waiting[A, T] = _Waiting(asked, group)
        self._line.append(mine)
        try:
            return await self._turns.take(self._turn, mine)
        finally:
            self._line.remove(mine)

    def _turn(self, mine: _Waiting[A, T]) -> T:
        if not mine.answers:
            alike = (
                one for one in tuple(self._line) if one.group == mine.group and one is not mine and not one.answers
            )
            some = [mine, *islice(alike, self._most - 1)]
            try:
                answers = self._answer([one.asked for one in some])
            except Exception:  # it may be another's: each is then asked alone, in its own turn
                some = [mine]
                answers = self._answer([mine.asked])
            for one, answer in zip(some, answers, strict=True):
                one.answers.append(answer)
        return mine.answers[0]
