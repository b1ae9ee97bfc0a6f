"""`python -m gaid.cli.document docs/cli.md`: the help of every command as one page, so that the page can't go out of date."""

import contextlib
import io
import os
import sys
from pathlib import Path

COMMANDS = [
    [], ["datasets"], ["extract"], ["store"], ["store", "info"], ["store", "verify"], ["store", "convert"],
    ["train-head"], ["eval"], ["table1"], ["doctor"],
]  # fmt: skip


def page() -> str:
    """The whole page, in markdown."""
    os.environ.update(COLUMNS="100", TERM="dumb", NO_COLOR="1")
    from gaid.cli import run

    parts = ["# Commands\n\nMade by `make docs` from `--help`.\n"]
    for command in COMMANDS:
        written = io.StringIO()
        with contextlib.redirect_stdout(written):
            run([*command, "--help"])
        text = "\n".join(line.rstrip() for line in written.getvalue().strip("\n").splitlines())
        parts.append(f"## {' '.join(['gaid', *command])}\n\n```\n{text}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
