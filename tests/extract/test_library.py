"""A folder that is extracted again: only what is new is decoded, and the store is the one that a first extraction makes."""

import os
import shutil

import numpy as np
import pytest

from gaid.cli import run as gaid_command
from gaid.errors import DataMissing, ExtractInterrupted, StoreCorrupt, StoreIncomplete, StoresDisagree
from gaid.extract import extract
from gaid.extract.sources import find_videos
from gaid.stores import convert_store, iter_clips, open_store
from gaid.stores.library_writer import LibraryWriter
from tests.extract.folder_world import make_clip, write_captions
from tests.extract.stubs import NAMES, StubText, StubVisual

pytestmark = pytest.mark.slow
CLIPS = 7


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of clips with captions, and its store."""
    folder = tmp_path_factory.mktemp("made")
    for number in range(CLIPS):
        make_clip(folder / "clips" / f"{'ab'[number % 2]}/clip {number}.mp4", number, folder / "bases")
    (folder / "clips/b/no video.mp4").write_text("words\n")
    write_captions(folder / "clips", {f"a/clip {number}.mp4": [f"the {number} th", "a clip"] for number in (0, 2, 4)})
    extract("folder", root=folder / "clips", out=folder / "s.zarr", progress=False, **NAMES)
    return folder


@pytest.fixture
def here(made, tmp_path):
    """A copy, with the times of its files; the store says that its folder is this copy's."""
    shutil.copytree(made, tmp_path / "here")
    again(tmp_path / "here")
    StubVisual.reset()
    return tmp_path / "here"


def again(here, root="clips", out="s.zarr", **options):
    return extract("folder", root=here / root, out=here / out, **NAMES, **{"progress": False, **options})


def assert_is_fresh(here, root="clips"):
    """The store equals a first extraction of the folder as it is now, and is intact. What was found wrong with a file
    names the place where it was then."""
    shutil.rmtree(here / "fresh.zarr", ignore_errors=True)
    again(here, root, "fresh.zarr")
    grown, fresh = open_store(here / "s.zarr"), open_store(here / "fresh.zarr")
    assert grown.ids == fresh.ids
    assert [(one["id"], one["reason"]) for one in grown.failures] == [
        (one["id"], one["reason"]) for one in fresh.failures
    ]
    assert grown.census == fresh.census
    assert grown.fingerprint == fresh.fingerprint
    assert grown.names() == fresh.names()
    for name in fresh.names():
        np.testing.assert_array_equal(grown[name][...], fresh[name][...], err_msg=name)
    assert grown.verify().problems == []


def test_a_folder_as_it_was_costs_nothing_and_changes_nothing(here):
    before = {file: file.stat().st_mtime_ns for file in (here / "s.zarr").rglob("*") if file.is_file()}
    report = again(here)
    assert report.already_complete
    assert StubVisual.calls == []
    assert {file: file.stat().st_mtime_ns for file in (here / "s.zarr").rglob("*") if file.is_file()} == before


def test_new_replaced_renamed_and_vanished_files_at_once(here):
    clips = here / "clips"
    make_clip(clips / "b/new.mp4", 20, here / "bases")
    make_clip(clips / "a/clip 2.mp4", 21, here / "bases")
    (clips / "a/clip 4.mp4").rename(clips / "zz.mp4")
    (clips / "b/clip 1.mp4").unlink()
    write_captions(clips, {"a/clip 2.mp4": ["a clip", "of red"], "zz.mp4": ["the 4 th"]})
    report = again(here)
    assert report.changes.added == ["b/new"]
    assert report.changes.replaced == ["a/clip 2"]
    assert report.changes.recognised == ["zz"]
    assert report.changes.gone == ["b/clip 1"]
    assert report.extracted == len(StubVisual.calls) == 2
    assert (report.clips, report.done) == (8, 7)
    assert_is_fresh(here)
    assert again(here).already_complete


