"""`gaid store prune` takes back what is not live, many small parts become one, and a fault at any moment loses nothing."""

import os
import shutil

import pytest

from gaid.errors import StoreIncomplete
from gaid.stores import open_store, verify_store
from gaid.stores.compaction import merge_small_parts, prune_store
from gaid.stores.library_writer import LibraryWriter
from tests.stores.toy import fill, make_plan
from tests.stores.toy_library import grow

pytestmark = pytest.mark.slow


@pytest.fixture
def grown(tmp_path):
    """A store of two parts. Of the first part's four shards one is whole, two are half live and one is not live."""
    path = fill(tmp_path / "s.zarr", failed=(0,)).path
    grow(path, ["x", "y", "z"], keep=[0, 1, 3, 4])
    return path


def content(path):
    store = open_store(path)
    return [store.content_digest(), store.ids, store.failures, store.census]


def live_bytes(path):
    return sum(file.stat().st_size for file in path.glob("**/videos/visual/c/**/*") if file.is_file())


def test_pruning_keeps_what_is_live_and_takes_back_the_rest(grown):
    before, size = content(grown), live_bytes(grown)
    facts = [(folder / "sources/00009.json") for folder in (grown, grown / "library/part-00001.zarr")]
    for file in facts:  # of a shard that a kill left without its marker
        file.parent.mkdir(exist_ok=True)
        file.write_text("[]")
    report = prune_store(grown)
    assert report.rows == 3
    assert content(grown) == before
    assert live_bytes(grown) < size
    assert verify_store(grown).problems == []
    assert not any(file.exists() for file in facts)
    assert prune_store(grown).rows == 0
    with LibraryWriter.open(grown) as library:
        assert library.own("mine").tolist() == [0, 1, 2]
        assert sum(len(part.rows) for part in library.parts.values()) == 7


def test_a_store_that_never_grew_has_nothing_to_prune(tmp_path):
    path = fill(tmp_path / "s.zarr").path
    before = content(path)
    assert prune_store(path).rows == 0
    assert content(path) == before
    assert not (path / "library").exists()


def test_what_a_killed_extraction_left_is_taken_back(grown):
    left = grown / "library/part-00009.zarr"
    shutil.copytree(grown / "library/part-00001.zarr", left)
    (left / "shards/00000.json").unlink()
    prune_store(grown)
    assert not left.exists()


def test_a_growth_that_was_not_finished_is_not_pruned(tmp_path):
    path = fill(tmp_path / "s.zarr").path
    with (
        LibraryWriter.open(path) as library,
        library.new_part(make_plan(video_ids=["x"], caption_video=[-1] * 8, splits={})),
    ):
        pass
    with pytest.raises(StoreIncomplete, match="run it again, then prune"):
        prune_store(path)
    assert len(open_store(path).ids) == 7


def test_a_number_of_a_part_is_never_used_again(grown):
    grow(grown, ["v"], keep=[0], seed=60)
    grow(grown, ["w"], keep=[0], seed=70)
    prune_store(grown)
    there = {part.name for part in (grown / "library").glob("part-*")}
    grow(grown, ["u"], keep=[0], seed=80)
    new = {part.name for part in (grown / "library").glob("part-*")} - there
    assert new == {"part-00005.zarr"}  # the fourth was made by pruning


def test_many_small_parts_become_one(grown, monkeypatch):
    monkeypatch.setattr("gaid.stores.compaction.MOST_SMALL", 2)
    for number in range(2):
        keep = range(len(open_store(grown).ids))
        grow(grown, [f"more {number}"], keep=keep, seed=60 + 10 * number)
    before = content(grown)
    with LibraryWriter.open(grown) as library:
        merge_small_parts(library)
        assert [name for name in library.parts if name] == ["library/part-00004.zarr"]
    assert content(grown) == before
    assert verify_store(grown).problems == []


def test_a_fault_at_any_moment_of_pruning_loses_nothing(grown, tmp_path, monkeypatch):
    """From one of its operations on files on, all fail, as if the process were killed there; for twelve operations in turn."""
    before = content(grown)
    again = tmp_path / "again.zarr"
    shutil.copytree(grown, again)
    with monkeypatch.context() as patch:
        total = fail_from(patch, 10**6)
        prune_store(again)
    for fault in range(1, total[0], total[0] // 12):
        shutil.rmtree(again)
        shutil.copytree(grown, again)
        with monkeypatch.context() as patch:
            fail_from(patch, fault)
            with pytest.raises(OSError, match="killed here"):
                prune_store(again)
        assert content(again) == before, fault
        prune_store(again)
        assert content(again) == before, fault
        assert verify_store(again).problems == [], fault
        with LibraryWriter.open(again) as library:
            assert sum(len(part.rows) for part in library.parts.values()) == 7, fault


def fail_from(patch, first):
    """Lets every operation that changes a file fail from the `first` on. Returns their number so far."""
    count = [0]

    def failing(name):
        real = getattr(os, name)

        def call(*arguments, **options):
            count[0] += 1
            if count[0] >= first:
                raise OSError(5, "killed here")
            return real(*arguments, **options)

        return call

    for name in ("rename", "replace", "unlink", "mkdir", "rmdir", "fsync"):
        patch.setattr(os, name, failing(name))
    return count
