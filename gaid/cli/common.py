"""What every command shares: how mistakes, progress and output for machines are handled. No command's own work."""

import json
import sys
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; words go to stderr.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N. [auto: a GPU where there is one]")]


def say(line: str) -> None:
    """Words for a person."""
    print(line, file=sys.stderr)


def give(value: Any) -> None:
    """One JSON object on stdout."""
    print(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False, default=str))


def table(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    """A table on stdout, drawn by rich; plain enough to be piped."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=Text(title), title_justify="left", header_style="bold")
    for number, column in enumerate(columns):
        drawn.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(drawn)


def human_bytes(count: float) -> str:
    """A size in the unit that keeps it short."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
