"""On which split a run is judged, and what is said where the gallery holds videos that it was trained on."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from gaid import evaluate, export, train
from gaid.audit import audit, compare
from gaid.errors import OptionInvalid, StoresDisagree
from gaid.extract import sources
from gaid.report import write_page
from gaid.retrieval import search as searching
from gaid.stores import hash_gallery
from gaid.stress import stress
from tests.training.planted import TEXT, write_store

pytestmark = pytest.mark.slow

# The store's default split, main: training on clips 0 to 39, validation on 40 to 55, test on 56 to 67.
# The other split tests on clips that main trains on, and trains on all that main tests on.
OTHER = {"train": range(30, 68), "val": range(16, 30), "test": range(16)}
TESTED = [f"clip{row:03d}" for row in OTHER["test"]]
QUICK = ["epochs=1", "patience=0", "head.dim=8"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("two") / "two-splits.zarr", more_splits={"other": OTHER})


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    """Trained under the split that is not the store's default."""
    out = tmp_path_factory.mktemp("runs") / "other"
    return train(store, "gaid", out=out, split_protocol="other", set=QUICK, progress=False)


@pytest.fixture(scope="module")
def default(store, tmp_path_factory):
    """Trained under the store's default split."""
    return train(store, "x-pool", out=tmp_path_factory.mktemp("runs") / "main", set=QUICK, progress=False)


@pytest.fixture
def encoder(monkeypatch):
    """A text backbone of the store's size, for `search`."""
    backbone = SimpleNamespace(
        name="word", encode_text=lambda texts: SimpleNamespace(embedding=np.ones((len(texts), TEXT)))
    )
    monkeypatch.setattr(sources, "load_encoder", lambda *_: backbone)


def test_evaluate_judges_on_the_split_that_the_run_was_trained_under(run):
    results = evaluate(run)
    assert (results.basis.split_protocol, results.basis.gallery_hash) == ("other", hash_gallery(TESTED))


def test_audit_judges_on_the_split_that_the_run_was_trained_under(run):
    found = audit(run, only=["seeds"])
    assert (found.basis.split_protocol, found.basis.gallery_hash) == ("other", hash_gallery(TESTED))


def test_compare_judges_on_the_split_that_the_runs_were_trained_under(run):
    found = compare(run, run)
    written = found.to_dict()
    assert (written["split"], written["gallery"]) == ("test (other)", len(TESTED))


def test_stress_judges_on_the_split_that_the_run_was_trained_under(run):
    found = stress(run, faults=["gate"], progress=False)
    assert (found.basis.split_protocol, found.basis.gallery_hash) == ("other", hash_gallery(TESTED))


def test_export_takes_the_split_that_the_run_was_trained_under(run, tmp_path):
    told = export(run, out=tmp_path / "vectors.npz")
    assert (told.about["split_protocol"], told.about["gallery_hash"]) == ("other", hash_gallery(TESTED))


def test_search_counts_the_training_videos_of_the_split_that_the_run_was_trained_under(run, encoder):
    overlap = searching.search("anything", run=run).basis.training_overlap
    assert (overlap.part, overlap.videos, overlap.gallery) == ("train (other)", 38, 68)


def test_a_split_that_is_named_is_the_one_judged_on(run):
    assert evaluate(run, split_protocol="main").basis.split_protocol == "main"
    with pytest.raises(OptionInvalid, match="no protocol 'third'; there are: main, other"):
        evaluate(run, split_protocol="third")


def test_runs_of_different_splits_are_compared_on_a_split_that_is_named(run, default):
    with pytest.raises(StoresDisagree, match="--split-protocol NAME judges all on one split"):
        compare(run, default)
    assert compare(run, default, split_protocol="other").to_dict()["split"] == "test (other)"


# Of the 16 clips that the other split tests on, all lie in main's training part; of main's 12, all lie in the other's.
ALL = "12 of 12 gallery videos lie in the part that {run} was trained on, train (other)"