def test_what_vanished_is_in_no_split_and_no_search(here):
    (here / "clips/a/clip 2.mp4").unlink()
    write_captions(here / "clips", {f"a/clip {number}.mp4": ["one"] for number in (0, 4)})
    again(here)
    store = open_store(here / "s.zarr")
    assert "a/clip 2" not in store.split("test", "all").video_ids
    assert all("a/clip 2" not in clips.video_ids for _, clips in iter_clips(store, 3))
    assert len(store["videos/valid"][:]) == CLIPS
    assert "a/clip 2" not in store.sources


def test_a_file_that_comes_back_and_a_copy_cost_nothing(here):
    clip = here / "clips/b/clip 3.mp4"
    clip.rename(here / "aside.mp4")
    assert again(here).changes.gone == ["b/clip 3"]
    shutil.copyfile(here / "aside.mp4", clip)
    shutil.copyfile(clip, here / "clips/copy.mp4")
    report = again(here)
    assert report.changes.recognised == ["b/clip 3", "copy"]
    assert StubVisual.calls == []
    assert_is_fresh(here)


def test_a_file_of_another_time_is_read_once_and_not_decoded(here, monkeypatch):
    for file in (here / "clips").rglob("*.mp4"):
        os.utime(file, ns=(5, 5))
    assert again(here).extracted == 0
    read = []
    monkeypatch.setattr("gaid.extract.growth.digest_of", lambda path, *known: read.append(path) or "another")
    make_clip(here / "clips/new.mp4", 30, here / "bases")
    assert again(here).extracted == 1
    assert set(read) <= {str(here / "clips/new.mp4")}


def test_new_captions_cost_their_text_alone(here, monkeypatch):
    encoded = []
    encode = StubText.encode_text
    monkeypatch.setattr(StubText, "encode_text", lambda self, texts: encoded.extend(texts) or encode(self, texts))
    write_captions(
        here / "clips", {"a/clip 0.mp4": ["a clip", "never said", "never said"], "b/clip 1.mp4": ["the 2 th"]}
    )
    report = again(here)
    assert encoded == ["never said"]
    assert (report.extracted, report.captions) == (0, 4)
    assert StubVisual.calls == []
    monkeypatch.undo()
    assert_is_fresh(here)


def test_names_that_clash_with_a_new_file_change_ids_and_cost_nothing(here):
    make_clip(here / "clips/a/clip 0.mkv", 40, here / "bases")
    report = again(here)
    assert {"a/clip 0.mp4", "a/clip 0.mkv"} <= set(open_store(here / "s.zarr").ids)
    assert report.extracted == 1
    assert_is_fresh(here)


def test_a_clip_that_failed_is_not_tried_again_until_its_file_is_another(here):
    make_clip(here / "clips/new.mp4", 20, here / "bases")
    assert again(here).extracted == 1
    make_clip(here / "clips/b/no video.mp4", 22, here / "bases")
    report = again(here)
    assert report.changes.replaced == ["b/no video"]
    assert report.failed == []
    assert_is_fresh(here)


def test_a_file_that_captions_name_may_come_and_go(here):
    captions = {f"a/clip {number}.mp4": ["one"] for number in (0, 2, 4)}
    write_captions(here / "clips", captions | {"late.mp4": ["another"]})
    report = again(here, max_missing=0.5)
    assert [one.reason for one in report.failed] == ["unreadable", "missing"]
    assert StubVisual.calls == []
    make_clip(here / "clips/late.mp4", 20, here / "bases")
    assert again(here).extracted == 1
    assert_is_fresh(here)


def test_a_sound_beside_a_video_makes_another_clip(here):
    shutil.copyfile(here / "clips/a/clip 0.mp4", here / "clips/b/clip 1.m4a")
    report = again(here)
    assert report.extracted == 1
    assert_is_fresh(here)
    assert again(here).already_complete


def test_other_encoders_or_another_sampling_are_refused(here):
    make_clip(here / "clips/new.mp4", 20, here / "bases")
    before = open_store(here / "s.zarr").content_digest()
    with pytest.raises(StoresDisagree, match="--frames 12 there, 6 now"):
        again(here, frames=6)
    StubVisual.version = 2
    with pytest.raises(StoresDisagree, match="weights of the visual backbone stub: v1 there, v2 now"):
        again(here)
    assert open_store(here / "s.zarr").content_digest() == before


