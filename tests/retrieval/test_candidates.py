"""Searches through an index find what exact ones find, by every sense, filter and example; which searches take one, and when it is
measured again."""

import numpy as np
import pytest

from benchmarks.simulated import Simulation
from gaid.heads.senses import SensesHead
from gaid.retrieval import candidates as module
from gaid.retrieval import vectors as vectors_module
from gaid.retrieval.index import measure_key, vectors_key
from gaid.retrieval.queries import Query
from gaid.retrieval.searcher import Searcher

CLIPS, DIM = 700, 32
SENTENCES = [Query(text=f"about clip {row}") for row in (3, 104, 402, 603)]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return Simulation(CLIPS, frames=2, dim=DIM).write(tmp_path_factory.mktemp("library") / "s.zarr", captions=200)


class Encoder:
    """Sentences about clips of the simulation, by the number in their last word; other sentences are about clip 0."""

    text, audio = None, None

    def __call__(self, sentences):
        numbers = [int(words[-1]) if (words := one.split())[-1].isdigit() else 0 for one in sentences]
        return Simulation(CLIPS, frames=2, dim=DIM).sentences(np.array(numbers) % CLIPS, seed=1)


def open_library(path, index, **options):
    searcher = Searcher.open(store=path, device="cpu", index=index, **options)
    searcher.encoder = Encoder()
    return searcher


@pytest.fixture
def embedded(monkeypatch):
    """How many clips were given a vector."""
    counts, embed = [], SensesHead.embed_videos
    monkeypatch.setattr(
        SensesHead, "embed_videos", lambda self, *clips: counts.append(len(clips[0])) or embed(self, *clips)
    )
    return counts


def found(answers):
    return [[(hit.video, round(hit.score, 4)) for hit in answer.hits] for answer in answers]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Flat", "RaBitQ"])
def test_one_set_of_vectors_serves_all_senses_examples_and_filters(library, monkeypatch, embedded, kind):
    monkeypatch.setattr(vectors_module, "factory_of", lambda vectors: kind)
    monkeypatch.setattr(vectors_module, "FLAT", 0)
    fast, exact = open_library(library, "faiss"), open_library(library, "exact")
    picture = Query(like=fast.store.ids[250])
    some = np.arange(0, CLIPS, 2)
    for asked in (
        {"queries": SENTENCES},
        {"queries": SENTENCES, "sense": "picture"},
        {"queries": SENTENCES, "sense": "sound"},
        {"queries": SENTENCES, "rows": some},
        {"queries": [picture]},
        {"queries": [picture], "sense": "picture", "rows": some},
    ):
        assert found(fast.ask(top=5, **asked)) == found(exact.ask(top=5, **asked))
    assert sum(embedded) in (0, CLIPS)  # 0 where the other kind was made first
    measured = [note for note in fast.notes if "of the exact 10 best" in note]
    assert len(measured) == 3  # by sense; examples are compared as the head compares sentences


def test_few_clips_that_pass_a_filter_are_all_scored(library):
    searcher = open_library(library, "faiss")
    rows = np.array([5, 99, 100])
    assert [hit.video for hit in searcher.ask(SENTENCES[:1], rows=rows)[0].hits] == [
        hit.video for hit in open_library(library, "exact").ask(SENTENCES[:1], rows=rows)[0].hits
    ]


def test_what_a_head_took_from_a_library_changes_no_key(library):
    searcher = open_library(library, "faiss")
    lens = searcher._lens(np.zeros((1, 2 * DIM), np.float16), "all")
    before = measure_key(lens), vectors_key(lens)
    lens.head.mean_sound.add_(1.0)
    assert (measure_key(lens), vectors_key(lens)) == before
    lens.head.numbers[0] = 0.5
    assert measure_key(lens) != before[0]
    assert vectors_key(lens) == before[1]


@pytest.mark.parametrize(("large", "clips"), [(CLIPS + 1, 0), (CLIPS, CLIPS)])
def test_by_default_only_large_libraries_are_searched_by_an_index(tmp_path, monkeypatch, embedded, large, clips):
    monkeypatch.setattr(module, "LARGE", large)
    path = Simulation(CLIPS, frames=1, dim=8).write(tmp_path / "s.zarr", captions=20)
    searcher = Searcher.open(store=path, device="cpu")
    searcher.encoder = lambda sentences: {
        "text": np.ones((1, 8), np.float16),
        "audio_text": np.ones((1, 8), np.float16),
    }
    searcher.ask([Query(text="a")])
    assert sum(embedded) == clips
    assert (tmp_path / "s.zarr.index").exists() == bool(clips)


def test_where_no_index_can_be_kept_every_clip_is_scored(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGE", 1)
    path = Simulation(30, frames=1, dim=8).write(tmp_path / "s.zarr", captions=20)
    (tmp_path / "s.zarr.index").write_text("in the way")
    searcher = Searcher.open(store=path, device="cpu")
    searcher.encoder = lambda sentences: {
        "text": np.ones((1, 8), np.float16),
        "audio_text": np.ones((1, 8), np.float16),
    }
    assert len(searcher.ask([Query(text="a")])[0].hits) == 10
    assert "every clip is scored" in searcher.notes[-1]
