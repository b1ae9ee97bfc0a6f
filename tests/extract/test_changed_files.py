"""A file that was replaced under its name is told, one that arrived is taken, and a copy of the same file is the same."""

import dataclasses
import hashlib
import json
import os
import shutil

import pytest

from gaid.errors import StoreCorrupt
from gaid.extract import extract
from gaid.report.thumbnails import load_strips
from gaid.source_files import PIECE, PIECES, WHOLE, Source, changed_clips, look_at, source_of
from gaid.stores import convert_store, open_store
from gaid.stores.schema import digest_json
from tests.extract.stubs import NAMES, StubVisual
from tests.extract.world import content, load_world, make_world

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Six clips and their store."""
    folder = tmp_path_factory.mktemp("made")
    world = make_world(folder / "clips", clips=6)
    extract(world, out=folder / "s.zarr", progress=False, **NAMES)
    return folder


@pytest.fixture
def here(made, tmp_path):
    """A copy, with the times of its files."""
    shutil.copytree(made, tmp_path / "here")
    return tmp_path / "here"


def again(here, name="s.zarr", **options):
    return extract(load_world(here / "clips"), out=here / name, **NAMES, **{"progress": False, **options})


def test_the_store_keeps_size_time_and_digest_of_each_file(here):
    store = open_store(here / "s.zarr")
    for clip in load_world(here / "clips").videos:
        data, (known,) = clip.path.read_bytes(), store.sources[clip.id]
        assert known == Source(len(data), clip.path.stat().st_mtime_ns, f"sha256:{hashlib.sha256(data).hexdigest()}")
    assert store.info()["sources_recorded"] == 6  # the broken one as well
    assert store.verify().ok


def test_a_replaced_file_is_named_and_the_rest_is_complete(here, capsys):
    first, second = (here / f"clips/clip 00{number}.mp4" for number in (0, 1))
    data = bytearray(first.read_bytes())
    shutil.copy2(second, first)  # another size
    report = again(here, progress=True)
    assert report.changed == ["clip 000"] == report.to_dict()["changed"]
    assert report.already_complete
    assert (
        "1 clip has another file than the one whose features the store holds: clip 000; --overwrite"
        in capsys.readouterr().err
    )
    data[-1] ^= 1  # the same size and time, which alone would be no change
    first.write_bytes(data)
    assert again(here).changed == ["clip 000"]
    _, note = load_strips(open_store(here / "s.zarr"), ["clip 000"], here / "clips")
    assert note is not None


def test_a_copy_of_the_same_file_is_the_same(here):
    for file in (here / "clips").iterdir():
        os.utime(file, ns=(1, 1))
    assert again(here).changed == []


def test_the_sound_of_its_own_file_counts_as_well(here, tmp_path):
    sound = tmp_path / "sound.wav"
    sound.write_bytes((here / "clips/clip 000.mp4").read_bytes())
    world = load_world(here / "clips")
    videos = (dataclasses.replace(world.videos[0], audio_path=sound), *world.videos[1:])
    world = dataclasses.replace(world, videos=videos)
    extract(world, out=here / "t.zarr", progress=False, **NAMES)
    assert len(open_store(here / "t.zarr").sources["clip 000"]) == 2
    sound.write_bytes((here / "clips/clip 001.mp4").read_bytes())
    assert extract(world, out=here / "t.zarr", progress=False, **NAMES).changed == ["clip 000"]


def test_what_is_known_of_files_is_no_part_of_the_features(here):
    store = open_store(again(here, "one.zarr").store)
    os.utime(here / "clips/clip 000.mp4", ns=(5, 5))
    report = again(here, "other.zarr")
    assert open_store(report.store).fingerprint == store.fingerprint
    assert content(open_store(report.store)) == content(store)


def test_conversions_keep_it(here):
    known = open_store(here / "s.zarr").sources
    convert_store(here / "s.zarr", here / "s.h5")
    convert_store(here / "s.h5", here / "t.zarr")
    assert open_store(here / "s.h5").sources == open_store(here / "t.zarr").sources == known
    shutil.copy2(here / "clips/clip 001.mp4", here / "clips/clip 000.mp4")
    assert again(here, "s.h5").changed == ["clip 000"]


def spell_markers(store, change):
    """Writes the markers of a store's shards again, as `change(marker, path)` leaves them, in the older spelling."""
    for file in (store / "shards").glob("0*.json"):
        marker = json.loads(file.read_text())
        del marker["digest"]
        change(marker, store / "sources" / file.name)
        file.write_text(json.dumps({**marker, "digest": digest_json(marker)}))


