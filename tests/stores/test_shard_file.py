"""A shard's file has zarr's bytes, and rows come back from it as zarr gives them, whatever wrote it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr

from gaid.stores import shard_file
from gaid.stores.schema import ArraySpec
from gaid.stores.zarr import ZarrArrays, create, write_shards

ROWS = 23  # two whole shards of 8 and one of 7, whose last chunk is not full
SPECS = [
    ArraySpec("a/features", "float16", (ROWS, 3, 5), "videos", float("nan")),
    ArraySpec("a/flags", "bool", (ROWS, 3), "videos", False),
    ArraySpec("a/state", "uint8", (ROWS,), "videos", 3),
]


def values_of(spec):
    drawn = np.random.default_rng(0).standard_normal(spec.shape) * 50
    return (drawn > 0) if spec.dtype == "bool" else drawn.astype(np.int64).astype(spec.dtype)


@pytest.fixture
def places(tmp_path):
    """The same arrays written by us and by zarr."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for path in (ours, theirs):
        create(path, {"arrays": [spec.name for spec in SPECS]}, {}, SPECS, shard_rows=8, chunk_rows=2)
    for spec in SPECS:
        array = zarr.open_array(theirs / spec.name, mode="r+", config={"write_empty_chunks": True})
        array[:] = values_of(spec)
    for number in range(3):
        rows = slice(8 * number, min(8 * number + 8, ROWS))
        with ThreadPoolExecutor(2) as pool:
            write_shards(ours, number, 8, 2, {spec: values_of(spec)[rows] for spec in SPECS}, pool)
    return ours, theirs


def test_the_bytes_are_those_that_zarr_writes(places):
    """But for chunks of nothing but the fill value (flags): zarr leaves those out of a shard, we don't."""
    for spec in (SPECS[0], SPECS[2]):
        for number in range(3):
            ours, theirs = ((path / spec.name / "c" / str(number)) for path in places)
            files = [file for file in (ours, *ours.rglob("*")) if file.is_file()]
            assert len(files) == 1
            assert files[0].read_bytes() == (theirs / files[0].relative_to(ours)).read_bytes()


def test_zarr_reads_what_was_written(places):
    for path in places:
        for spec in SPECS:
            assert np.array_equal(zarr.open_array(path / spec.name, mode="r")[:], values_of(spec))


@pytest.mark.parametrize("rows", [[0], [22], [7, 8], [0, 1, 2, 3], [1, 4, 9, 10, 17, 22], list(range(ROWS))])
def test_rows_come_back_without_zarr(places, rows):
    for spec in SPECS:
        folder = places[0] / spec.name
        layout = shard_file.ShardLayout.of(folder)
        found = shard_file.read_rows(folder, layout, np.array(rows))
        assert found.dtype == spec.dtype
        assert np.array_equal(found, values_of(spec)[rows])


def test_the_digest_told_is_that_of_the_file(tmp_path):
    import hashlib

    create(tmp_path / "s", {"arrays": []}, {}, SPECS, shard_rows=8, chunk_rows=2)
    with ThreadPoolExecutor(2) as pool:
        files = write_shards(tmp_path / "s", 2, 8, 2, {spec: values_of(spec)[16:] for spec in SPECS}, pool)
    assert len(files) == 3
    for file, told in files.items():
        assert told == {"bytes": file.stat().st_size, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


@pytest.mark.parametrize(
    "options", [{"compressors": "auto"}, {"shards": None}, {"chunks": (2, 1, 5), "shards": (8, 3, 5)}]
)
def test_an_array_of_another_make_is_left_to_zarr(tmp_path, options):
    group = zarr.create_group(tmp_path / "s", zarr_format=3, attributes={"arrays": ["x"]})
    layout = {"chunks": (2, 3, 5), "shards": (8, 3, 5), "compressors": None, **options}
    group.create_array("x", shape=(ROWS, 3, 5), dtype="float16", **layout)[:] = values_of(SPECS[0])
    assert shard_file.ShardLayout.of(tmp_path / "s" / "x") is None
    found = ZarrArrays(tmp_path / "s").rows("x", np.array([1, 5, 22]))
    assert np.array_equal(found, values_of(SPECS[0])[[1, 5, 22]])


def test_a_shard_that_is_not_there_or_cut_short_is_left_to_zarr(places):
    ours, _ = places
    spec, folder = SPECS[0], ours / SPECS[0].name
    layout = shard_file.ShardLayout.of(folder)
    layout.file(folder, 1).unlink()
    found = ZarrArrays(ours).rows(spec.name, np.arange(ROWS))
    assert np.isnan(found[8:16]).all()
    assert np.array_equal(found[:8], values_of(spec)[:8])
    cut = layout.file(folder, 0)
    cut.write_bytes(cut.read_bytes()[:-3])
    assert shard_file.read_rows(folder, layout, np.arange(4)) is None
