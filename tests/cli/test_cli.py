"""The commands as a user meets them: help, mistakes, output for machines."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import gaid
from gaid.cli import run, with_dashes
from gaid.cli.document import COMMANDS, page


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command, capsys):
    assert run([*command, "--help"]) == 0
    assert "Usage: gaid" in capsys.readouterr().out


def test_the_page_of_commands_is_up_to_date():
    written = Path(__file__).parents[2] / "docs" / "cli.md"
    assert written.read_text(encoding="utf-8") == page(), "run `make docs`"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["extract", "--dataset", "dmeo"], "did you mean 'demo'"),
        (["extract", "--dataset", "folder", "--root", "/nowhere"], "/nowhere"),
        (["extract", "--dataset", "demo", "--frames", "none"], "--frames"),
        (["extract", "--dataset", "demo", "--visaul", "tiny"], "--visual"),
        (["store", "info", "nowhere.zarr"], "gaid extract"),
        (["store", "verify", "nowhere.zarr"], "nowhere.zarr"),
        (["store", "convert", "nowhere.zarr", "there.h5"], "nowhere.zarr"),
        (["train-head", "--store", "nowhere.zarr"], "nowhere.zarr"),
        (["eval", "--run", "nowhere"], "nowhere"),
        (["datasets", "msrvtt", "--root", "/nowhere"], "MSRVTT_data.json"),
        (["nothing"], "nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    told = capsys.readouterr()
    assert words in told.err
    assert len(told.err.strip().splitlines()) == 1
    assert told.out == ""


def test_an_unexpected_fault_is_short_and_traced_on_demand(monkeypatch, capsys):
    def break_down(*_):
        raise RuntimeError("broken inside")

    monkeypatch.setattr("gaid.stores.open_store", break_down)
    assert run(["store", "info", "x.zarr"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert run(["store", "info", "x.zarr", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_options_may_have_underscores_and_values_keep_theirs():
    assert with_dashes("--batch_size=a_b") == "--batch-size=a_b"
    assert with_dashes("my_head.py:My_Head") == "my_head.py:My_Head"


def test_the_command_line_imports_nothing_heavy():
    heavy = ("torch", "numpy", "zarr", "av", "scipy", "matplotlib")
    code = f"import sys, gaid.cli; print([name for name in {heavy} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_data_sets_are_listed_for_machines(capsys):
    assert run(["datasets", "--json"]) == 0
    assert {one["name"] for one in json.loads(capsys.readouterr().out)} >= {"demo", "stamps", "folder", "msrvtt"}


def test_the_interface_for_notebooks_is_what_the_docs_say():
    assert gaid.__all__ == ["evaluate", "extract", "load_dataset", "load_run", "open_store", "train"]
    assert all(callable(getattr(gaid, name)) for name in gaid.__all__)
