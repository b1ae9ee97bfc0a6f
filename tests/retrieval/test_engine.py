"""A library in an engine: what is pushed, what is sent again, and that a search through it finds what an exact one finds.

The engine is LanceDB itself, in a folder.
"""

import pytest

from gaid import search
from gaid.errors import DataMissing, DependencyMissing, HeadMismatch, OptionInvalid, RemoteFailed, StoresDisagree
from gaid.extract import extract
from gaid.retrieval import searcher as module
from gaid.retrieval.engines import lance, open_engine
from gaid.retrieval.engines.push import push
from gaid.retrieval.filters import Filters
from gaid.retrieval.lens import Lens
from gaid.retrieval.queries import Query
from gaid.retrieval.search import ask
from gaid.retrieval.searcher import Searcher
from gaid.stores import reader
from tests.extract.folder_world import TINY, make_clip
from tests.retrieval.test_filters import store as shelves  # noqa: F401 (a fixture)
from tests.retrieval.test_searcher import CLIPS, write_store

pytest.importorskip("lancedb")


@pytest.fixture(autouse=True)
def shared(monkeypatch):
    """`tiny` counts as a backbone whose senses share a space with sentences, and candidates are taken for few clips, too."""
    monkeypatch.setattr(reader, "_SPACELESS", "none of them")
    monkeypatch.setattr(module, "FEW", 0)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("library") / "library.zarr", captions=20)


@pytest.fixture
def engine(tmp_path):
    return open_engine(str(tmp_path / "vectors"))


@pytest.fixture
def sent(monkeypatch):
    """How many clips each block had that was sent."""
    counts, original = [], lance.LanceEngine.push

    def counting(self, rows):
        counts.append(len(rows.clips))
        original(self, rows)

    monkeypatch.setattr(lance.LanceEngine, "push", counting)
    return counts


def library(store, **options):
    return Searcher.open(store=store, device="cpu", **options)


def pushed(store, engine, **options):
    overwrite = options.pop("overwrite", False)
    return push(library(store, index="exact", **options), engine, overwrite, progress=False)


def found(answers):
    return [[(hit.video, pytest.approx(hit.score, abs=1e-5)) for hit in answer.hits] for answer in answers]


def test_a_search_through_the_engine_finds_what_an_exact_one_finds(store, engine):
    report = pushed(store, engine)
    assert (report.clips, report.added, report.unchanged) == (CLIPS, CLIPS, 0)
    assert set(report.measures) == {"all", "picture", "sound"}
    assert all(one["held"] >= 0.99 for one in report.measures.values())
    exact, through = library(store, index="exact"), library(store, engine=engine.uri)
    queries = [Query.parse("a red car"), Query.parse("a drum beats"), Query(like="clip 07")]
    for sense in ("all", "picture", "sound"):
        assert found(through.ask(queries, top=5, sense=sense)) == found(exact.ask(queries, top=5, sense=sense))
    assert f"engine {engine.uri}: {CLIPS} clips" in through.notes[-1]


def test_the_head_scores_only_what_the_engine_names(store, engine):
    """The engine's answer is what is scored: a clip that it does not name is not found."""
    pushed(store, engine)
    engine.remove(["clip 00", "clip 20", "clip 40"])
    (answer,) = library(store, engine=engine.uri).ask([Query.parse("a red car")], top=40)
    assert {"clip 00", "clip 20", "clip 40"}.isdisjoint(hit.video for hit in answer.hits)


def test_the_engine_filters(shelves, engine, monkeypatch):  # noqa: F811 (the fixture: clips with folders, lengths, dates)
    pushed(shelves, engine, preset="mean-pool")
    named, nearest = [], lance.LanceEngine.nearest

    def counting(*asked):
        keys = nearest(*asked)
        named.append(len(keys))
        return keys

    monkeypatch.setattr(lance.LanceEngine, "nearest", counting)
    through = library(shelves, preset="mean-pool", engine=engine.uri)
    exact = library(shelves, preset="mean-pool", index="exact")
    for filters in (
        {"within": "Holidays"},
        {"within": "2024", "longer": 10},
        {"until": "2024-01-01"},
        {"shorter": 12.0},
    ):
        told = {"top": 6, "filters": Filters.parse(**filters)}
        mine, its = (ask(one, [Query.parse("a red thing")], **told) for one in (through, exact))
        assert found(mine.answers) == found(its.answers)
    assert named == [3, 1, 3, 3]


def test_what_is_there_is_not_sent_again(store, engine, sent):
    pushed(store, engine)
    before = sum(sent)
    report = pushed(store, engine)
    assert (before, sum(sent)) == (CLIPS, CLIPS)
    assert (report.added, report.changed, report.removed, report.unchanged) == (0, 0, 0, CLIPS)


