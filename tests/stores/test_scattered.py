"""Rows that lie far apart are read one by one, and are those that zarr gives."""

import numpy as np
import pytest
import zarr

from gaid.errors import StoreCorrupt
from gaid.stores import StorePlan, StoreWriter, open_store
from gaid.stores.scattered import can_read, read_scattered

ROWS = np.array([1, 40, 41, 77, 160, 399])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """400 clips in five shards; the third shard has no features, and so no file."""
    rng = np.random.default_rng(0)
    plan = StorePlan(
        [f"{row}" for row in range(400)], [], [], [], [0], {}, "all", 3, 4, 2, 2, shard_rows=80, chunk_rows=8
    )
    path = tmp_path_factory.mktemp("scattered") / "s.zarr"
    with StoreWriter.open(path, plan) as writer:
        writer.write_captions(np.empty((0, 2)), np.empty((0, 2)))
        for number in writer.pending_shards:
            valid = np.full(80, number != 2)
            visual = rng.normal(size=(80, 3, 4)).astype(np.float16)
            visual[~valid] = np.nan
            arrays = {
                "visual": visual, "audio": np.zeros((80, 3, 2), np.float16), "audio_mask": rng.random((80, 3)) > 0.5,
                "audio_state": np.full(80, 0, np.uint8), "valid": valid, "time": rng.random((80, 3)).astype(np.float32),
                "duration": rng.random(80).astype(np.float32),
            }  # fmt: skip
            failed = [
                {"id": f"{row + 80 * number}", "reason": "unreadable", "message": ""} for row in np.flatnonzero(~valid)
            ]
            writer.write_shard(number, arrays, failed)
        writer.finish()
    return path


@pytest.mark.parametrize("name", ["visual", "audio_mask", "time", "duration", "audio_state"])
def test_rows_are_those_of_zarr(store, name):
    array = zarr.open_array(store / "videos" / name, mode="r")
    assert can_read(array)
    tail = ["0"] * (array.ndim - 1)
    found = read_scattered(array, ROWS, lambda number: store.joinpath("videos", name, "c", str(number), *tail))
    np.testing.assert_array_equal(found, array[:][ROWS])
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(open_store(store).rows(f"videos/{name}", ROWS), found)


def test_another_layout_is_left_to_zarr(tmp_path):
    plain = zarr.create_array(tmp_path / "a", shape=(8, 2), dtype="f2", chunks=(2, 2), compressors=None)
    packed = zarr.create_array(tmp_path / "b", shape=(8, 2), dtype="f2", chunks=(2, 2), shards=(4, 2))
    narrow = zarr.create_array(tmp_path / "c", shape=(8, 2), dtype="f2", chunks=(2, 1), shards=(4, 2), compressors=None)
    assert not any(map(can_read, (plain, packed, narrow)))


def test_a_file_that_was_cut_after_the_opening_is_damage(store):
    opened = open_store(store)
    file = store / "videos/visual/c/4/0/0"
    data = file.read_bytes()
    file.write_bytes(data[:200])
    with pytest.raises(StoreCorrupt):
        opened.rows("videos/visual", ROWS)
    file.write_bytes(data)
