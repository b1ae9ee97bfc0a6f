"""The index beside a store: it finds what an exact search finds, is kept, grows with its library, and is remade where it is
not what was written."""

import shutil

import numpy as np
import pytest
import torch

from gaid import search
from gaid.errors import OptionInvalid
from gaid.evaluation.bench import open_bench
from gaid.extract import extract
from gaid.heads.gated import GatedHead
from gaid.retrieval import index as module
from gaid.retrieval import vectors as vectors_module
from gaid.retrieval.index import ClipIndex, captions_of
from gaid.retrieval.lens import Lens, best_clips
from gaid.stores import StorePlan, StoreWriter, convert_store, valid_rows
from tests.extract.folder_world import TINY, make_clip, write_captions

DIM, FRAMES = 32, 2
KINDS = ("Flat", "RaBitQ", "IVF8,RaBitQ")


def write_store(path, clips=400, captions=40, seed=0):
    """Clips and captions of noise around few directions."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(20, DIM))
    near = (centres[rng.integers(20, size=clips)][:, None] + 0.5 * rng.normal(size=(clips, FRAMES, DIM))).astype(
        np.float16
    )
    plan = StorePlan(
        [f"clip {row}" for row in range(clips)], [f"c{row}" for row in range(captions)], ["a text"] * captions,
        list(range(captions)), [0] * (captions + 1), {"all": {"test": list(range(captions))}}, "all", FRAMES, DIM, DIM, DIM,
        attrs={"backbones": {kind: {"name": "same", "dim": DIM} for kind in ("visual", "audio", "text")}},
        shard_rows=200, chunk_rows=50,
    )  # fmt: skip
    with StoreWriter.open(path, plan) as writer:
        writer.write_captions(
            (centres[:10].repeat(4, axis=0)[:captions]).astype(np.float16), np.zeros((0, DIM), np.float16)
        )
        for number in writer.pending_shards:
            rows = writer.shard_slice(number)
            count = rows.stop - rows.start
            valid = np.arange(rows.start, rows.stop) % 7 != 3
            arrays = {
                "visual": near[rows] * valid[:, None, None], "audio": np.zeros((count, FRAMES, DIM), np.float16),
                "audio_mask": np.zeros((count, FRAMES), bool), "audio_state": np.full(count, 2, np.uint8), "valid": valid,
                "time": np.zeros((count, FRAMES), np.float32), "duration": np.ones(count, np.float32),
            }  # fmt: skip
            failed = [f"clip {rows.start + row}" for row in np.flatnonzero(~valid)]
            writer.write_shard(number, arrays, [{"id": name, "reason": "unreadable", "message": ""} for name in failed])
        writer.finish()
    return path


def library_of(path):
    """The store, and a lens of mean-pool for sentences that are near its captions."""
    bench = open_bench(None, store=path, preset="mean-pool", split=None, seeds=1, memory="64MiB", device="cpu", seed=0)
    rng = np.random.default_rng(5)
    centres = np.random.default_rng(0).normal(size=(20, DIM))
    text = torch.from_numpy((centres[:6] + 0.3 * rng.normal(size=(6, DIM))).astype(np.float16))
    return bench.store, Lens(bench.head(), text, "all", "own", "cpu", bench.memory, 0)


def open_index(store, lens):
    """The index, measured by the store's captions, or by the lens's own queries where it has none."""
    queries = captions_of(store, lens.head) if store.layout["captions"] else ("queries", lens.text.numpy())
    return ClipIndex.open(store, lens, lambda: queries)


def searched_as(monkeypatch, kind):
    """A kind of index that is otherwise taken for more clips; its shortlist is a quarter of them."""
    monkeypatch.setattr(vectors_module, "factory_of", lambda clips: kind)
    monkeypatch.setattr(vectors_module, "FLAT", 0)
    monkeypatch.setattr(module, "SHORTLIST", 100)
    monkeypatch.setattr(module, "MOST", 0.25)


def best_of(index, lens, count):
    """Rows and scores of the best of an index's candidates."""
    candidates = [np.sort(rows) for rows in index.candidates(lens, count)]
    found = [best_clips(lens.of([query]), index.store, count, rows) for query, rows in enumerate(candidates)]
    return tuple(np.concatenate(one) for one in zip(*found, strict=True))


@pytest.fixture
def embedded(monkeypatch):
    """How many clips were given a vector."""
    rows = []
    embed = GatedHead.embed_videos
    monkeypatch.setattr(
        GatedHead, "embed_videos", lambda self, visual, *more: rows.append(len(visual)) or embed(self, visual, *more)
    )
    return rows


@pytest.mark.parametrize(("clips", "kind"), [(100, "Flat"), (30_000, "RaBitQ"), (10**7, "IVF4096,RaBitQ")])
def test_the_kind_follows_from_the_number_of_clips(clips, kind):
    assert vectors_module.factory_of(clips) == kind


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_candidates_hold_what_an_exact_search_finds(tmp_path, monkeypatch, kind):
    searched_as(monkeypatch, kind)
    store, lens = library_of(write_store(tmp_path / "s.zarr"))
    kept, about = open_index(store, lens)
    assert (about.kind, about.clips, about.added) == (kind, 343, 343)
    assert about.held is not None
    assert about.held >= 0.99
    assert about.candidates < 343
    rows, scores = best_of(kept, lens, 5)
    exact_rows, exact_scores = best_clips(lens, store, 5)
    assert np.mean(rows == exact_rows) > 0.9
    same = rows == exact_rows
    np.testing.assert_allclose(scores[same], exact_scores[same], atol=1e-5)


