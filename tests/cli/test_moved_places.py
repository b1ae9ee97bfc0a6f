"""Stores and runs keep whole paths, so they are read from any folder; what moved is named with the option that finds it."""

import json
import shutil
from pathlib import Path

import pytest

from gaid import extract, train
from gaid.stores import open_store
from tests.media_maker import write_video

pytestmark = pytest.mark.slow

TEN = range(24)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A table of 24 clips beside their files, its store and a run."""
    folder = tmp_path_factory.mktemp("moved")
    for number in TEN:
        write_video(folder / f"films/{number}.mp4", frames=6, rate=6, size=(64, 48), gop=6, sound=None, seed=number)
    lines = [f"films/{n}.mp4,a film numbered {n},{('train', 'val', 'test')[n % 3]}" for n in TEN]
    (folder / "clips.csv").write_text("video,caption,split\n" + "\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        extract(
            "csv", root="clips.csv", out="s.zarr", visual="tiny", audio="tiny", text="tiny", frames=2, progress=False
        )
        train("s.zarr", "mean-pool", out="run", set=["epochs=1"], progress=False)
    return folder


@pytest.fixture
def here(made, tmp_path, gaid, monkeypatch):
    """A copy of all that; the current folder is another one. Its paths are made those of the copy."""
    shutil.copytree(made, tmp_path / "here")
    for file in (tmp_path / "here/run").rglob("*"):
        if file.suffix == ".toml":
            file.write_text(file.read_text().replace(str(made), str(tmp_path / "here")))
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    return tmp_path / "here"


def test_paths_are_kept_whole(made):
    assert open_store(made / "s.zarr").attrs["dataset"]["root"] == str(made / "clips.csv")
    assert f'store = "{made}/s.zarr"' in (made / "run/config.toml").read_text()


def test_the_clips_of_a_table_are_found_from_another_folder(here, made, gaid):
    told = gaid("search", "a film", "--run", "../here/run", "--json", "--html", "found.html")
    assert told.code == 0, told.err
    hit = told.json["answers"][0]["hits"][0]
    assert Path(hit["path"]) == made / f"films/{hit['video'].partition('/')[2]}.mp4"
    assert "data:image/webp" in Path("found.html").read_text()
    assert "not at hand" not in Path("found.html").read_text()


def test_a_root_can_be_the_table_or_its_folder_in_eval_as_in_search(here, made, gaid):
    store = here / "s.zarr/zarr.json"
    document = json.loads(store.read_text())
    root = Path(document["attributes"]["attrs"]["dataset"]["root"])
    assert root == made / "clips.csv"
    for place in (here / "clips.csv", here):
        told = gaid("eval", "--run", here / "run", "--root", place, "--report", "page.html")
        assert told.code == 0, told.err
        assert "data:image/webp" in Path("page.html").read_text()
    told = gaid("eval", "--run", here / "run", "--root", here / "nowhere", "--report", "page.html")
    assert told.code == 0
    assert "nowhere is not there" in Path("page.html").read_text()


def test_stress_finds_the_media_of_a_table(here, gaid):
    told = gaid("stress", here / "run", "--media", "--clips", 4, "--fault", "black", "--out", "s")
    assert told.code == 0, told.err


def test_a_run_whose_store_moved_says_which_option_finds_it(here, gaid):
    (here / "s.zarr").rename(here / "moved.zarr")
    for command in (("eval", "--run"), ("audit",), ("stress",), ("search", "x", "--run")):
        told = gaid(*command, here / "run")
        assert told.code == 2
        assert "its store is not at ../here/s.zarr any more; say with --store PATH where it is" in told.last_word
    assert gaid("eval", "--run", here / "run", "--store", here / "moved.zarr", "--report", "none").code == 0


def test_an_address_is_no_store(here, gaid):
    for command in (
        ("eval", "--preset", "mean-pool", "--store"),
        ("store", "info"),
        ("extract", "--dataset", "csv", "--root", here / "clips.csv", "--visual", "tiny", "--audio", "tiny", "--out"),
    ):
        told = gaid(*command, "http://bucket/a.zarr")
        assert told.code == 2
        assert "http://bucket/a.zarr: is an address" in told.last_word
    assert not Path("http:").exists()


def test_a_killed_deletion_leaves_nothing_that_stops_the_next(here, gaid):
    """`kill -9` while --overwrite deletes: the store under its other name, in part."""
    command = ("extract", "--dataset", "csv", "--root", here / "clips.csv", "--visual", "tiny", "--audio", "tiny",
               "--frames", 2, "--overwrite", "--out", here / "s.zarr")  # fmt: skip
    left = here / ".s.zarr.deleting"
    shutil.copytree(here / "s.zarr/videos", left / "videos")
    assert gaid(*command).code == 0
    assert not left.exists()
    (here / "s.zarr").rename(left)  # killed before anything was deleted
    assert gaid(*command).code == 0
    assert not left.exists()
    (here / "s.zarr/zarr.json").write_text("{")  # a damaged store can be replaced
    assert gaid(*command).code == 0
    assert open_store(here / "s.zarr").verify().ok
