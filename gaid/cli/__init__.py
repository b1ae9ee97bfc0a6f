"""The command `gaid`: parses, calls the function of the same name, prints. Heavy imports happen inside the commands.

Exit codes: 0 done, 1 an unexpected error, 2 the user's mistake, 3 done in part (clips failed, or a page was not written), 130 stopped by
Ctrl-C.
"""

import os
import sys
import traceback

import typer

from gaid.cli import commands
from gaid.cli.faults import STOPPED, explain
from gaid.console import Lasting, say, show

app = typer.Typer(
    name="gaid",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 unexpected error, 2 mistake in an option, path or file, 3 done in part, 130 stopped.",
)
commands.register(app)


@app.callback()
def top(
    version: bool = typer.Option(False, "--version", metavar="", help="Print the version and exit."),
    debug: bool = typer.Option(
        False, "--debug", metavar="", help="Show the traceback of an error; may stand anywhere."
    ),
) -> None:
    """Text-video retrieval with sound: extract frozen features once, then train and evaluate heads on them in minutes."""


def _options(arguments: list[str]) -> list[str]:
    """The arguments before `--`; those after it are not options, whatever they look like."""
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _spelled(arguments: list[str]) -> list[str]:
    """A command line as typer takes it; what stands after `--` is left as it is."""
    options = _options(arguments)
    return [with_dashes(one) for one in options if one != "--debug"] + arguments[len(options) :]


def with_dashes(argument: str) -> str:
    """`--batch_size=3` as `--batch-size=3`: both spellings are in people's fingers. Values are left alone."""
    if not argument.startswith("--"):
        return argument
    name, sign, value = argument.partition("=")
    return name.replace("_", "-") + sign + value


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code. A user's mistake becomes one line on stderr."""
    if "--version" in _options(arguments):
        from gaid import __version__

        show(f"gaid {__version__}")
        return 0
    debug = "--debug" in _options(arguments)
    arguments = _spelled(arguments)
    try:
        code = app(arguments, prog_name="gaid", standalone_mode=False)
        Lasting(sys.stdout).flush()
    except (BrokenPipeError, SystemExit):  # typer's way of saying the same
        # The reader closed the pipe (| head); Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        code, message = explain(error)
        if message:
            say(f"gaid: {message}")
        return code
    if code == STOPPED:
        say("gaid: stopped")
    return code if isinstance(code, int) else 0


def main() -> None:
    """The console script."""
    # Where the shell closed a stream (>&-), Python has None in its place.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file's name may hold what the terminal can't show
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))
