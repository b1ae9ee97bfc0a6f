"""What every command shares: options that are the same everywhere, and how results are printed. No command's own work."""

import json
import math
import re
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from gaid.errors import OptionInvalid


class _PlainHelp:
    """A --help without a type beside it."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.metavar = ""
            option.help = "Show this help and stop."
        return option


class Command(_PlainHelp, TyperCommand):
    """A command of gaid."""


class Group(_PlainHelp, TyperGroup):
    """The commands, in the order in which they were registered."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)


def _check_device(name: str) -> str:
    """Refuses what no device is called, before anything is loaded; whether it is there is asked later."""
    if re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?|\d+", name):
        return name
    raise OptionInvalid(f"--device {name}: no device is called that; it is auto, cpu, cuda or cuda:0")


Json = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object on stdout; words go to stderr.")]
Device = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        callback=_check_device,
        help="auto (a GPU where there is one), cpu, cuda, or cuda:0, cuda:1 ...",
    ),
]


def flag(help: str, *names: str) -> Any:
    """An option that is on or off."""
    return typer.Option(*names, metavar="", help=help)


def option(help: str, metavar: str, *names: str, **more: Any) -> Any:
    """An option with a value, called `metavar` in the help."""
    return typer.Option(*names, metavar=metavar, help=help, **more)


def say(line: str) -> None:
    """Words for a person."""
    print(line, file=sys.stderr, flush=True)


def give(value: dict[str, Any]) -> None:
    """One JSON object on stdout; what JSON has no number for is null."""
    print(json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()  # names of files may be no text
    return value if value is None or isinstance(value, (bool, int, float)) else _plain(str(value))


def table(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    """A table on stdout, drawn by rich; numbers stand to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=Text(title), title_justify="left", header_style="bold", box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        figures = all(isinstance(row[number], (int, float)) for row in rows)
        drawn.add_column(column, justify="right" if figures else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row))
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