def asserted(found, run, videos, gallery):
    """One overlap of that size, told in the notes and in the JSON."""
    overlap = found.basis.training_overlap
    assert (overlap.run, overlap.videos, overlap.gallery) == (str(run.path), videos, gallery)
    written = json.loads(json.dumps(found.to_dict()))
    assert written["training_overlap"] == [overlap.to_dict()]
    assert (overlap.note in written["notes"]) == bool(videos)


def test_evaluate_says_that_the_gallery_was_trained_on(run, tmp_path):
    results = evaluate(run, split_protocol="main")
    asserted(results, run, 12, 12)
    assert ALL.format(run=run.path) in write_page(results, tmp_path / "page.html").read_text()
    asserted(evaluate(run), run, 0, 16)


def test_evaluate_says_that_a_baseline_was_trained_on_the_gallery(run, default):
    results = evaluate(run, against=[default, "mean-pool"])
    assert [(one.run, one.videos) for one in results.training_overlap] == [(str(run.path), 0), (str(default.path), 16)]
    assert any(f"16 of 16 gallery videos lie in the part that {default.path}" in note for note in results.notes)


def test_audit_says_that_the_gallery_was_trained_on(run, tmp_path):
    found = audit(run, split_protocol="main", only=["seeds"])
    asserted(found, run, 12, 12)
    assert ALL.format(run=run.path) in write_page(found, tmp_path / "audit.html").read_text()


def test_compare_says_of_either_run_that_the_gallery_was_trained_on(run, default):
    found = compare(run, default, split_protocol="main")
    assert [one.training_overlap.videos for one in found.bases] == [12, 0]
    assert found.to_dict()["training_overlap"][0]["videos"] == 12
    assert any(note.startswith(ALL.format(run=run.path)) for note in found.notes)


def test_stress_says_that_the_gallery_was_trained_on(run, tmp_path):
    found = stress(run, split_protocol="main", faults=["gate"], progress=False)
    asserted(found, run, 12, 12)
    assert ALL.format(run=run.path) in write_page(found, tmp_path / "stress.html").read_text()


def test_export_says_that_the_gallery_was_trained_on(run, tmp_path):
    told = export(run, out=tmp_path / "vectors.npz", split_protocol="main")
    assert told.about["training_overlap"][0]["videos"] == 12
    assert any(note.startswith(ALL.format(run=run.path)) for note in told.notes)


def test_search_says_that_clips_were_trained_on(run, encoder, tmp_path):
    found = searching.search("anything", run=run)
    asserted(found, run, 38, 68)
    assert "38 of 68 gallery videos" in write_page(found, tmp_path / "found.html").read_text()


def test_every_seed_of_a_run_counts(store, tmp_path):
    seeds = train(store, "gaid", out=tmp_path / "seeds", seeds=2, split_protocol="other", set=QUICK, progress=False)
    (overlap,) = evaluate(seeds, split_protocol="main").training_overlap
    assert (overlap.videos, overlap.gallery) == (12, 12)


def test_on_another_store_videos_are_compared_by_their_ids(run, tmp_path):
    """The same ids under other parts: main of the larger store tests on clips 66 to 69, of which two were trained on."""
    larger = write_store(tmp_path / "larger.zarr", parts={"train": 50, "val": 16, "test": 4}, seed=1)
    results = evaluate(run, store=larger)
    (overlap,) = results.training_overlap
    assert (overlap.videos, overlap.gallery) == (2, 4)
    assert f"2 of 4 gallery videos have the id of a video in the part that {run.path} was trained on" in overlap.note


def test_where_the_training_store_is_gone_it_is_said_that_nothing_is_known(tmp_path):
    (tmp_path / "a").mkdir()
    here = write_store(tmp_path / "a" / "store.zarr", more_splits={"other": OTHER})
    run = train(here, "gaid", out=tmp_path / "run", split_protocol="other", set=QUICK, progress=False)
    here.rename(tmp_path / "moved.zarr")
    other = write_store(tmp_path / "b.zarr", seed=1)
    (overlap,) = evaluate(run, store=other).training_overlap
    assert overlap.videos is None
    assert "not known: no store with its training part is here" in overlap.note
    moved = evaluate(run, store=tmp_path / "moved.zarr", split_protocol="main")
    assert moved.training_overlap[0].videos == 12
