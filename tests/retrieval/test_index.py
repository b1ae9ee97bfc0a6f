"""The index beside a store: it finds what an exact search finds, is kept, grows with its library, and is remade where it is
not what was written."""

import shutil
from dataclasses import replace
from unittest.mock import ANY

import numpy as np
import pytest
import torch

from gaid import search
from gaid.errors import OptionInvalid
from gaid.evaluation.bench import open_bench
from gaid.extract import extract
from gaid.heads.gated import GatedHead
from gaid.retrieval import index as module
from gaid.retrieval.index import ClipIndex, factory_of
from gaid.retrieval.lens import Lens, best_clips
from gaid.stores import StorePlan, StoreWriter, convert_store, valid_rows
from tests.extract.folder_world import TINY, make_clip, write_captions

DIM, FRAMES = 32, 2


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
    """The store, and a lens of mean-pool for some sentences."""
    bench = open_bench(None, store=path, preset="mean-pool", split=None, seeds=1, memory="64MiB", device="cpu", seed=0)
    text = torch.from_numpy(np.random.default_rng(5).normal(size=(6, DIM)).astype(np.float16))
    return bench.store, Lens(bench.head(), text, "all", "own", "cpu", bench.memory, 0)


def best_of(index, lens, count):
    """Rows and scores of the best of an index's candidates."""
    candidates = index.candidates(lens.text, count)
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


@pytest.mark.parametrize(("clips", "kind"), [(100, "Flat"), (30_000, "HNSW32,SQfp16"), (10**6, "IVF4096,SQfp16")])
def test_the_kind_follows_from_the_number_of_clips(clips, kind):
    assert factory_of(clips) == kind


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Flat", "HNSW32,SQfp16", "IVF8,SQfp16"])
def test_candidates_hold_what_an_exact_search_finds(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(module, "factory_of", lambda clips: kind)
    store, lens = library_of(write_store(tmp_path / "s.zarr"))
    kept, about = ClipIndex.open(store, lens)
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
    first, about = ClipIndex.open(*library_of(store))
    assert sum(embedded) >= 343
    embedded.clear()
    again, about_again = ClipIndex.open(*library_of(store))
    assert embedded == []
    assert about_again.added == 0
    assert (about_again.candidates, about_again.held) == (about.candidates, about.held)
    np.testing.assert_array_equal(best_of(again, again.lens, 5)[0], best_of(first, first.lens, 5)[0])


@pytest.mark.slow
def test_a_graph_that_loses_too_much_becomes_a_list(tmp_path, monkeypatch, embedded):
    monkeypatch.setattr(module, "factory_of", lambda clips: "HNSW32,SQfp16")
    monkeypatch.setattr(module, "WANTED", 1.1)
    store = write_store(tmp_path / "s.zarr")
    _, about = ClipIndex.open(*library_of(store))
    assert (about.kind, about.candidates) == ("Flat", 343)  # as many as there are: fewer never hold enough
    embedded.clear()
    assert ClipIndex.open(*library_of(store))[1] == replace(about, added=0, seconds=ANY)
    assert embedded == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Flat", "HNSW32,SQfp16", "IVF8,SQfp16"])
def test_clips_come_and_go(tmp_path, monkeypatch, kind):
    """New clips are added; of those that are gone the vectors stay, and are not found, until they are a quarter of all."""
    monkeypatch.setattr(module, "factory_of", lambda clips: kind)
    store, lens = library_of(write_store(tmp_path / "s.zarr"))
    everything = valid_rows(store)
    counts = []
    for rows in (everything[:300], everything, everything[20:], everything[200:]):
        monkeypatch.setattr(module, "valid_rows", lambda store, rows=rows: rows)
        kept, about = ClipIndex.open(store, lens)
        counts.append((about.added, len(kept.keys)))
        found = kept.nearest(lens.text, 30)
        assert all(np.isin(one, rows).all() and len(one) == 30 for one in found)
    assert counts == [(300, 300), (43, 343), (0, 343), (143, 143)]


@pytest.mark.slow
def test_other_features_under_the_same_ids_are_another_index(tmp_path, embedded):
    store = write_store(tmp_path / "s.zarr")
    ClipIndex.open(*library_of(store))
    shutil.rmtree(store)
    opened, lens = library_of(write_store(store, seed=1))
    kept, about = ClipIndex.open(opened, lens)
    assert about.added == 343
    np.testing.assert_array_equal(best_of(kept, lens, 3)[0], best_clips(lens, opened, 3)[0])


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "pointer"])
def test_what_was_not_written_here_is_not_read(tmp_path, damage):
    store = write_store(tmp_path / "s.zarr")
    ClipIndex.open(*library_of(store))
    (folder,) = (tmp_path / "s.zarr.index").iterdir()
    (file,) = folder.glob("clips-*.faiss")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "pointer":
        (folder / "index.json").write_text("{}")
    elif damage == "gone":
        file.unlink()
    else:
        file.write_bytes(data if damage == "flipped" else data[:-5])
    opened, lens = library_of(store)
    kept, about = ClipIndex.open(opened, lens)
    assert about.added == 343
    np.testing.assert_array_equal(best_of(kept, lens, 3)[0], best_clips(lens, opened, 3)[0])
    assert len(list(folder.glob("clips-*.faiss"))) == 1


@pytest.mark.slow
def test_an_hdf5_store_and_one_without_captions_have_one(tmp_path):
    store = convert_store(write_store(tmp_path / "s.zarr", captions=0), tmp_path / "s.h5").path
    _, about = ClipIndex.open(*library_of(store))
    assert about.held is None
    assert "not measured" in str(about)
    assert ClipIndex.open(*library_of(store))[1].added == 0


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
    with pytest.raises(OptionInvalid, match="choose exact or faiss"):
        search("a", store=store, preset="mean-pool", index="hnsw")
    with pytest.raises(OptionInvalid, match="draws trials for every clip"):
        search("a", store=store, preset="t-mass", index="faiss")
    monkeypatch.setattr(GatedHead, "has_video_embedding", False)
    with pytest.raises(OptionInvalid, match="no vector of a video without a query"):
        search("a", store=store, preset="mean-pool", index="faiss")
    assert not (tmp_path / "s.zarr.index").exists()
