"""Figures come first: whatever goes wrong with a page, they are printed, and a line says what became of the page."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gaid.training import train
from tests.retrieval.test_search import write_store
from tests.training import planted


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    planted.write_store(folder / "store.zarr")
    train(folder / "store.zarr", "gaid", out=folder / "run", set=["epochs=1"], progress=False)
    return folder / "run"


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("words") / "words.zarr"
    write_store(path)
    return path


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device", "page.html")


@pytest.mark.slow
def test_a_default_page_that_cannot_be_written_costs_nothing_but_itself(gaid, run):
    (run / "report-val.html").mkdir(exist_ok=True)
    told = gaid("eval", "--run", run, "--split", "val")
    assert told.code == 3
    assert "R@1" in told.out
    assert "census" in told.out
    assert told.last_word.startswith(
        f"gaid: {run}/report-val.html: could not be written, and the figures stand without it: "
    )
    told = gaid("eval", "--run", run, "--split", "val", "--json")
    assert told.code == 3
    assert told.json["t2v"]["R@1"] >= 0
    assert told.json["report"] is None
    assert gaid("eval", "--run", run, "--split", "val", "--report", "none").code == 0


def test_a_page_that_was_asked_for_is_refused_before_the_work(gaid, run, tmp_path):
    (tmp_path / "folder").mkdir()
    for command in (
        ["eval", "--run", run, "--report"],
        ["audit", run, "--out"],
        ["search", "a", "--run", run, "--html"],
    ):
        told = gaid(*command, "folder")
        assert (told.code, told.out) == (2, "")
        assert "folder: is a folder; name a file in it" in told.last_word
    (tmp_path / "file").write_bytes(b"")
    told = gaid("stress", run, "--out", "file/stress")
    assert (told.code, told.out) == (2, "")


@pytest.mark.slow
@pytest.mark.parametrize("json", [[], ["--json"]])
def test_a_full_disk_takes_the_page_alone(gaid, run, words, monkeypatch, json):
    monkeypatch.setattr("gaid.report.html.write_bytes", full_disk)
    for command, figure in (
        (["eval", "--run", run], "R@1"),
        (["audit", run, "--only", "protocol"], "R@1"),
        (["stress", run, "--fault", "gate", "--out", "stressed"], "R@1"),
        (["search", "a red circle", "--store", words, "--preset", "mean-pool", "--html", "page.html"], "clip"),
    ):
        told = gaid(*command, *json)
        assert told.code == 3, told.err
        assert figure in told.out
        assert "No space left on device" in told.last_word
        assert not json or told.json


@pytest.mark.slow
def test_pictures_are_drawn_whatever_matplotlib_was_told(tmp_path):
    """A backend that is not there, LaTeX for all text, and captions that would be mathematics."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nsavefig.format: nothing\nfont.family: Nowhere Sans\n")
    script = (
        "from gaid.report.figures import drawing, svg\n"
        "with drawing() as (figure, axes):\n"
        "    axes.set_title('tickets cost $5 and $x^ 2$, 日本')\n"
        "    print(svg(figure))\n"
    )
    warnings = "error,ignore::DeprecationWarning"  # an old matplotlib uses what a new pyparsing will drop
    environment = os.environ | {"MPLBACKEND": "no_such_backend", "PYTHONWARNINGS": warnings}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, check=True, text=True
    )
    assert "tickets cost $5 and $x^ 2$" in done.stdout
    assert done.stderr == ""
