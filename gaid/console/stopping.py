"""Ctrl-C and SIGTERM as a wish: the first is remembered, so that the work at hand is finished; the second stops at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopWish:
    """Whether the user wants to stop."""

    def __init__(self) -> None:
        self.asked = False

    def __bool__(self) -> bool:
        return self.asked


@contextmanager
def stop_on_signal(answer: str = "") -> Iterator[StopWish]:
    """Yields a wish that the first SIGINT or SIGTERM sets, with `answer` as a line on stderr; the second raises
    KeyboardInterrupt.

    Signals reach the main thread only: in another one (a server, a notebook's helper) nothing is installed. The handlers that
    were there before come back at the end.
    """
    wish = StopWish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if wish.asked:
            raise KeyboardInterrupt
        wish.asked = True
        if answer:
            os.write(2, f"\n{answer}\n".encode())  # to the descriptor: the stream may be in use at this moment

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, on_signal)
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
