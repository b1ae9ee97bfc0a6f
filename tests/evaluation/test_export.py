"""Export: what is written is what the head gives, readable with numpy or pyarrow alone."""

import json

import numpy as np
import pytest
import torch

from gaid import evaluate, export
from gaid.errors import DataMissing, DependencyMissing, OptionInvalid
from gaid.heads import build_head
from gaid.heads.features import Features
from gaid.runs import load_run
from gaid.training import train
from tests.training import planted


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    planted.write_store(folder / "store.zarr")
    return train(folder / "store.zarr", "gaid", out=folder / "run", seed=4, set=["epochs=1"], progress=False).path


@pytest.fixture(scope="module")
def npz(run):
    told = export(run, out=run / "vectors.npz")
    with np.load(run / "vectors.npz", allow_pickle=False) as file:
        return told, dict(file)


def test_embeddings_are_those_of_the_head(run, npz):
    told, arrays = npz
    split, head = evaluate(run).bench.split, load_run(run).head
    features = Features.of(split, "cpu")
    assert arrays["video_id"].tolist() == split.video_ids
    assert json.loads(str(arrays["caption_text"])) == split.caption_texts
    expected = head.embed_videos(*features.videos(slice(None))).numpy()
    assert np.allclose(arrays["video_embedding"], expected, atol=1e-6)
    assert np.allclose(np.linalg.norm(arrays["video_embedding"], axis=1), 1, atol=1e-5)
    with torch.no_grad():
        assert np.allclose(arrays["text_embedding"], head.embed_text(features.text).numpy(), atol=1e-6)
    assert (told.videos, told.queries, told.dim) == (len(split.video_ids), len(split.caption_ids), expected.shape[1])


def test_scores_and_ranks_are_those_of_an_evaluation(run, npz):
    results, arrays = evaluate(run), npz[1]
    for direction in ("t2v", "v2t"):
        assert (arrays[f"rank_{direction}"] == results.ranks[direction][0]).all()
    best = np.sort(arrays["scores"], axis=1)[:, ::-1][:, : results.best_scores.shape[1]]
    assert np.allclose(best, results.best_scores, atol=1e-6)
    own = arrays["scores"][np.arange(len(arrays["caption_video"])), arrays["caption_video"]]
    assert ((arrays["scores"] >= own[:, None]).sum(axis=1) == arrays["rank_t2v"]).all()


def test_the_file_says_what_it_rests_on(run, npz):
    about = json.loads(str(npz[1]["about"]))
    assert about["run"] == str(run)
    assert (about["seed"], about["preset"], about["split"]) == (4, "gaid", "test")


@pytest.mark.slow
def test_parquet_holds_the_same_as_npz(run, npz, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    monkeypatch.setattr("gaid.evaluation.export._GROUP", 5)  # several row groups
    told, arrays = export(run, out=run / "vectors.parquet"), npz[1]
    assert [file.name for file in told.files] == ["vectors.parquet", "vectors.videos.parquet"]
    queries, videos = (parquet.read_table(file) for file in told.files)
    assert queries["caption_id"].to_pylist() == arrays["caption_id"].tolist()
    assert queries["rank"].to_pylist() == arrays["rank_t2v"].tolist()
    assert videos["rank"].to_pylist() == arrays["rank_v2t"].tolist()
    assert videos["video_id"].to_pylist() == arrays["video_id"].tolist()
    assert np.allclose(videos["embedding"].to_pylist(), arrays["video_embedding"])
    assert np.allclose(queries["embedding"].to_pylist(), arrays["text_embedding"])
    assert np.allclose(queries["scores"].to_pylist(), arrays["scores"])
    assert parquet.ParquetFile(told.files[0]).num_row_groups > 1
    assert json.loads(queries.schema.metadata[b"gaid"])["columns_of_scores"] == "vectors.videos.parquet"


def test_a_store_is_exported_through_a_head_without_training(make_store, tmp_path):
    store = make_store(videos=7, captions=2, signal=1.0)
    export(store, out=tmp_path / "store.npz")
    with np.load(tmp_path / "store.npz") as file:
        arrays = dict(file)
    head = build_head("mean-pool", visual_dim=64, audio_dim=64, text_dim=64, dim=64, frames=12)
    split = store.split("test")
    expected = head.score(*(torch.from_numpy(one) for one in (split.text, split.visual, split.audio)))
    assert np.allclose(arrays["scores"], expected, atol=1e-6)


def test_all_clips_are_exported_without_their_captions(make_store, tmp_path):
    pyarrow = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    store = make_store(videos=7, captions=2, signal=1.0)
    told = export(store, out=tmp_path / "clips.parquet", split="clips", preset="gaid")
    assert (told.videos, told.queries) == (7, 0)
    table = pyarrow.read_table(tmp_path / "clips.parquet")
    assert table.column_names == ["video_id", "duration", "embedding"]
    assert table["video_id"].to_pylist() == store.ids


def test_a_head_without_embeddings_of_its_own_exports_scores_and_says_so(make_store, heads, tmp_path):
    told = export(make_store(videos=7, captions=2, signal=1.0), out=tmp_path / "m.npz", preset=f"{heads}:Mean")
    with np.load(tmp_path / "m.npz") as file:
        assert "video_embedding" not in file
        assert file["scores"].shape == (14, 7)
    assert told.dim is None
    assert any("no embedding of a video without a query" in note for note in told.notes)


def test_mistakes_name_the_remedy(make_store, tmp_path, monkeypatch):
    store = make_store(videos=7, captions=2, signal=1.0)
    with pytest.raises(OptionInvalid, match=r"must be \.npz or \.parquet"):
        export(store, out=tmp_path / "x.csv")
    with pytest.raises(OptionInvalid, match="contradict each other"):
        export(store, out=tmp_path / "x.npz", format="parquet")
    with pytest.raises(DataMissing, match="neither a run nor a store"):
        export(tmp_path / "nowhere", out=tmp_path / "x.npz")
    with pytest.raises(OptionInvalid, match="is not a run"):
        export(store.path, out=tmp_path / "x.npz", store=store.path)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DependencyMissing, match=r"pip install 'gaid\[parquet\]'"):
        export(store, out=tmp_path / "x.parquet")
    assert not list(tmp_path.iterdir())