def test_a_store_that_recorded_nothing_says_nothing(here):
    spell_markers(here / "s.zarr", lambda marker, facts: marker["files"].pop(f"sources/{facts.name}"))
    shutil.copy2(here / "clips/clip 001.mp4", here / "clips/clip 000.mp4")
    assert again(here).changed == []
    assert open_store(here / "s.zarr").verify().ok
    assert open_store(here / "s.zarr").info()["sources_recorded"] == 0


def test_a_store_that_recorded_them_in_its_markers_is_read(here):
    before = open_store(here / "s.zarr")
    known, keys = before.sources, before.row_keys()

    def move(marker, facts):
        del marker["files"][f"sources/{facts.name}"]
        marker["sources"] = json.loads(facts.read_text())
        facts.unlink()

    spell_markers(here / "s.zarr", move)
    after = open_store(here / "s.zarr")
    assert after.sources == known != {}
    assert (after.row_keys() == keys).all()
    shutil.copy2(here / "clips/clip 001.mp4", here / "clips/clip 000.mp4")
    assert again(here).changed == ["clip 000"]


def test_facts_about_files_that_are_damaged_are_not_believed(here):
    file = here / "s.zarr/sources/00000.json"
    raw = bytearray(file.read_bytes())
    raw[10] ^= 1
    file.write_bytes(raw)
    store = open_store(here / "s.zarr")
    with pytest.raises(StoreCorrupt, match=r"sources/00000\.json: its bytes are not those that were written"):
        _ = store.sources
    assert any(problem.startswith("sources/00000.json") for problem in store.verify().problems)
    file.unlink()
    with pytest.raises(StoreCorrupt, match=r"sources/00000\.json: is missing"):
        open_store(here / "s.zarr")


def missing_one(here):
    """The same data set while a clip's file is not there."""
    world = load_world(here / "clips")
    (here / "clips/clip 004.mp4").rename(here / "aside.mp4")
    return dataclasses.replace(world, missing=("clip 004",))


def test_a_clip_that_arrives_is_taken_and_nothing_else_changes(here, capsys):
    whole = content(open_store(again(here, "one.zarr").store))
    extract(missing_one(here), out=here / "t.zarr", progress=False, max_missing=0.5, **NAMES)
    assert [one["reason"] for one in open_store(here / "t.zarr").failures] == ["unreadable", "missing"]
    (here / "aside.mp4").rename(here / "clips/clip 004.mp4")
    StubVisual.reset()
    report = again(here, "t.zarr", progress=True)
    assert "1 clip that was missing can be extracted now: clip 004" in capsys.readouterr().err
    assert (report.done, report.arrived, report.changed) == (5, [], [])
    assert len(StubVisual.calls) == 1  # a shard of one
    assert content(open_store(here / "t.zarr")) == whole
    assert open_store(here / "t.zarr").verify().ok


def test_a_clip_that_arrives_for_an_hdf5_store_is_told_with_the_remedy(here, capsys):
    extract(missing_one(here), out=here / "t.h5", progress=False, max_missing=0.5, **NAMES)
    (here / "aside.mp4").rename(here / "clips/clip 004.mp4")
    report = again(here, "t.h5", progress=True)
    assert report.arrived == ["clip 004"]
    assert "an HDF5 store takes no more clips: --overwrite extracts all again" in capsys.readouterr().err


def test_a_film_of_hours_is_known_by_its_pieces(tmp_path):
    film = tmp_path / "film.mkv"
    with film.open("wb") as file:
        file.truncate(WHOLE + 1)
    known = source_of(film, look_at(film))
    assert known.digest.startswith("sha256-64x1MiB:")
    assert known.digest.endswith(hashlib.sha256(bytes(PIECES * PIECE)).hexdigest())
    with film.open("r+b") as file:
        file.seek(WHOLE)
        file.write(b"x")  # its last byte
    assert changed_clips({"film": [known]}, [("film", [str(film)])]) == ["film"]


def test_a_file_that_changes_while_it_is_decoded_counts_as_changed(tmp_path):
    file = tmp_path / "a.mp4"
    file.write_bytes(b"one")
    before = look_at(file)
    file.write_bytes(b"other")
    known = source_of(file, before)
    assert changed_clips({"a": [known]}, [("a", [str(file)])]) == ["a"]
