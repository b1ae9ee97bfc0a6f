"""Mistakes: one line on stderr that names the thing and the remedy, exit code 2, no traceback."""

import errno
import os
import re

import pytest

from gaid.cli import run, with_dashes
from gaid.cli.faults import explain
from gaid.errors import ExtractInterrupted

MISTAKES = {
    "nothing": "No such command 'nothing'",
    "exract --dataset demo": "Did you mean 'extract'",
    "extract": "Missing option '--dataset'",
    "extract --dataset dmeo": "did you mean 'demo'",
    "extract --dataset .": "for your own videos: --dataset folder --root .",
    "extract --dataset folder --root nowhere": "nowhere is not there",
    "extract --dataset folder --root file": "file is not a folder",
    "extract --dataset folder --root empty": "no video under empty",
    "extract --dataset msrvtt --root empty": "MSRVTT_data.json not found under empty",
    "extract --dataset stamps --root empty": "tuxpaint-stamps-default",
    "extract --dataset demo --frames none": "--frames",
    "extract --dataset demo --frames 0": "--frames",
    "extract --dataset demo --visaul tiny": "--visual",
    "extract --dataset demo --decoder pyaf": "did you mean 'pyav'?",
    "extract --dataset demo --audio-sampling publisht": "did you mean 'published'?",
    "extract --dataset demo --device gpu": "auto, cpu, cuda, cuda:0",
    "extract --dataset demo --max-missing 3": "--max-missing",
    "store info nowhere.zarr": "make one with `gaid extract`",
    "store info file": "file: not a gaid store",
    "store info empty": "empty: a folder, but not a zarr store",
    "store verify nowhere.zarr": "nowhere.zarr: no store there",
    "store convert nowhere.zarr there.h5": "nowhere.zarr: no store there",
    "store inof x": "Did you mean 'info'",
    "train-head": "Missing option '--store'",
    "train-head --store nowhere.zarr": "nowhere.zarr: no store there",
    "train-head --store file": "file: not a gaid store",
    "eval": "Give a run (--run RUN), or a store and a preset",
    "eval --run nowhere": "nowhere: no such run",
    "eval --run empty": "empty: not a run",
    "eval --store nowhere.zarr --preset mean-pool": "nowhere.zarr: no store there",
    "eval --run nowhere --index fais": "did you mean 'faiss'?",
    "eval --run nowhere --memory lots": "write it as 512MiB or 1GiB",
    "eval --run nowhere --protocol publised": "did you mean 'published'?",
    "eval --run nowhere --seed -1": "a seed is a whole number from 0 to 4294967295",
    "audit nowhere --seed 4294967296": "a seed is a whole number from 0 to 4294967295",
    "stress nowhere --seed inf": "--seed",
    "export nowhere -o x.npz --seed -1": "a seed is a whole number from 0 to 4294967295",
    "search dog --run nowhere --seed -1": "a seed is a whole number from 0 to 4294967295",
    "eval --run nowhere --device tpu": "auto, cpu, cuda, cuda:0",
    "stress": "Missing argument 'RUN'",
    "stress nowhere": "nowhere: no such run",
    "stress empty": "empty: not a run",
    "stress nowhere --fault nose": "did you mean 'noise'?",
    "stress nowhere --clips 1": "--clips",
    "stress nowhere --agianst x": "--against",
    "eval --run nowhere --subset with-sond": "did you mean 'with-sound'?",
    "audit": "Missing argument 'RUN'",
    "audit nowhere": "nowhere: no such run",
    "audit empty": "empty: not a run",
    "audit nowhere --only leek": "did you mean 'leak'?",
    "audit nowhere --memory lots": "write it as 512MiB or 1GiB",
    "compare nowhere": "Missing argument 'RUN'",
    "compare nowhere empty": "nowhere: no such run",
    "compare empty nowhere": "empty: not a run",
    "datasets flder": "did you mean 'folder'?",
    "datasets msrvtt --root nowhere": "nowhere is not there",
    "datasets folder": "data/folder is not there; name yours with --root",
    "reproduce table1 --dataset dmeo": "did you mean 'demo'?",
    "doctor now": "unexpected extra argument",
}


@pytest.mark.parametrize(("line", "words"), MISTAKES.items())
def test_a_mistake_is_one_line_and_exit_code_2(gaid, tmp_path, line, words):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    told = gaid(*line.split())
    assert told.code == 2
    assert words in told.err
    assert len(told.err.strip().splitlines()) == 1
    assert told.out == ""


