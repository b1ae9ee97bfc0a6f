"""The command `gaid`: parses, calls the function of the same name, prints. Heavy imports happen inside the commands."""

import os
import sys
import traceback

import typer

from gaid.cli import commands
from gaid.errors import GaidError

app = typer.Typer(
    name="gaid",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Text-video retrieval with sound: extract frozen features once, train and judge heads in minutes.",
    epilog="--debug anywhere prints the traceback of an unexpected fault. Exit codes: 0 done, 2 your mistake, 3 some clips failed.",
)
commands.register(app)


def _version(asked: bool) -> None:
    if asked:
        from gaid import __version__

        print(f"gaid {__version__}")
        raise typer.Exit


@app.callback()
def top(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Text-video retrieval with sound: extract frozen features once, train and judge heads in minutes."""


def with_dashes(argument: str) -> str:
    """`--batch_size=3` as `--batch-size=3`: both spellings are in people's fingers. Values are left alone."""
    if not argument.startswith("--"):
        return argument
    name, sign, value = argument.partition("=")
    return name.replace("_", "-") + sign + value


def run(arguments: list[str]) -> int:
    """Runs one command line; gives its exit code. Mistakes become one line on stderr."""
    debug = "--debug" in arguments
    arguments = [with_dashes(argument) for argument in arguments if argument != "--debug"]
    try:
        code = app(arguments, prog_name="gaid", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except GaidError as error:
        message = str(error)
    except KeyboardInterrupt:
        print("gaid: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # What reads our output has enough (| head); Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not hasattr(error, "format_message"):
            if debug:
                traceback.print_exc()
            else:
                print(
                    f"gaid: an unexpected fault: {type(error).__name__}: {error}; --debug shows where", file=sys.stderr
                )
            return 1
        message = error.format_message()
        if not message:  # a group without a command has printed its help
            return int(getattr(error, "exit_code", 0))
        message = f"{message.rstrip('.')}; see --help"
    if debug:
        traceback.print_exc()
    print(f"gaid: {' '.join(message.split())}", file=sys.stderr)
    return 2


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))