@pytest.mark.slow
def test_the_engine_follows_a_library_that_grows(tmp_path, sent):
    clips, out = tmp_path / "clips", tmp_path / "s.zarr"
    for number in range(6):
        make_clip(clips / f"clip {number}.mp4", number, tmp_path / "bases")
    extract("folder", root=clips, out=out, progress=False, **TINY)
    engine = open_engine(str(tmp_path / "vectors"))
    pushed(out, engine, preset="mean-pool")
    (clips / "clip 1.mp4").unlink()
    (clips / "clip 2.mp4").rename(clips / "other.mp4")
    make_clip(clips / "clip 3.mp4", 9, tmp_path / "bases")
    make_clip(clips / "clip 6.mp4", 6, tmp_path / "bases")
    extract("folder", root=clips, out=out, progress=False, **TINY)
    asked = {"query": "a red thing", "store": out, "preset": "mean-pool", "device": "cpu"}
    assert "2 clips are not in it" in search(engine=engine.uri, **asked).notes[-1]
    sent.clear()
    report = pushed(out, engine, preset="mean-pool")
    assert (report.added, report.changed, report.removed, report.unchanged) == (2, 1, 2, 3)
    assert sent == [3]
    through = search(engine=engine.uri, **asked)
    assert "not in it" not in through.notes[-1]
    assert found(through.answers) == found(search(index="exact", **asked).answers)


def test_a_push_that_was_stopped_is_resumed(store, engine, monkeypatch):
    original, blocks = lance.LanceEngine.push, []

    def stops(self, rows):
        if blocks:
            raise KeyboardInterrupt
        blocks.append(len(rows.clips))
        original(self, rows)

    monkeypatch.setattr(lance.LanceEngine, "push", stops)
    monkeypatch.setattr(Lens, "_bytes_per_clip", lambda self, store: (4 << 20) // 25)  # a block has 20 clips
    with pytest.raises(KeyboardInterrupt):
        pushed(store, engine, memory="16MiB")
    assert blocks == [20]
    with pytest.raises(DataMissing, match="the first push has not finished"):
        library(store, engine=engine.uri)
    monkeypatch.setattr(lance.LanceEngine, "push", original)
    assert pushed(store, engine).added == CLIPS - 20


def test_another_head_is_refused(store, engine):
    pushed(store, engine)
    with pytest.raises(HeadMismatch, match=r"another head: class: SensesHead there, GatedHead now"):
        library(store, preset="mean-pool", engine=engine.uri)
    with pytest.raises(HeadMismatch, match="gaid index push --overwrite"):
        pushed(store, engine, preset="mean-pool")
    assert pushed(store, engine, preset="mean-pool", overwrite=True).added == CLIPS
    assert library(store, preset="mean-pool", engine=engine.uri).ask([Query.parse("a red car")])


def test_weights_of_another_seed_are_another_head(store, engine):
    pushed(store, engine, preset="gaid", seed=1)
    with pytest.raises(HeadMismatch, match="another head: other weights"):
        library(store, preset="gaid", seed=2, engine=engine.uri)


def test_another_store_is_refused(store, engine, tmp_path):
    pushed(store, engine)
    about = engine.about()
    engine.describe({**about, "backbones": {**about["backbones"], "visual": {"name": "clip"}}})
    with pytest.raises(StoresDisagree, match="the visual backbone: clip there, tiny now"):
        library(store, engine=engine.uri)
    engine.describe(about)
    with pytest.raises(StoresDisagree, match=rf"another store \(words\): it holds 0 of the {CLIPS} clips"):
        library(write_store(tmp_path / "other.zarr", seed=1), engine=engine.uri)


def test_addresses_and_places_that_are_no_engine(store, tmp_path, monkeypatch):
    with pytest.raises(
        OptionInvalid, match=r"db://x: name a folder, or an address that begins with s3://, gs://, az://"
    ):
        open_engine("db://x")
    with pytest.raises(DataMissing, match=r"no library was pushed there; gaid index push --store .* does so"):
        library(store, engine=str(tmp_path / "nothing"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(RemoteFailed, match="check the folder"):
        pushed(store, open_engine(str(tmp_path / "file")))
    with pytest.raises(OptionInvalid, match="candidates come from one of them"):
        library(store, engine=str(tmp_path / "v"), index="faiss")
    with pytest.raises(OptionInvalid, match="draws trials"):
        library(store, preset="t-mass", engine=str(tmp_path / "v"))
    monkeypatch.setattr(lance, "not_installed", lambda modules: modules)
    with pytest.raises(DependencyMissing, match=r"pip install 'gaid\[engine\]'"):
        open_engine("somewhere")


@pytest.mark.slow
def test_a_large_table_has_cells(store, engine, monkeypatch):
    monkeypatch.setattr(lance, "INDEXED", 50)
    report = pushed(store, engine)
    assert report.kind == "vectors lie in cells"
    searcher = library(store, engine=engine.uri)
    exact = library(store, index="exact")
    queries = [Query.parse("a red car"), Query.parse("a drum beats")]
    assert found(searcher.ask(queries, top=5)) == found(exact.ask(queries, top=5))
    assert pushed(store, engine).unchanged == CLIPS
