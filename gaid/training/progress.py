"""What a person sees while a head trains: a bar on a terminal, a line now and then elsewhere. Always on stderr."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from gaid.console import printable, say


class Progress:
    """A bar over steps with the last evaluation beside it. A context manager."""

    def __init__(self, title: str, steps: int, already: int = 0, shown: bool = True) -> None:
        self.title, self.steps, self.already, self.shown = title, steps, already, shown
        self._bar: Any = None
        self._task: Any = None
        self._told = time.monotonic()

    def __enter__(self) -> Self:
        if self.shown and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[figures]}", markup=False),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=self.steps, completed=self.already, figures="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self) -> None:
        """One step is over."""
        if self._bar is not None:
            self._bar.advance(self._task)

    def evaluated(self, entry: dict[str, Any], best: dict[str, Any]) -> None:
        """An evaluation is over: `entry` is its line of the log, `best` the best one so far."""
        figures = f"epoch {entry['epoch']}: validation R@1 {entry['t2v']['R@1']:.1f}"
        figures += f" (best {best['t2v']['R@1']:.1f}, epoch {best['epoch']})"
        if entry["loss"] is not None:
            figures += f"  loss {entry['loss']:.3f}"
        if self._bar is not None:
            self._bar.update(self._task, figures=figures)
        elif self.shown and time.monotonic() - self._told > 10:  # a log should not grow by the epoch
            self.say(f"{self.title}: {figures}")

    def say(self, line: str) -> None:
        """One line that stays."""
        if not self.shown:
            return
        if self._bar is not None:
            from rich.text import Text

            self._bar.console.print(Text(printable(line)), soft_wrap=True)
            return
        self._told = time.monotonic()
        say(line)
