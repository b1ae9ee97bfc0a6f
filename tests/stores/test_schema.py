"""Two schemas: what one adds, and that a store of the older one is what it was.

`data/schema-1.tar.xz` was written by the version before schema 2: `demo` of 1 + 1 + 4 clips from seed 3, two frames per
clip, `tiny`, as zarr and as HDF5; `data/schema-1.json` is what that version made of it.
"""

import hashlib
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

import gaid
from gaid.errors import DataInvalid, HeadMismatch, StoresDisagree
from gaid.stores import StoreWriter, convert_store, open_store, read_clips, schema
from tests.stores.toy import fill, make_plan

DATA = Path(__file__).parent / "data"
BEFORE = json.loads((DATA / "schema-1.json").read_text())


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(DATA / "schema-1.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("name", ["schema1.zarr", "schema1.h5"])
def test_a_store_of_schema_1_reads_as_before(old: Path, name: str) -> None:
    store = open_store(old / name)
    assert store.verify().ok
    assert (store.schema, store.attrs["schema"], store.has_audio_text) == (1, 1, False)
    assert store.fingerprint == BEFORE["fingerprint"]
    assert store.content_digest() == BEFORE["digest"]
    assert store.names() == BEFORE["names"]
    split = store.split("test")
    assert split.audio_text is None
    assert split.text_as("text") is split.text
    with pytest.raises(HeadMismatch, match="has no captions in it; extract again"):
        split.text_as("both")


@pytest.mark.parametrize("preset", ["mean-pool", "gaid"])
def test_a_store_of_schema_1_is_evaluated_as_before(old: Path, preset: str) -> None:
    found = gaid.evaluate(store=old / "schema1.zarr", preset=preset, split="test", device="cpu").to_dict()
    for direction in ("t2v", "v2t"):
        assert found[direction] == BEFORE[preset][direction]


def test_a_store_of_schema_1_is_searched_as_before(old: Path) -> None:
    asked = ["a red circle and a drum", "birds"]
    found = gaid.search(asked, store=old / "schema1.zarr", preset="mean-pool", top=3, device="cpu")
    for answer, before in zip(found.answers, BEFORE["search"], strict=True):
        assert [hit.video for hit in answer.hits] == [video for video, _ in before]
        assert [hit.score for hit in answer.hits] == pytest.approx([score for _, score in before], abs=1e-5)


@pytest.mark.slow
def test_a_conversion_keeps_the_schema(old: Path, tmp_path: Path) -> None:
    there = convert_store(old / "schema1.h5", tmp_path / "again.zarr")
    assert (there.schema, there.fingerprint) == (1, BEFORE["fingerprint"])
    assert there.content_digest() == BEFORE["digest"]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".zarr", ".h5"])
def test_captions_in_the_sounds_own_space_are_kept(tmp_path: Path, suffix: str) -> None:
    plan = make_plan(audio_text=True)
    store = fill(tmp_path / f"s{suffix}", plan)
    there = convert_store(store.path, tmp_path / ("other" + {".zarr": ".h5", ".h5": ".zarr"}[suffix]))
    for one in (store, there):
        assert (one.schema, one.has_audio_text) == (2, True)
        assert one.verify().ok
        whole = one["captions/audio_embedding"][:]
        assert whole.shape == (8, one.audio_dim)
        split = one.split("test")
        np.testing.assert_array_equal(split.audio_text, whole[[5, 6, 7]])
        both = split.text_as("both")
        np.testing.assert_array_equal(both, np.concatenate([split.text, split.audio_text], axis=1))
        np.testing.assert_array_equal(split.take(np.array([1])).audio_text, whole[[6, 7]])
        np.testing.assert_array_equal(split.first_captions().audio_text, whole[[5, 6]])
        assert read_clips(one, np.array([0])).text_as("both").shape == (0, one.text_dim + one.audio_dim)
    assert there.content_digest() == store.content_digest()


def test_captions_are_written_as_the_plan_says(tmp_path: Path) -> None:
    words, tokens = np.zeros((8, 5)), np.zeros((11, 5))
    with StoreWriter.open(tmp_path / "with.zarr", make_plan(audio_text=True)) as writer:
        with pytest.raises(DataInvalid, match=r"\['captions/audio_embedding'\] are missing"):
            writer.write_captions(words, tokens)
        with pytest.raises(DataInvalid, match=r"captions/audio_embedding has shape \(8, 5\), expected \(8, 2\)"):
            writer.write_captions(words, tokens, words)
    with (
        StoreWriter.open(tmp_path / "without.zarr", make_plan()) as writer,
        pytest.raises(DataInvalid, match=r"\['captions/audio_embedding'\] are missing or unknown"),
    ):
        writer.write_captions(words, tokens, np.zeros((8, 2)))
    with pytest.raises(DataInvalid, match="need schema 2"):
        make_plan(audio_text=True, schema=1)


def test_a_store_without_such_captions_names_them_nowhere() -> None:
    plan = make_plan()
    assert "audio_text" not in {**plan.layout, **plan.identity}


def test_a_store_that_was_begun_in_schema_1_is_resumed_in_schema_1(tmp_path: Path) -> None:
    old, new = make_plan(schema=1), make_plan(audio_text=True)
    StoreWriter.open(tmp_path / "s.zarr", old).close()
    with StoreWriter.open(tmp_path / "s.zarr", new) as writer:
        assert not writer.has_audio_text
        assert writer.fingerprint == old.fingerprint
    with StoreWriter.open(tmp_path / "s.zarr", new, overwrite=True) as writer:
        assert writer.has_audio_text
        assert writer.fingerprint == new.fingerprint


def test_a_store_of_schema_2_is_not_resumed_without_the_captions_that_it_has(tmp_path: Path) -> None:
    StoreWriter.open(tmp_path / "s.zarr", make_plan(audio_text=True)).close()
    with pytest.raises(StoresDisagree, match="captions in the sound's own text space: there, not now"):
        StoreWriter.open(tmp_path / "s.zarr", make_plan())


@pytest.mark.parametrize("count", [0, 1, 3, 4, 10])
def test_long_lists_are_digested_and_read_in_blocks_as_if_whole(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(schema, "_AT_ONCE", 3)
    texts = [f'{"é" * row} "{row}"' for row in range(count)]
    assert schema.digest_list(texts) == schema.digest_json(texts)
    cut = [[text, None, 1.5, True] for text in texts]
    assert schema.digest_list(cut, (", ", ": ")) == hashlib.sha256(json.dumps(cut).encode()).hexdigest()
    assert schema.decode_texts(*schema.encode_texts(texts)) == texts
