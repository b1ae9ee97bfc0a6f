"""`gaid senses`: the answer first, the figures in a file, then the page; mistakes in one line."""

import json

import pytest


@pytest.fixture(scope="module")
def heard(make_store):
    return make_store(videos=36, captions=1, signal=0.3, heard=0.6, silent=4, parts=("train", "val", "test"))


def test_the_answer_comes_first_and_figures_and_page_have_their_places(gaid, heard, tmp_path):
    told = gaid("senses", heard.path)
    assert told.code == 0
    assert told.out.lstrip().startswith("Sound (both, weighted) ")
    assert "captions of clips without sound" in told.out
    figures = json.loads((tmp_path / "reports/senses-noise/results.json").read_text())
    assert " ".join(told.out.split()).startswith(figures["answer"])
    assert (tmp_path / "reports/senses-noise/senses.html").exists()


@pytest.mark.slow
def test_json_and_a_page_of_ones_own(gaid, heard, tmp_path):
    told = gaid("senses", heard.path, "--out", "mine.html", "--json")
    assert told.json["page"] == "mine.html"
    assert told.json["section"]["lines"]
    assert json.loads((tmp_path / "mine.json").read_text())["answer"] == told.json["answer"]
    assert not (tmp_path / "reports").exists()


@pytest.mark.slow
def test_a_head_with_nothing_to_train_is_found_on_validation(gaid, heard):
    told = gaid("train-head", "--store", heard.path, "--preset", "av-weighted", "--out", "fitted")
    assert told.code == 0
    assert "av-weighted is found on validation, without a step" in told.out


def test_mistakes_are_one_line(gaid):
    assert gaid("senses", "nowhere.zarr").last_word.startswith("gaid: nowhere.zarr: no store there")
    assert "Missing argument 'STORE'" in gaid("senses").last_word