@pytest.mark.slow
def test_an_index_is_kept_and_read_again(tmp_path, embedded):
    store = write_store(tmp_path / "s.zarr")
    first, about = open_index(*library_of(store))
    assert sum(embedded) >= 343
    embedded.clear()
    again, about_again = open_index(*library_of(store))
    assert embedded == []
    assert about_again.added == 0
    assert (about_again.candidates, about_again.held) == (about.candidates, about.held)
    np.testing.assert_array_equal(best_of(again, again.lens, 5)[0], best_of(first, first.lens, 5)[0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_clips_come_and_go(tmp_path, monkeypatch, kind):
    """New clips are added; vectors of clips that are gone are not found, and dropped once they are a quarter of all."""
    searched_as(monkeypatch, kind)
    store, lens = library_of(write_store(tmp_path / "s.zarr"))
    everything = valid_rows(store)
    counts = []
    for rows in (everything[:300], everything, everything[20:], everything[200:]):
        monkeypatch.setattr(module, "valid_rows", lambda store, rows=rows: rows)
        kept, about = open_index(store, lens)
        counts.append((about.added, len(kept.vectors)))
        found = kept.candidates(lens, 30)
        assert np.isin(found, rows).all()
        assert found.shape[1] >= 30
    assert counts == [(300, 300), (43, 343), (0, 343), (0, 143)]


@pytest.mark.slow
def test_other_features_under_the_same_ids_are_another_index(tmp_path, embedded):
    store = write_store(tmp_path / "s.zarr")
    open_index(*library_of(store))
    shutil.rmtree(store)
    opened, lens = library_of(write_store(store, seed=1))
    kept, about = open_index(opened, lens)
    assert about.added == 343
    np.testing.assert_array_equal(best_of(kept, lens, 3)[0], best_clips(lens, opened, 3)[0])


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "pointer"])
def test_what_was_not_written_here_is_not_read(tmp_path, damage):
    store = write_store(tmp_path / "s.zarr")
    open_index(*library_of(store))
    (folder,) = (tmp_path / "s.zarr.index").iterdir()
    (file,) = folder.glob("vectors-*.f16")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "pointer":
        (folder / "index.json").write_text("{}")
    elif damage == "gone":
        file.unlink()
    else:
        file.write_bytes(data if damage == "flipped" else data[:-5])
    opened, lens = library_of(store)
    kept, about = open_index(opened, lens)
    assert about.added == 343
    np.testing.assert_array_equal(best_of(kept, lens, 3)[0], best_clips(lens, opened, 3)[0])
    assert len(list(folder.glob("vectors-*.f16"))) == 1


@pytest.mark.slow
def test_an_hdf5_store_and_one_without_captions_have_one(tmp_path):
    store = convert_store(write_store(tmp_path / "s.zarr", captions=0), tmp_path / "s.h5").path
    _, about = open_index(*library_of(store))
    assert about.probes == "queries"
    assert about.held >= 0.99
    assert open_index(*library_of(store))[1].added == 0


@pytest.mark.slow
def test_the_index_grows_with_its_library(tmp_path, embedded):
    clips, out = tmp_path / "clips", tmp_path / "s.zarr"
    for number in range(6):
        make_clip(clips / f"clip {number}.mp4", number, tmp_path / "bases")
    write_captions(clips, {"clip 0.mp4": ["a red thing"]})
    extract("folder", root=clips, out=out, progress=False, **TINY)
    asked = {"query": ["a red thing", "a bell"], "store": out, "preset": "mean-pool", "top": 5, "device": "cpu"}
    assert "6 clips, 6 of them new" in search(index="faiss", **asked).notes[-1]
    (clips / "clip 1.mp4").unlink()
    shutil.copyfile(clips / "clip 2.mp4", clips / "copy.mp4")
    for number in (6, 7):
        make_clip(clips / f"clip {number}.mp4", number, tmp_path / "bases")
    extract("folder", root=clips, out=out, progress=False, **TINY)
    embedded.clear()
    found = search(index="faiss", **asked)
    assert embedded == [2]
    assert "8 clips, 2 of them new" in found.notes[-1]
    for mine, exact in zip(found.answers, search(**asked).answers, strict=True):
        assert [hit.score for hit in mine.hits] == pytest.approx([hit.score for hit in exact.hits], abs=1e-6)
        assert {hit.video for hit in mine.hits} == {hit.video for hit in exact.hits}


def test_a_head_without_vectors_and_unknown_kinds_are_refused(tmp_path, monkeypatch):
    store = write_store(tmp_path / "s.zarr", clips=20, captions=0)
    with pytest.raises(OptionInvalid, match="choose auto, exact, faiss"):
        search("a", store=store, preset="mean-pool", index="hnsw")
    with pytest.raises(OptionInvalid, match="draws trials for every clip"):
        search("a", store=store, preset="t-mass", index="faiss")
    monkeypatch.setattr(GatedHead, "has_video_embedding", False)
    with pytest.raises(OptionInvalid, match="no vector of a video without a query"):
        search("a", store=store, preset="mean-pool", index="faiss")
    assert not (tmp_path / "s.zarr.index").exists()
