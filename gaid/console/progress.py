"""The progress of long work: a bar on a terminal, a plain line now and then elsewhere. Always on stderr."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from gaid.console.text import printable, say

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_PAUSE = 10.0  # s between two plain lines: a log should not grow with every clip


class Progress:
    """Counts the items of one phase and shows their rate, the failures and the time left. A context manager.

    `already`: items done by an earlier run, which count in the total and not in the rate. `unit` names the items. Without a
    unit (the steps of a training) the rate is left out, and a plain stream shows notes only.
    """

    def __init__(self, title: str, total: int, already: int = 0, unit: str = "clips", shown: bool = True) -> None:
        self.title, self.total, self.already, self.unit = title, total, already, unit
        self.done = already
        self.failed = 0
        self._note = ""
        self._bar: tuple[RichProgress, TaskID] | None = None
        self._is_bar = shown and sys.stderr.isatty()
        self._is_lines = shown and not self._is_bar
        self._started = self._printed = time.monotonic()

    def __enter__(self) -> Self:
        if self._is_bar:
            bar = _make_bar()
            bar.start()
            self._bar = bar, bar.add_task(self.title, total=self.total, completed=self.already, figures="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar[0].stop()
        elif self._is_lines and self.unit and self.done > self.already:
            self.say(self.status())

    def advance(self, items: int = 1, failed: int = 0) -> None:
        """`items` more are done, `failed` of them without a result."""
        self.done += items
        self.failed += failed
        self._update()
        if self.unit and self._is_line_due():
            self.say(self.status())

    def note(self, text: str) -> None:
        """Text that stays beside the bar until the next note; elsewhere a line of its own, unless one was printed just
        before."""
        self._note = text
        self._update()
        if self._is_line_due():
            self.say(f"{self.title}: {text}")

    def say(self, line: str) -> None:
        """One line that stays, above the bar."""
        if self._bar:
            from rich.text import Text

            self._bar[0].console.print(Text(printable(line)), soft_wrap=True)  # Text: a file's name is not markup
        elif self._is_lines:
            self._printed = time.monotonic()
            say(line)

    @property
    def rate(self) -> float:
        """Items per second of this run."""
        return (self.done - self.already) / max(time.monotonic() - self._started, 1e-9)

    def status(self) -> str:
        """The bar in words."""
        return ", ".join([f"{self.title}: {self.done}/{self.total} {self.unit}", *self._figures()])

    def _figures(self) -> list[str]:
        figures = [f"{self.rate:.1f} {self.unit}/s"] if self.unit else []
        if self.failed:
            figures.append(f"{self.failed} failed")
        if self.total > self.done > self.already:
            figures.append(f"{duration((self.total - self.done) / self.rate)} left")
        return figures

    def _update(self) -> None:
        if self._bar:
            bar, task = self._bar
            bar.update(task, completed=self.done, figures="  ".join(filter(None, [*self._figures(), self._note])))

    def _is_line_due(self) -> bool:
        return self._is_lines and time.monotonic() - self._printed > _PAUSE


def _make_bar() -> "RichProgress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        console=Console(stderr=True),
    )


def duration(seconds: float) -> str:
    """Seconds in the units that people use: `5 s`, `1 min 01 s`, `1 h 02 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
