"""The command `gaid`: parses, calls the function of the same name, prints. Heavy imports happen inside the commands.

Exit codes: 0 done, 1 an unexpected fault, 2 the user's mistake, 3 some clips failed, 130 stopped by Ctrl-C.
"""

import os
import sys
import traceback

import typer

from gaid.cli import commands
from gaid.cli.common import Group, say
from gaid.cli.faults import STOPPED, explain

app = typer.Typer(
    name="gaid",
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 unexpected fault, 2 mistake in an option, path or file, 3 some clips failed, 130 stopped.",
)
commands.register(app)


@app.callback()
def top(
    version: bool = typer.Option(False, "--version", metavar="", help="Print the version and stop."),
    debug: bool = typer.Option(False, "--debug", metavar="", help="Show the traceback of an error; works anywhere."),
) -> None:
    """Text-video retrieval with sound: extract frozen features once, then train and judge heads on them in minutes."""


def with_dashes(argument: str) -> str:
    """`--batch_size=3` as `--batch-size=3`: both spellings are in people's fingers. Values are left alone."""
    if not argument.startswith("--"):
        return argument
    name, sign, value = argument.partition("=")
    return name.replace("_", "-") + sign + value


def run(arguments: list[str]) -> int:
    """Runs one command line; gives its exit code. A mistake becomes one line on stderr."""
    if "--version" in arguments:
        from gaid import __version__

        print(f"gaid {__version__}")
        return 0
    debug = "--debug" in arguments
    arguments = [with_dashes(argument) for argument in arguments if argument != "--debug"]
    try:
        code = app(arguments, prog_name="gaid", standalone_mode=False)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # typer's way of saying the same
        # What reads our output has enough (| head); Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
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
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file's name may hold what the terminal can't show
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))
