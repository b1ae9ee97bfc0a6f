"""`python -m gaid.cli.document docs/cli.md`: the help of every command as one page, so that the page can't go out of date."""

import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

import typer

from gaid.cli import app
from gaid.files import write_bytes

INTRODUCTION = """# Commands

Made from `--help` by `make docs`; do not edit.

Options are spelled with dashes and accepted with underscores. Results go to stdout, messages and progress to stderr; with `--json`
a command prints one JSON object on stdout. `--debug`, anywhere, shows the traceback of an error; `--version` prints the version.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | an unexpected error: one line; `--debug` shows where |
| 2 | a mistake in an option, a path or a file: one line that names it and the remedy |
| 3 | `extract`: some clips failed (one line each), or their files were replaced; the others are in the store. Every command that reads a store: the store is damaged. `eval`, `audit`, `stress`, `search`: the figures are printed, but the page could not be written; the message says why |
| 130 | stopped by Ctrl-C; the same command (`train-head` with `--resume`) resumes |
"""

SETTINGS = """## Settings of `train-head`

For `--set KEY=VALUE`, or as lines of a TOML file for `--config`. A preset has its own defaults; a run's `config.toml` shows the settings that were used.

| setting | what it is | default |
|---|---|---|"""


def walk(command: Any = None, names: tuple[str, ...] = ("gaid",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below `command` with its words, groups before what is in them."""
    command = typer.main.get_command(app) if command is None else command
    yield names, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, (*names, name))


def page() -> str:
    """The whole page, in markdown."""
    sections = [_section(names, command) for names, command in walk() if len(names) > 1]
    return "\n".join([INTRODUCTION, *sections, _settings()])


def _section(names: tuple[str, ...], command: Any) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option"]
    usage = " ".join([*names, *(["COMMAND"] if hasattr(command, "commands") else []), *map(_name, arguments)])
    usage += "".join(f" {_name(param)}" for param in options if param.required) + (" [OPTIONS]" if options else "")
    lines = [f"{'#' * len(names)} {' '.join(names)}\n", f"    {usage}\n", f"{_prose(command.help)}\n"]
    if arguments or options:
        lines += ["| option | |", "|---|---|"]
        lines += [f"| `{_cell(_name(param))}` | {_cell(_describe(param))} |" for param in (*arguments, *options)]
        lines.append("")
    return "\n".join(lines)


def _name(param: Any) -> str:
    if param.param_type_name == "argument":
        return str(param.metavar)
    return f"{', '.join(param.opts)} {param.metavar or ''}".strip()


def _describe(param: Any) -> str:
    text = param.help
    if param.required and param.param_type_name == "option":
        text += " Required."
    if param.default is not None and param.default is not False and not param.required:
        text += f" Default: {param.default}."
    return str(text)


def _settings() -> str:
    """What `train-head --set` takes."""
    from gaid.training import TrainConfig

    kept = ("preset", "store", "dataset", "protocol", "seed", "seeds")  # these have options of their own
    rows = [
        f"| `{one.name}` | {_cell(one.metadata['help'])} | {'' if one.default is MISSING else one.default} |"
        for one in fields(TrainConfig)
        if one.name not in kept
    ]
    return "\n".join([SETTINGS, *rows, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _prose(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


if __name__ == "__main__":
    write_bytes(sys.argv[1], page().encode())
