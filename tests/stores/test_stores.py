"""A store keeps what was written, through kills and damage; one suite, for zarr and for HDF5."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr

from gaid.errors import (
    DataInvalid,
    DataMissing,
    HeadMismatch,
    OptionInvalid,
    StoreIncomplete,
    StoreInvalid,
    StoreLocked,
    StoresDisagree,
)
from gaid.stores import StoreWriter, convert_store, delete_store, hash_gallery, open_store, read_clips
from tests.stores.toy import edit_attributes, fill, make_plan, shard_arrays


@pytest.fixture(params=[".zarr", ".h5"])
def path(request, tmp_path):
    return tmp_path / f"toy{request.param}"


@pytest.mark.slow
def test_what_was_written_is_read(path):
    store = fill(path)
    wanted = np.concatenate([shard_arrays(rows, make_plan(), n)["visual"] for n, rows in enumerate((2, 2, 2, 1))])
    wanted[4] = 0
    assert np.array_equal(store["videos/visual"][:], wanted)
    assert store.ids == make_plan().video_ids
    assert list(store["captions/text"]) == list(make_plan().caption_texts)
    assert store.protocols == {"9k": {"train": 4, "val": 1, "test": 3}, "all": {"test": 8}}
    assert store.verify().ok, store.verify().problems


@pytest.mark.slow
def test_the_bytes_are_plain_zarr_and_hdf5(tmp_path):
    """Read past the code under test, as another language would."""
    wanted = fill(tmp_path / "toy.zarr")["videos/audio"][:]
    fill(tmp_path / "toy.h5")
    assert np.array_equal(zarr.open_array(tmp_path / "toy.zarr" / "videos" / "audio", mode="r")[:], wanted)
    with h5py.File(tmp_path / "toy.h5") as file:
        assert np.array_equal(file["videos/audio"][:], wanted)
        offsets, data = file["captions/text_offsets"][:], file["captions/text_bytes"][:].tobytes()
        assert data[offsets[3] : offsets[4]].decode() == "ünïcode"
    assert not (tmp_path / "toy.h5.shards.zarr").exists()


@pytest.mark.slow
def test_a_split_holds_the_valid_videos_that_its_captions_name(path):
    split = fill(path, failed=(5,)).split("test")
    assert split.video_ids == ["clip 6 ä"]
    assert split.caption_ids == ["c6", "c7"]
    assert split.caption_video.tolist() == [0, 0]
    assert split.census["asked"] == 2
    assert split.census["failed: unreadable"] == 1
    assert split.visual.shape == (1, 3, 4)
    assert split.text.shape == (2, 5)


@pytest.mark.slow
@pytest.mark.parametrize("first", [".zarr", ".h5"])
def test_conversion_loses_nothing_either_way(tmp_path, first):
    second = {".zarr": ".h5", ".h5": ".zarr"}[first]
    source = fill(tmp_path / f"a{first}")
    there = convert_store(source.path, tmp_path / f"b{second}")
    back = convert_store(there.path, tmp_path / f"c{first}")
    for store in (there, back):
        assert store.content_digest() == source.content_digest()
        assert store.attrs == source.attrs
        assert store.failures == source.failures
        assert store.verify().ok
    with pytest.raises(OptionInvalid, match="already"):
        convert_store(source.path, back.path)


def test_a_store_of_before_audio_tokens_is_the_same_store_still():
    # As the version before computed it: what is extracted already must open and go on.
    plan = make_plan(patches=(2, 4), schema=1)
    assert plan.fingerprint == "ff2179c12e0f210cdce77dda56aedc612cf5f9643ddab9f0d93b09bf77f9f20b"
    assert not {"audio_tokens", "audio_clip_tokens"} & {*plan.layout, *plan.identity}


@pytest.mark.slow
def test_audio_tokens_are_kept_through_conversion_and_read_when_asked_for(path):
    plan = make_plan(audio_tokens=(4, 6))
    store = fill(path, plan)
    there = convert_store(store.path, path.with_name("other" + {".zarr": ".h5", ".h5": ".zarr"}[path.suffix]))
    wanted = np.concatenate([shard_arrays(rows, plan, n)["audio_tokens"] for n, rows in enumerate((2, 2, 2, 1))])
    for one in (store, there):
        assert one.audio_token_shape == (4, 6)
        split = one.split("test")
        assert np.array_equal(split.audio_as("tokens"), wanted[[5, 6]])
        assert split.audio_as("frames") is split.audio
        assert np.array_equal(read_clips(one, np.array([0, 6])).audio_as("tokens"), wanted[[0, 6]])
        assert one.verify().ok
    assert there.content_digest() == store.content_digest()
    with pytest.raises(StoresDisagree, match="audio_tokens"):
        StoreWriter.open(path, make_plan())


@pytest.mark.slow
def test_tokens_of_whole_clips_are_kept_through_conversion_and_read_when_asked_for(path):
    plan = make_plan(audio_clip_tokens=(4, 6))
    store = fill(path, plan)
    there = convert_store(store.path, path.with_name("other" + {".zarr": ".h5", ".h5": ".zarr"}[path.suffix]))
    wanted = np.concatenate([shard_arrays(rows, plan, n)["audio_clip_tokens"] for n, rows in enumerate((2, 2, 2, 1))])
    for one in (store, there):
        assert one.audio_clip_token_shape == (4, 6)
        assert one.audio_token_dims == {"clip": 6}
        split = one.split("test")
        assert np.array_equal(split.audio_as("clip"), wanted[[5, 6]])
        assert np.array_equal(split.take(np.array([1])).audio_as("clip"), wanted[[6]])
        assert one.info()["arrays"]["videos/audio_clip_tokens"]["shape"] == [7, 4, 6]
        assert one.verify().ok
    assert there.content_digest() == store.content_digest()
    with pytest.raises(StoresDisagree, match="audio-clip-tokens there, not now"):
        StoreWriter.open(path, make_plan())


@pytest.mark.slow
def test_a_store_without_tokens_of_whole_clips_says_what_makes_one(path):
    with pytest.raises(HeadMismatch, match="gaid extract --audio-clip-tokens"):
        fill(path).split("test").audio_as("clip")


@pytest.mark.slow
def test_a_store_without_audio_tokens_says_what_makes_one(path):
    store = fill(path)
    assert store.audio_token_shape is None
    with pytest.raises(HeadMismatch, match="gaid extract --audio-tokens"):
        store.split("test").audio_as("tokens")


def test_tokens_of_a_frame_without_sound_are_a_fault(tmp_path):
    plan = make_plan(audio_tokens=(4, 6))
    arrays = shard_arrays(2, plan, 0)
    with StoreWriter.open(tmp_path / "s.zarr", plan) as writer:
        with pytest.raises(DataInvalid, match="audio_tokens of a valid row is not finite"):
            writer.write_shard(0, {**arrays, "audio_tokens": np.full_like(arrays["audio_tokens"], np.inf)})
        writer.write_shard(0, {**arrays, "audio_tokens": np.ones_like(arrays["audio_tokens"])})
    fill(tmp_path / "s.zarr", plan)
    problems = open_store(tmp_path / "s.zarr").verify().problems
    assert [one.split(",")[0] for one in problems] == ["videos/audio_tokens: not 0 where the mask is false"]


@pytest.mark.slow
def test_census_counts(path):
    census = fill(path).census
    assert (census["asked"], census["valid"], census["failed"]) == (7, 6, 1)
    assert (census["captions"], census["duplicate captions"]) == (8, 1)


@pytest.mark.slow
def test_each_part_has_its_census_and_the_hash_of_its_gallery(path):
    store = fill(path, failed=(4, 5))
    parts = store.info()["parts"]
    assert {protocol: list(of_part) for protocol, of_part in parts.items()} == {
        "9k": ["test", "train", "val"],
        "all": ["test"],
    }
    test = parts["9k"]["test"]
    assert (test["asked"], test["found"], test["unreadable"], test["valid"]) == (2, 2, 1, 1)
    assert test["gallery_hash"] == store.split("test").gallery_hash == hash_gallery(["clip 6 ä"])
    assert parts["9k"]["val"]["valid"] == 0
    for part in ("train", "test"):
        assert store.split(part).census == {
            key: value for key, value in parts["9k"][part].items() if key != "gallery_hash"
        }


def test_a_census_of_an_earlier_version_still_verifies(tmp_path):
    store = fill(tmp_path / "toy.zarr")
    file = store.path / "zarr.json"
    document = json.loads(file.read_text())
    del document["attributes"]["census"]["unreadable"]
    file.write_text(json.dumps(document))
    (store.path / "shards/census.json").unlink()  # which there was not yet
    assert open_store(store.path).verify().ok
    document["attributes"]["census"]["asked"] = 8
    file.write_text(json.dumps(document))
    assert open_store(store.path).verify().problems == ["census: not that of the contents"]


@pytest.mark.slow
def test_an_extraction_of_something_else_is_refused_by_name(path):
    fill(path)
    with pytest.raises(StoresDisagree, match="the visual backbone: tiny there, clip now"):
        StoreWriter.open(path, make_plan(attrs={"backbones": {"visual": {"name": "clip"}}}))
    with pytest.raises(StoresDisagree, match="captions"):
        StoreWriter.open(path, make_plan(caption_texts=list("abcdefgh")))
    with StoreWriter.open(path, make_plan(attrs={**make_plan().attrs, "created": "tomorrow"})) as writer:
        assert writer.finished
    with StoreWriter.open(path, make_plan(frames=4), overwrite=True) as writer:
        assert not writer.finished


@pytest.mark.slow
def test_one_store_has_one_writer_and_a_dead_ones_lock_is_free(path):
    code = (
        "import sys, os; sys.path.insert(0, sys.argv[1]); from test_stores import *\n"
        "w = StoreWriter.open(sys.argv[2], make_plan()); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(Path(__file__).parent), str(path)], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:  # fmt: skip
        assert other.stdout.readline() == "open\n"
        with pytest.raises(StoreLocked):
            StoreWriter.open(path, make_plan())
        other.kill()
    fill(path)


def test_a_shard_has_one_writer(tmp_path):
    plan = make_plan()
    with StoreWriter.open(tmp_path / "s.zarr", plan) as writer:
        worker = StoreWriter.attach(writer.path, plan.fingerprint)
        worker.write_shard(1, shard_arrays(2, plan, 1))
        with pytest.raises(StoreLocked, match="one writer"):
            writer.write_shard(1, shard_arrays(2, plan, 1))
        with pytest.raises(StoresDisagree):
            StoreWriter.attach(writer.path, "another")


def test_an_incomplete_store_says_so(tmp_path):
    with StoreWriter.open(tmp_path / "s.zarr", make_plan()) as writer:
        writer.write_shard(0, shard_arrays(2, make_plan(), 0))
    with pytest.raises(StoreIncomplete, match="4 of 5"):
        open_store(tmp_path / "s.zarr")
    store = open_store(tmp_path / "s.zarr", incomplete=True)
    assert np.isnan(store["videos/visual"][2:]).all()  # never zeros: those would look like a silent, black video
    assert [shard["rows"] for shard in store.iter_shards()] == [slice(0, 2)]


def test_what_is_no_store_is_told_in_one_line(tmp_path):
    (tmp_path / "folder.zarr").mkdir()
    (tmp_path / "text.h5").write_text("no")
    zarr.create_group(tmp_path / "foreign.zarr")
    for name in ("folder.zarr", "text.h5", "foreign.zarr"):
        with pytest.raises(StoreInvalid, match=name) as caught:
            open_store(tmp_path / name)
        assert "\n" not in str(caught.value)
        with pytest.raises(StoreInvalid):
            delete_store(tmp_path / name)
    with pytest.raises(DataMissing, match="gaid extract"):
        open_store(tmp_path / "absent.zarr")
    with pytest.raises(OptionInvalid, match=r"\.zarr"):
        StoreWriter.open(tmp_path / "store.npy", make_plan())


def test_a_store_that_the_system_will_not_open_is_told_in_the_systems_words(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    store = fill(tmp_path / "s.zarr")
    monkeypatch.setattr(zarr, "open_group", refuse)
    with pytest.raises(StoreInvalid, match=r"s\.zarr: can't be opened: Permission denied$"):
        open_store(store.path)


def test_a_newer_schema_is_refused_by_number(tmp_path):
    store = fill(tmp_path / "s.zarr")
    edit_attributes(store.path, lambda attributes: attributes.update(gaid_schema=3))
    with pytest.raises(StoreInvalid, match="schema 3"):
        open_store(store.path)


def test_features_that_are_no_numbers_are_refused(tmp_path):
    arrays = shard_arrays(2, make_plan(), 0)
    arrays["visual"][1, 0, 0] = np.nan
    with StoreWriter.open(tmp_path / "s.zarr", make_plan()) as writer, pytest.raises(DataInvalid, match="not finite"):
        writer.write_shard(0, arrays)


def test_a_plan_that_contradicts_itself_is_refused():
    with pytest.raises(DataInvalid, match="twice"):
        make_plan(video_ids=["a"] * 7)
    with pytest.raises(DataInvalid, match="not there"):
        make_plan(caption_video=[0, 1, 2, 3, 4, 5, 6, 7])
