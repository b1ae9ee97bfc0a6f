"""Two libraries as one: all clips once, the captions of both, and nothing decoded."""

import shutil

import numpy as np
import pytest

from gaid.cli import run as gaid_command
from gaid.errors import OptionInvalid, StoresDisagree
from gaid.extract import extract
from gaid.extract.join import join_stores
from gaid.stores import open_store
from tests.extract.folder_world import make_clip, write_captions
from tests.extract.stubs import NAMES, StubVisual
from tests.extract.world import make_world

pytestmark = pytest.mark.slow


def make(place, clips, captions, **options):
    """A folder of clips by their numbers and names, and its store."""
    for name, number in clips.items():
        make_clip(place / "clips" / name, number, place.parent / "bases")
    write_captions(place / "clips", captions)
    extract("folder", root=place / "clips", out=place / "s.zarr", progress=False, **NAMES, **options)
    return place / "s.zarr"


@pytest.fixture
def two(tmp_path):
    first = make(tmp_path / "one", {"a.mp4": 0, "b.mp4": 1, "c.mp4": 2}, {"a.mp4": ["red", "blue"], "b.mp4": ["green"]})
    other = {"B copy.mp4": 1, "d.mp4": 4, "c.mp4": 2}
    second = make(tmp_path / "two", other, {"B copy.mp4": ["green", "of two"], "d.mp4": ["red"], "c.mp4": ["a c"]})
    StubVisual.reset()
    return first, second


def test_joined_libraries_hold_the_clips_of_both_once(two, tmp_path):
    report = join_stores(*two, tmp_path / "both.zarr")
    assert report.twice == {"B copy": "b", "c": "c"}
    assert StubVisual.calls == []
    first, second, both = map(open_store, (*two, report.store))
    assert both.ids == ["a", "b", "c", "d"]
    for name, store in (("a", first), ("b", first), ("c", first), ("d", second)):
        row, there = both.ids.index(name), store.ids.index(name)
        np.testing.assert_array_equal(both["videos/visual"][row], store["videos/visual"][there])
        assert both.sources[name] == store.sources[name]
    split = both.split("test", "all")
    said = {
        (split.video_ids[video], text) for video, text in zip(split.caption_video, split.caption_texts, strict=True)
    }
    assert said == {("a", "red"), ("a", "blue"), ("b", "green"), ("b", "of two"), ("c", "a c"), ("d", "red")}
    texts = dict(zip(split.caption_texts, split.text, strict=True))
    known = dict(zip(second.texts("captions/text"), second["captions/embedding"][:], strict=True))
    np.testing.assert_array_equal(texts["of two"], known["of two"])
    assert both.verify().problems == []


def test_folders_brought_together_are_found_in_the_joined_library(two, tmp_path):
    both = join_stores(*two, tmp_path / "both.zarr").store
    shutil.copytree(tmp_path / "two/clips", tmp_path / "one/clips/two")
    report = extract("folder", root=tmp_path / "one/clips", out=both, progress=False, **NAMES)
    assert StubVisual.calls == []
    assert report.clips == 6
    fresh = extract("folder", root=tmp_path / "one/clips", out=tmp_path / "fresh.zarr", progress=False, **NAMES).store
    assert open_store(both).content_digest() == open_store(fresh).content_digest()


def test_clips_of_one_name_and_other_contents_are_refused(two, tmp_path):
    make(tmp_path / "three", {"a.mp4": 9, "e.mp4": 10}, {"a.mp4": ["another"]})
    with pytest.raises(StoresDisagree, match=r"both have a, of files with other contents; rename"):
        join_stores(two[0], tmp_path / "three/s.zarr", tmp_path / "both.zarr")
    assert not (tmp_path / "both.zarr").exists()


def test_libraries_of_other_sampling_and_stores_that_do_not_grow_are_refused(two, tmp_path):
    few = make(tmp_path / "three", {"e.mp4": 10}, {"e.mp4": ["another"]}, frames=3)
    with pytest.raises(StoresDisagree, match="--frames 12 there, 3 now"):
        join_stores(two[0], few, tmp_path / "both.zarr")
    world = extract(make_world(tmp_path / "w", clips=4), out=tmp_path / "w.zarr", progress=False, **NAMES).store
    with pytest.raises(StoresDisagree, match="is of 'world', whose list of clips is fixed"):
        join_stores(two[0], world, tmp_path / "both.zarr")
    with pytest.raises(OptionInvalid, match="is there already"):
        join_stores(*two, two[0])


def test_the_commands_join_and_prune(two, tmp_path, capsys):
    both = tmp_path / "both.zarr"
    assert gaid_command(["store", "join", *map(str, two), "--out", str(both)]) == 0
    told = capsys.readouterr()
    assert "4 videos; 2 of" in told.out
    assert "B copy: is b in" in told.err
    assert gaid_command(["store", "prune", str(both)]) == 0
    assert "0 clips that are gone or were replaced deleted" in capsys.readouterr().out
