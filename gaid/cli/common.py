"""What every command shares: options that are the same everywhere, and how results are printed. No command's own work."""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gaid.cli.faults import explain
from gaid.console import Lasting, print_table, show
from gaid.devices import parse_device
from gaid.errors import PageNotWritten
from gaid.files import check_writable

if TYPE_CHECKING:
    from gaid.stores.features import FeatureReport

T = TypeVar("T")


Json = Annotated[
    bool, typer.Option("--json", metavar="", help="Print one JSON object on stdout; messages go to stderr.")
]
Device = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        callback=parse_device,
        help="auto (a GPU where there is one), cpu, mps, cuda, or one GPU: cuda:1, or 1.",
    ),
]


def flag(help: str, *names: str) -> Any:
    """An option that is on or off."""
    return typer.Option(*names, metavar="", help=help)


def option(help: str, metavar: str, *names: str, **more: Any) -> Any:
    """An option with a value, called `metavar` in the help."""
    return typer.Option(*names, metavar=metavar, help=help, **more)


def as_json(value: dict[str, Any]) -> str:
    """A JSON object as text; NaN and infinity become null."""
    return json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False)


def give(value: dict[str, Any]) -> None:
    """One JSON object on stdout."""
    text = as_json(value)
    # json.dumps escapes only the ASCII characters that could move a terminal's cursor.
    text = "".join(sign if sign.isprintable() or sign == "\n" else json.dumps(sign)[1:-1] for sign in text)
    stdout = Lasting(sys.stdout)
    stdout.write(f"{text}\n")
    stdout.flush()


def chosen_page(path: Path | None, option: str) -> Path | None:
    """The page that was asked for, checked to be writable; None where it is absent or `none`. Raises OptionInvalid."""
    if path is None or str(path) == "none":
        return None
    check_writable(path, option)
    return path


def write_after(path: Path | None, write: Callable[[Path], T], tell: Callable[[T | None], None]) -> None:
    """Writes the page or files that follow the figures, then calls `tell` with the result: None where nothing was written.

    Raises PageNotWritten after `tell`, so the figures are reported even if the page fails.
    """
    if path is None:
        return tell(None)
    try:
        written = write(path)
    except Exception as error:
        tell(None)
        reason = explain(error)[1].removeprefix(f"{path}: ")
        raise PageNotWritten(f"{path}: could not be written, and the figures stand without it: {reason}") from error
    return tell(written)


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


def show_features(report: "FeatureReport") -> None:
    """The table of a store's features, how captions fit their clips, and a line for what looks wrong."""
    rows = [
        [one.kind, one.vectors, *(f"{length:.3g}" for length in one.norm), f"{one.cosine:.3f}",
         f"{one.rank:.1f} of {one.most_rank}", f"{one.equal:.1%}"]
        for one in report.summaries
    ]  # fmt: skip
    names = ["kind", "clips", "norm, 5 %", "50 %", "95 %", "cosine between clips", "effective rank", "equal"]
    print_table("Features, one vector per clip", names, rows)
    for pair in report.pairings:
        show(
            f"{pair.kind} and text: the cosine of a caption with its own clip is {pair.own:.3f}, with others {pair.other:.3f}; "
            f"its own clip is nearer in {pair.nearer:.0%} of the cases (chance: 50%)"
        )
    for line in report.warnings:
        show(line)


def human_bytes(count: float) -> str:
    """A size in the unit that keeps it short."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
