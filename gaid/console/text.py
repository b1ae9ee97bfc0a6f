"""What a person reads in a terminal: lines and tables that stay readable at any width and can't move its cursor.

The output of every command goes through `show`, `say` and `print_table`. Words are never broken: a table that is too wide
for the terminal becomes a block per row. Lines for a file or a pipe are not wrapped. A reader that stops reading (`| head`)
does not end the work.
"""

import errno
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile, zip_longest
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

PIPED = 160
"""Columns that a table may have in a file or a pipe."""

_GAP = 2
_CELL_ENDS = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Cell:
    """A cell of a table: `words` that are never broken. A figure's first word has the `style`, the others are dimmed."""

    words: tuple[str, ...]
    style: str = ""
    indent: int = 0
    is_figure: bool = False

    @property
    def text(self) -> str:
        return " ".join(self.words)


def label(text: str, style: str = "", indent: int = 0) -> Cell:
    """A cell of text, which may take several lines."""
    return Cell(tuple(printable(text).split(" ")), style, indent)


def figure(text: str, *more: str, style: str = "") -> Cell:
    """A cell with a figure, aligned to the right, with an interval or the like beside or below it."""
    return Cell(tuple(printable(part) for part in (text, *more) if part), style, is_figure=True)


def printable(text: str) -> str:
    """`text` on one line, with characters that could move the cursor escaped; letters of all scripts stay as they are."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def say(line: object) -> None:
    """A line for a person on stderr."""
    stderr = Lasting(sys.stderr)
    stderr.write(f"{printable(str(line))}\n")
    stderr.flush()


def show(line: object = "", style: str = "", hang: int = 0) -> None:
    """A line for a person on stdout; on a terminal it is wrapped between words, and continued after `hang` spaces."""
    console = _console()
    width = console.width if console.is_terminal else None
    _print(console, _wrap(label(str(line), style), width, hang))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout; numbers and figures are aligned to the right. A row of one cell is a heading of the rows below."""
    console = _console()
    if title:
        show(title, "italic")
    cells = [[_cell(value) for value in row] for row in rows]
    widths = _widths(columns, cells, console.width if console.is_terminal else PIPED)
    if widths is None:
        for row in cells:
            _print_block(console, columns, row)
    else:
        _print_rows(console, columns, cells, widths)
    show()


