"""A store is plain zarr of format 3: zarr alone reads and writes it, and what zarr may lay out otherwise is read too."""

import hashlib
import json

import numpy as np
import pytest
import zarr

from gaid.stores import arrays as store_arrays
from gaid.stores import open_store
from gaid.stores.schema import ArraySpec
from gaid.stores.zarr import ZarrArrays, create, write_rows
from tests.stores.toy import fill, make_plan

ROWS = 23  # two whole shards of 8 and one of 7, whose last chunk is not full
SPECS = [
    ArraySpec("a/features", "float16", (ROWS, 3, 5), "videos", float("nan")),
    ArraySpec("a/flags", "bool", (ROWS, 3), "videos", False),
    ArraySpec("a/state", "uint8", (ROWS,), "videos", 3),
]
LISTS = [[], [0], [22], [7, 8], [0, 1, 2, 3], [1, 4, 9, 10, 17, 22], list(range(ROWS))]


def values_of(spec):
    drawn = np.random.default_rng(0).standard_normal(spec.shape) * 50
    return (drawn > 0) if spec.dtype == "bool" else drawn.astype(np.int64).astype(spec.dtype)


def files_of(path):
    return {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def make(path, specs=SPECS):
    create(path, {"arrays": [spec.name for spec in specs]}, {}, specs, shard_rows=8, chunk_rows=2)
    return path


@pytest.fixture
def written(tmp_path):
    """Arrays filled shard by shard, as an extraction fills them."""
    path = make(tmp_path / "ours")
    for spec in SPECS:
        for start in range(0, ROWS, 8):
            write_rows(path, spec.name, start, values_of(spec)[start : start + 8])
    return path


def test_shards_written_one_by_one_have_the_bytes_of_one_writing_by_zarr(written, tmp_path):
    theirs = make(tmp_path / "theirs")
    for spec in SPECS:
        zarr.open_array(theirs / spec.name, mode="r+")[:] = values_of(spec)
    assert files_of(written) == files_of(theirs)


@pytest.mark.parametrize("rows", LISTS)
def test_rows_are_those_that_zarr_reads(written, rows):
    for spec in SPECS:
        found = ZarrArrays(written).rows(spec.name, np.array(rows, np.int64))
        assert found.dtype == spec.dtype
        assert np.array_equal(found, zarr.open_array(written / spec.name, mode="r")[:][rows])
        assert np.array_equal(found, values_of(spec)[rows])


@pytest.mark.parametrize("rows", LISTS)
def test_rows_read_in_small_pieces_are_the_same(written, rows, monkeypatch):
    monkeypatch.setattr(store_arrays, "_PIECE_BYTES", 1)
    for spec in SPECS:
        assert np.array_equal(ZarrArrays(written).rows(spec.name, np.array(rows, np.int64)), values_of(spec)[rows])


def test_few_rows_of_a_large_array_do_not_bring_what_lies_between_them(written, monkeypatch):
    monkeypatch.setattr("gaid.stores.zarr.SMALL", 0)  # rows that are not small
    read = []
    original = store_arrays.StoreArray.__getitem__
    monkeypatch.setattr(store_arrays.StoreArray, "__getitem__", lambda a, key: read.append(key) or original(a, key))
    ZarrArrays(written).rows("a/features", np.array([1, 2, 20]))
    assert read == [slice(1, 3), slice(20, 21)]


@pytest.mark.parametrize(
    "options", [{"compressors": "auto"}, {"shards": None}, {"chunks": (2, 1, 5), "shards": (8, 3, 5)}]
)
def test_an_array_of_another_layout_is_read_too(tmp_path, options):
    group = zarr.create_group(tmp_path / "s", zarr_format=3, attributes={"arrays": ["x"]})
    layout = {"chunks": (2, 3, 5), "shards": (8, 3, 5), "compressors": None, **options}
    group.create_array("x", shape=(ROWS, 3, 5), dtype="float16", **layout)[:] = values_of(SPECS[0])
    found = ZarrArrays(tmp_path / "s").rows("x", np.array([1, 5, 22]))
    assert np.array_equal(found, values_of(SPECS[0])[[1, 5, 22]])


def test_chunks_of_the_fill_value_that_earlier_versions_wrote_are_read(written, tmp_path):
    """They wrote every chunk. zarr does so where no chunk is the fill value, here by another fill value."""
    spec = ArraySpec("a/flags", "bool", (ROWS, 3), "videos", False)
    write_rows(written, spec.name, 0, np.zeros((8, 3), bool))
    before = make(tmp_path / "before", [ArraySpec("a/flags", "bool", (ROWS, 3), "videos", True)])
    write_rows(before, spec.name, 0, np.zeros((8, 3), bool))
    earlier, file = before / "a/flags/c/0/0", written / "a/flags/c/0/0"
    assert not file.exists()
    assert earlier.stat().st_size == 8 * 3 + 4 * 16 + 4  # every chunk, then where each is, then a checksum
    assert not ZarrArrays(written).rows("a/flags", np.arange(8)).any()
    file.write_bytes(earlier.read_bytes())
    assert not ZarrArrays(written).rows("a/flags", np.arange(8)).any()


def test_what_a_killed_writer_left_of_a_shard_is_written_over(written):
    file = written / "a/features/c/2/0/0"
    whole = file.read_bytes()
    file.write_bytes(whole[:-3])
    write_rows(written, "a/features", 16, values_of(SPECS[0])[16:])
    assert file.read_bytes() == whole


def test_a_marker_lists_the_files_of_its_shard_with_their_digests(tmp_path):
    store = fill(tmp_path / "s.zarr", make_plan(shard_rows=4, chunk_rows=2))
    listed = json.loads((store.path / "shards/00001.json").read_text())["files"]
    there = [file for file in store.path.glob("videos/*/c/1/**/*") if file.is_file()]
    there += [file for file in store.path.glob("videos/*/c/1") if file.is_file()]
    assert set(listed) == {file.relative_to(store.path).as_posix() for file in there}
    for name, told in listed.items():
        content = (store.path / name).read_bytes()
        assert told == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert "videos/short/c/1" not in listed  # all values are the fill value
    assert not open_store(store.path)["videos/short"][4:].any()