def test_a_store_of_another_data_set_is_no_library_of_a_folder(tmp_path, made):
    shutil.copytree(made / "clips", tmp_path / "clips")
    (tmp_path / "clips/captions.csv").unlink()
    write_captions(tmp_path / "clips", {"a/clip 0.mp4": ["a clip"]})
    extract("csv", root=tmp_path / "clips", out=tmp_path / "s.zarr", progress=False, **NAMES)
    with pytest.raises(StoresDisagree, match="the data set: csv there, folder now"):
        again(tmp_path)


def test_a_full_disk_ends_the_growth_in_a_line(here, monkeypatch):
    def fail(self, *arguments):
        raise OSError(28, "No space left on device")

    make_clip(here / "clips/new.mp4", 20, here / "bases")
    with monkeypatch.context() as patch:
        patch.setattr(LibraryWriter, "commit", fail)
        with pytest.raises(StoreIncomplete, match=r"No space left.*the same command resumes"):
            again(here)
    assert again(here).extracted == 0  # it was decoded
    assert_is_fresh(here)


def test_what_differs_is_named(here, capsys):
    make_clip(here / "clips/a/clip 2.mp4", 21, here / "bases")
    (here / "clips/b/clip 1.mp4").unlink()
    report = again(here, progress=True)
    told = capsys.readouterr().err
    assert "replaced: a/clip 2\n" in told
    assert "gone: b/clip 1\n" in told
    assert report.to_dict()["changes"] == {
        "added": [],
        "replaced": ["a/clip 2"],
        "recognised": [],
        "gone": ["b/clip 1"],
    }


def test_a_library_moves_with_its_folder(here):
    (here / "clips").rename(here / "moved")
    for file in (here / "moved").rglob("*.mp4"):
        os.utime(file, ns=(7, 7))
    make_clip(here / "moved/new.mp4", 20, here / "bases")
    report = again(here, "moved")
    assert report.extracted == 1
    assert open_store(here / "s.zarr").attrs["dataset"]["root"] == str(here / "moved")
    make_clip(here / "moved/other.mp4", 21, here / "bases")
    extract("folder", out=here / "s.zarr", progress=False, **NAMES)  # it knows its folder
    assert_is_fresh(here, "moved")


def test_another_folder_is_another_library(here):
    make_clip(here / "else/a.mp4", 20, here / "bases")
    with pytest.raises(StoresDisagree, match=r"holds 0 of its 8 files; extract elsewhere \(--out\)"):
        again(here, "else")
    shutil.rmtree(here / "clips")
    with pytest.raises(DataMissing):
        again(here)


def test_what_ctrl_c_left_is_taken_even_when_the_folder_changed_meanwhile(here):
    for number in range(20, 36):
        make_clip(here / f"clips/new {number}.mp4", number, here / "bases")
    StubVisual.shout = {5: 1}
    with pytest.raises(ExtractInterrupted, match=r"3 of 8 shards are done; the same command resumes"):
        again(here)
    assert len(StubVisual.calls) == 6
    assert len(open_store(here / "s.zarr").ids) == 8  # the view before
    (here / "clips/new 20.mp4").unlink()
    (here / "clips/new 21.mp4").rename(here / "clips/old 21.mp4")
    make_clip(here / "clips/new 40.mp4", 40, here / "bases")
    report = again(here)
    assert len(StubVisual.calls) == 17  # each of them once
    assert report.clips == 8 + 16
    assert_is_fresh(here)


def test_a_first_extraction_that_was_stopped_takes_what_is_there_when_the_folder_changed(made, tmp_path):
    shutil.copytree(made / "clips", tmp_path / "clips")
    StubVisual.shout = {2: 1}
    with pytest.raises(ExtractInterrupted):
        again(tmp_path)
    encoded = len(StubVisual.calls)
    assert 3 <= encoded < CLIPS
    make_clip(tmp_path / "clips/a/aa.mp4", 30, made / "bases")
    report = again(tmp_path)
    assert len(StubVisual.calls) == CLIPS + 1
    assert report.done == CLIPS + 1
    assert_is_fresh(tmp_path)