class Lasting:
    """A stream whose output is discarded once its reader has gone; any other error is raised once."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except OSError as error:
            self._fail(error)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        # The rest of the buffer is discarded as well, instead of failing again at exit.
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._stream.fileno())
        os.close(nothing)
        if error.errno != errno.EPIPE:
            name = "standard output" if self._stream is sys.stdout else "standard error"
            raise OSError(error.errno, error.strerror, name) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def show_markdown(text: str) -> None:
    """Markdown on stdout: unchanged for a file or a pipe, with its tables drawn on a terminal."""
    lines = text.splitlines()
    if not _console().is_terminal:
        for line in lines:
            show(line)
        return
    while lines:
        table = list(takewhile(lambda line: line.startswith("|"), lines))
        if table:
            heads, _, *rows = ([_unescaped(cell) for cell in _CELL_ENDS.split(line)[1:-1]] for line in table)
            print_table("", heads, rows)
            del lines[: len(table)]
        else:
            line = lines.pop(0)
            show(_unescaped(line), "bold" if line.startswith("#") else "", hang=2 if line.startswith("* ") else 0)


def _unescaped(text: str) -> str:
    return re.sub(r"\\([\\`*_|<>\[\]#])", r"\1", text).strip()


def _cell(value: object) -> Cell:
    if isinstance(value, Cell):
        return value
    if isinstance(value, int | float):
        return figure(f"{value:,}" if isinstance(value, int) else str(value))
    return label(str(value))


def _widths(columns: Sequence[str], rows: list[list[Cell]], width: int) -> list[int] | None:
    """A width per column, from its longest word to its longest line; None where the words alone are too wide."""
    from rich.cells import cell_len

    full = [row for row in rows if len(row) == len(columns)]
    found = [[label(name), *(row[place] for row in full)] for place, name in enumerate(columns)]
    widths = [max(cell.indent + cell_len(word) for cell in column for word in cell.words or ("",)) for column in found]
    whole = [max(cell.indent + cell_len(cell.text) for cell in column) for column in found]
    left = width - sum(widths) - _GAP * (len(columns) - 1)
    if left < 0:
        return None
    # Columns that want little more get it first, the others equal shares of what remains.
    order = sorted(range(len(columns)), key=lambda place: whole[place] - widths[place])
    for done, place in enumerate(order):
        more = min(whole[place] - widths[place], left // (len(order) - done))
        widths[place] += more
        left -= more
    return widths


def _print_rows(console: "Console", columns: Sequence[str], rows: list[list[Cell]], widths: list[int]) -> None:
    full = [row for row in rows if len(row) == len(columns)]
    right = [
        bool(full) and all(row[place].is_figure or not row[place].text for row in full) for place in range(len(columns))
    ]
    _print(console, _lines([label(name, "bold") for name in columns], widths, right))
    _print(console, [_styled("─" * (sum(widths) + _GAP * (len(widths) - 1)), "dim")])
    for row in rows:
        if len(row) == len(columns):
            _print(console, _lines(row, widths, right))
        else:
            _print(console, _wrap(row[0], console.width if console.is_terminal else None))


def _lines(row: list[Cell], widths: list[int], right: list[bool]) -> list["Text"]:
    """A row of a table as lines."""
    wrapped = [_wrap(cell, width, cell.indent) for cell, width in zip(row, widths, strict=True)]
    lines = []
    for parts in zip_longest(*wrapped, fillvalue=_styled("")):
        line = _styled("")
        for place, (part, width, to_right) in enumerate(zip(parts, widths, right, strict=True)):
            space = " " * (width - part.cell_len)
            line.append(" " * _GAP if place else "").append(space if to_right else "").append_text(part)
            line.append("" if to_right else space)
        line.rstrip()
        lines.append(line)
    return lines


def _print_block(console: "Console", columns: Sequence[str], row: list[Cell]) -> None:
    """A row as a block: its first cell, and below it the others, each after the name of its column."""
    first, *others = row
    name = (printable(columns[0]),) if columns[0] else ()
    _print(console, _wrap(Cell(name + first.words, first.style or "bold", first.indent), console.width, 2))
    named = [
        f"{printable(name)} {cell.text}".strip() for name, cell in zip(columns[1:], others, strict=False) if cell.text
    ]
    parts = tuple(f"{part};" for part in named[:-1]) + tuple(named[-1:])
    if parts:
        _print(console, _wrap(Cell(parts, indent=2), console.width, 2))


def _wrap(cell: Cell, width: int | None, hang: int = 0) -> list["Text"]:
    """The words of a cell in lines of at most `width`, unless a word is longer; all but the first begin with `hang` spaces."""
    lines: list[Text] = []
    for place, word in enumerate(cell.words):
        styled = _styled(word, "dim" if cell.is_figure and place else cell.style)
        if lines and (width is None or lines[-1].cell_len + 1 + styled.cell_len <= width):
            lines[-1].append(" ").append_text(styled)
        else:
            lines.append(_styled(" " * (hang if lines else cell.indent)).append_text(styled))
    return lines


def _styled(text: str, style: str = "") -> "Text":
    from rich.text import Text

    return Text(text, style)


def _console() -> "Console":
    from rich.console import Console

    return Console(file=Lasting(sys.stdout), highlight=False)  # type: ignore[arg-type]


def _print(console: "Console", lines: list["Text"]) -> None:
    for line in lines:
        console.print(line, soft_wrap=True)  # a word longer than the terminal is wide is wrapped by the terminal
