"""How far an extraction is: a bar on a terminal, plain lines elsewhere. Always on stderr; knows no clip, only their number."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from gaid.console import printable, say


class Progress:
    """Counts items of one phase; shows rate, failures and the time left.

    `already` are items done by an earlier run: they count in the total, not in the rate. A context manager.
    """

    def __init__(self, title: str, total: int, already: int = 0, unit: str = "clips", shown: bool = True) -> None:
        self.title = title
        self.total = total
        self.already = already
        self.done = already
        self.failed = 0
        self.unit = unit
        self._bar: _Bar | None = _Bar(self) if shown and sys.stderr.isatty() else None
        self._lines = shown and self._bar is None
        self._started = time.monotonic()
        self._told = self._started

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        elif self._lines and self.done > self.already:
            self._print(self.status())

    def advance(self, items: int = 1, failed: int = 0) -> None:
        """`items` more are over, `failed` of them without a result."""
        self.done += items
        self.failed += failed
        if self._bar:
            self._bar.update()
        elif self._lines and time.monotonic() - self._told > 10:  # a log should not grow by the clip
            self._print(self.status())

    def say(self, line: str) -> None:
        """One line that stays, above the bar."""
        if self._bar:
            self._bar.say(line)
        elif self._lines:
            self._print(line)

    @property
    def rate(self) -> float:
        """Items a second of this run."""
        return (self.done - self.already) / max(time.monotonic() - self._started, 1e-9)

    def status(self) -> str:
        """The bar in words."""
        text = f"{self.title}: {self.done}/{self.total} {self.unit}, {self.rate:.1f} {self.unit}/s"
        if self.failed:
            text += f", {self.failed} failed"
        if self.total > self.done > self.already:
            text += f", {duration((self.total - self.done) / self.rate)} left"
        return text

    def _print(self, line: str) -> None:
        self._told = time.monotonic()
        say(line)


class _Bar:
    def __init__(self, progress: Progress) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._progress = progress
        self._rich = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            console=Console(stderr=True),
        )
        self._task: Any = None

    def start(self) -> None:
        self._rich.start()
        self._task = self._rich.add_task(
            self._progress.title, total=self._progress.total, completed=self._progress.already, figures=""
        )

    def stop(self) -> None:
        self._rich.stop()

    def update(self) -> None:
        progress = self._progress
        figures = f"{progress.rate:.1f} {progress.unit}/s"
        if progress.failed:
            figures += f"  {progress.failed} failed"
        if progress.rate > 0:
            figures += f"  {duration((progress.total - progress.done) / progress.rate)} left"
        self._rich.update(self._task, completed=progress.done, figures=figures)

    def say(self, line: str) -> None:
        from rich.text import Text

        self._rich.console.print(Text(printable(line)), soft_wrap=True)  # Text: a file's name is no markup


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
