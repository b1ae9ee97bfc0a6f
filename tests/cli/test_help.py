"""Help: every command has it, a newcomer can read it, the page of it is up to date, and it comes at once."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from gaid.cli.document import page, walk

COMMANDS = {" ".join(names): command for names, command in walk()}
OPTIONS = [
    (name, param) for name, command in COMMANDS.items() for param in command.params if param.param_type_name == "option"
]


def test_all_commands_are_there():
    assert set(COMMANDS) == {
        "gaid", "gaid doctor", "gaid datasets", "gaid extract", "gaid store", "gaid store info", "gaid store verify",
        "gaid store convert", "gaid store prune", "gaid store join", "gaid train-head", "gaid eval", "gaid reproduce",
        "gaid stress", "gaid search", "gaid serve", "gaid mcp",
        "gaid index", "gaid index push", "gaid index info", "gaid audit", "gaid compare", "gaid import-checkpoint", "gaid export",
        "gaid senses", "gaid publish", "gaid demo",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("spelling", ["--help", "-h"])
def test_every_command_has_help(gaid, name, spelling):
    told = gaid(*name.split()[1:], spelling)
    assert told.code == 0
    assert f"Usage: {name}" in " ".join(told.out.split())
    assert told.err == ""


@pytest.mark.parametrize(("name", "param"), OPTIONS, ids=lambda value: value if isinstance(value, str) else value.name)
def test_every_option_says_in_a_sentence_what_it_is(name, param):
    assert param.help.endswith(".") or param.help.endswith("...")
    assert 10 < len(param.help) <= 110
    assert "[" not in param.help  # rich would take it for markup and leave it out


@pytest.mark.parametrize(
    "name",
    [
        "gaid extract",
        "gaid train-head",
        "gaid import-checkpoint",
        "gaid eval",
        "gaid audit",
        "gaid compare",
        "gaid reproduce",
        "gaid search",
        "gaid senses",
        "gaid publish",
        "gaid store info",
    ],
)
def test_reporting_commands_have_json(name):
    assert any("--json" in param.opts for param in COMMANDS[name].params)


def test_the_page_of_commands_is_up_to_date():
    written = Path(__file__).parents[2] / "docs" / "cli.md"
    assert written.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_the_version_is_told_before_and_after_a_command(gaid):
    from gaid import __version__

    for arguments in (["--version"], ["extract", "--version"]):
        told = gaid(*arguments)
        assert (told.code, told.out) == (0, f"gaid {__version__}\n")


@pytest.mark.slow
def test_help_imports_nothing_heavy_and_comes_at_once():
    heavy = ("torch", "numpy", "zarr", "h5py", "av", "scipy", "matplotlib", "open_clip", "transformers")
    code = (
        "import sys; from gaid.cli import run; run(['--help']); run(['eval', '--help']); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    begun = time.process_time(), time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert time.monotonic() - begun[1] < 10  # measured 0.35 s; the machine of a test may be busy


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "gaid", "--help"], capture_output=True, text=True, check=True)
    assert "Usage: gaid" in done.stdout
