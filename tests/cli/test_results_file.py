"""`gaid eval` leaves its figures as a file, whatever becomes of the page."""

import errno
import json
from pathlib import Path

import pytest

from gaid.runs.opening import clear_run
from gaid.training import train
from tests.training import planted


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return planted.write_store(tmp_path_factory.mktemp("store") / "store.zarr")


@pytest.fixture
def run(store, tmp_path) -> Path:
    return train(store, "gaid", out=tmp_path / "a run", set=["epochs=1", "head.dim=8"], progress=False).path


def test_the_figures_stand_in_the_runs_folder_with_all_that_they_rest_on(gaid, run):
    told = gaid("eval", "--run", run, "--report", "none", "--json")
    written = json.loads((run / "results.json").read_text())
    assert told.json["file"] == str(run / "results.json")
    assert {name: told.json[name] for name in written} == written
    assert {"t2v", "v2t", "gallery_hash", "census", "training_overlap", "notes", "seeds"} <= written.keys()
    assert f"figures: {run / 'results.json'}" in gaid("eval", "--run", run, "--report", "none").out


def test_another_part_has_a_file_of_its_own(gaid, run):
    assert gaid("eval", "--run", run, "--split", "val", "--report", "none").code == 0
    assert json.loads((run / "results-val.json").read_text())["split"] == "val"
    assert not (run / "results.json").exists()


def test_a_head_without_training_leaves_them_under_reports(gaid, store, tmp_path):
    told = gaid("eval", "--store", store, "--preset", "x-pool")
    assert told.code == 0
    assert "figures: reports/x-pool-planted/results.json" in told.out
    assert json.loads((tmp_path / "reports/x-pool-planted/results.json").read_text())["preset"] == "x-pool"


def test_they_are_there_before_the_page_is_drawn(gaid, run, monkeypatch):
    def full_disk(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "page.html")

    monkeypatch.setattr("gaid.report.evaluation.draw_queries", full_disk)
    told = gaid("eval", "--run", run)
    assert (told.code, "R@1" in told.out) == (3, True)
    assert json.loads((run / "results.json").read_text())["t2v"]["R@1"] >= 0


@pytest.mark.slow
def test_where_they_can_not_be_written_they_are_printed_and_the_page_is_drawn(gaid, run):
    (run / "results.json").mkdir()
    told = gaid("eval", "--run", run)
    assert (told.code, "R@1" in told.out) == (3, True)
    assert f"page: {run / 'report.html'}" in told.out
    assert told.last_word.startswith(
        f"gaid: {run / 'results.json'}: could not be written, and the figures stand without it"
    )


def test_figures_of_heads_that_are_gone_go_with_them(gaid, run):
    gaid("eval", "--run", run, "--report", "none")
    (run / "mine.json").write_text("{}")
    clear_run(run)
    assert [file.name for file in run.iterdir()] == ["mine.json"]