@pytest.mark.parametrize(
    "line", ["eval --run nowhere --json", "store info nowhere.zarr --json", "datasets flder --json"]
)
def test_a_mistake_leaves_stdout_empty_for_machines(gaid, line):
    told = gaid(*line.split())
    assert (told.code, told.out) == (2, "")


def test_a_mistake_is_traced_on_demand_wherever_debug_stands(gaid):
    for line in ("--debug store info nowhere.zarr", "store info nowhere.zarr --debug"):
        told = gaid(*line.split())
        assert told.code == 2
        assert "Traceback" in told.err
        assert told.last_word.startswith("gaid: nowhere.zarr: no store there")


def test_an_unexpected_fault_is_short_and_traced_on_demand(gaid, monkeypatch):
    def break_down(*_: object, **__: object) -> None:
        raise RuntimeError("broken\ninside")

    monkeypatch.setattr("gaid.stores.open_store", break_down)
    told = gaid("store", "info", "x.zarr")
    assert told.code == 1
    assert (
        told.err
        == "gaid: an unexpected error, RuntimeError: broken inside; the same command with --debug shows where\n"
    )
    assert "Traceback" in gaid("store", "info", "x.zarr", "--debug").err


def test_what_the_system_refuses_is_a_line_that_names_the_file():
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "there/x.zarr")
    assert explain(denied) == (2, "there/x.zarr: Permission denied")
    code, line = explain(NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), "file/x"))
    assert code == 2
    assert "a file stands where a folder is needed" in line
    assert explain(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x")) == (2, "x: No space left on device")
    assert explain(OSError(errno.EIO, os.strerror(errno.EIO), "x"))[0] == 1


def test_stopping_is_130_and_says_how_to_go_on(gaid, monkeypatch):
    assert explain(ExtractInterrupted("stopped: the same command goes on")) == (
        130,
        "stopped: the same command goes on",
    )

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gaid.stores.open_store", stop)
    told = gaid("store", "info", "x.zarr")
    assert (told.code, told.err) == (130, "gaid: stopped\n")


def test_options_may_have_underscores_and_values_keep_theirs(gaid):
    assert with_dashes("--batch_size=a_b") == "--batch-size=a_b"
    assert with_dashes("--batch_size") == "--batch-size"
    assert with_dashes("my_head.py:My_Head") == "my_head.py:My_Head"
    told = gaid(
        "extract",
        "--dataset",
        "folder",
        "--root",
        "no_where",
        "--num_workers",
        "2",
        "--batch_size=3",
        "--max_missing=1",
    )
    assert (told.code, told.err) == (2, "gaid: folder: no_where is not there; name yours with --root\n")


@pytest.mark.slow
def test_a_reader_that_has_enough_is_no_fault(tmp_path):
    import subprocess
    import sys

    code = "import sys; from gaid.cli import main; sys.argv = ['gaid', 'datasets', '--json']; main()"
    place = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **place) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_run_gives_the_exit_code_of_the_command():
    assert run(["--version"]) == 0


def test_what_stands_after_two_dashes_is_left_as_it_is_typed(gaid, monkeypatch):
    asked = []
    monkeypatch.setattr("gaid.search", lambda query, **_: asked.append(query) or (_ for _ in ()).throw(OSError()))
    gaid("search", "--run", "x", "--query_file", "y", "--", "--snow_man", "--debug", "--version")
    assert [list(query) for query in asked] == [["--snow_man", "--debug", "--version"]]


def test_a_sentence_that_is_no_unicode_is_refused(gaid):
    for sentence in ("caf\udce9", "half \ud83d a sign"):
        told = gaid("search", sentence, "--run", "nowhere")
        assert told.code == 2
        assert "is not text: it has bytes that are not UTF-8, or half of a character" in told.last_word


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        ("clip:ViT-B-33/openai", "did you mean"),
        ("clip:ViT-B-32/openai", "weights|hf download|not here"),
        ("no_such_module_of_mine:Eye", "no module 'no_such_module_of_mine'"),
        ("tiny:large", "has no variants"),
    ],
)
def test_an_encoder_that_cannot_be_had_is_told_before_a_clip_of_the_demo_is_made(gaid, tmp_path, encoder, told):
    found = gaid("extract", "--dataset", "demo", "--root", tmp_path / "demo", "--visual", encoder)
    assert found.code != 0
    assert re.search(told, found.err), found.err
    assert not (tmp_path / "demo").exists()