def test_a_view_that_is_lost_is_made_anew_and_nothing_is_decoded(here):
    make_clip(here / "clips/new.mp4", 20, here / "bases")
    again(here)
    (here / "s.zarr/library/current.json").unlink()
    with pytest.raises(StoreCorrupt, match=r"run the same `gaid extract` again"):
        open_store(here / "s.zarr")
    assert not open_store_problems(here)
    StubVisual.reset()
    again(here)
    assert StubVisual.calls == []
    assert_is_fresh(here)


def open_store_problems(here):
    """Whether verify finds the store intact."""
    from gaid.stores import verify_store

    return verify_store(here / "s.zarr").ok


def test_a_part_that_lost_a_shard_is_made_anew(here):
    for number in (20, 21):
        make_clip(here / f"clips/new {number}.mp4", number, here / "bases")
    again(here)
    (here / "s.zarr/library/part-00001.zarr/shards/00001.json").unlink()
    with pytest.raises(StoreCorrupt, match=r"00001\.json: is missing"):
        open_store(here / "s.zarr")
    os.utime(here / "clips")
    StubVisual.reset()
    assert again(here).extracted == len(StubVisual.calls) == 1
    assert_is_fresh(here)


def test_the_files_of_a_library_are_found_without_looking_at_the_folder(here, monkeypatch):
    shutil.copyfile(here / "clips/a/clip 0.mp4", here / "clips/b/clip 1.m4a")
    again(here)
    (here / "clips/a/clip 2.mp4").unlink()
    monkeypatch.setattr("gaid.extract.sources.find_dataset", lambda *given: pytest.fail("looked at"))
    store = open_store(here / "s.zarr")
    found = find_videos(store, ["b/clip 1", "a/clip 2", "a/clip 0"])
    assert list(found) == ["b/clip 1", "a/clip 0"]
    assert found["b/clip 1"].path == here / "clips/b/clip 1.mp4"
    assert found["b/clip 1"].audio_path == here / "clips/b/clip 1.m4a"
    (here / "clips").rename(here / "moved")
    assert find_videos(store, ["a/clip 0"], here / "moved")["a/clip 0"].path == here / "moved/a/clip 0.mp4"
    with pytest.raises(DataMissing, match="clips is not there"):
        find_videos(store, ["a/clip 0"])


def test_store_info_counts_the_rows_of_a_library(here, capsys):
    make_clip(here / "clips/a/clip 2.mp4", 21, here / "bases")
    (here / "clips/b/clip 1.mp4").unlink()
    again(here)
    told = open_store(here / "s.zarr").info()["library"]
    assert told == {"parts": 2, "live": 7, "superseded": 1, "vanished": 1}
    assert gaid_command(["store", "info", str(here / "s.zarr")]) == 0
    assert "7 live rows in 2 parts; 1 replaced and 1 gone" in " ".join(capsys.readouterr().out.split())
    assert gaid_command(["store", "prune", str(here / "s.zarr")]) == 0
    assert open_store(here / "s.zarr").info()["library"]["superseded"] == 0
    assert_is_fresh(here)


def test_a_grown_store_is_converted_without_loss(here):
    make_clip(here / "clips/0.mp4", 20, here / "bases")
    again(here)
    expected = open_store(here / "s.zarr")
    for name in ("t.h5", "t.zarr"):
        convert_store(here / "s.zarr", here / name)
        found = open_store(here / name)
        assert found.content_digest() == expected.content_digest()
        assert found.sources == expected.sources
        assert found.verify().problems == []


def test_rows_are_read_as_numpy_reads_them(here):
    make_clip(here / "clips/0.mp4", 20, here / "bases")
    again(here)
    store = open_store(here / "s.zarr")
    array, values = store["videos/visual"], store.whole("videos/visual")
    assert array.shape == values.shape == (9, 12, 12)
    for key in (
        ...,
        3,
        -1,
        slice(2, 7),
        slice(None, None, -2),
        np.array([4, 1]),
        (slice(1, 3), 0),
        (2, slice(None), 5),
    ):
        np.testing.assert_array_equal(array[key], values[key])
    np.testing.assert_array_equal(np.asarray(array), values)
