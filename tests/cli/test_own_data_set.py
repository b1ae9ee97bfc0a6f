"""`--dataset mine.py:clips` and `--visual eye.py:Eye`: from the files to a search that finds them again, and the guard."""

from dataclasses import replace
from pathlib import Path

import pytest

from gaid import extract, load_dataset
from tests.media_maker import tone, write_video

pytestmark = pytest.mark.slow

OWN = """
from pathlib import Path
from gaid.datasets import Caption, Dataset, Video

def clips(root):
    files = sorted(Path(root).glob("*.mp4"))
    return Dataset(
        name="mine", root=Path(root), videos=tuple(Video(file.stem, file) for file in files),
        captions=tuple(Caption(file.stem, file.stem, f"film {file.stem}") for file in files),
        splits={"main": {"test": tuple(range(len(files)))}}, default_protocol="main",
    )
"""
TINY = ("--visual", "tiny", "--audio", "tiny", "--text", "tiny", "--frames", "2", "--workers", "1")
SEARCH = ("search", "film", "--store", "mine.zarr", "--preset", "mean-pool", "--json", "--html", "found.html")


@pytest.fixture
def here(gaid, tmp_path):
    """Two films, the code that reads them, and a store of them."""
    for number in range(2):
        write_video(tmp_path / f"films/{number}.mp4", frames=6, rate=6, size=(64, 48), gop=6, seed=number,
                    sound=tone(0.5, 16000), sound_rate=16000)  # fmt: skip
    Path("mine.py").write_text(OWN)
    told = gaid("extract", "--dataset", "mine.py:clips", "--root", "films", *TINY, "--out", "mine.zarr", "--json")
    assert told.code == 0, told.err
    return tmp_path


def test_its_clips_are_found_again(gaid, here, monkeypatch):
    told = gaid("datasets", "mine.py:clips", "--root", "films", "--check", "--store", "mine.zarr")
    assert told.code == 0, told.err
    (here / "else").mkdir()
    (here / "mine.zarr").rename(here / "else/mine.zarr")
    monkeypatch.chdir(here / "else")
    told = gaid(*SEARCH)
    assert told.code == 0, told.err
    assert {hit["path"] for hit in told.json["answers"][0]["hits"]} == {f"{here}/films/{n}.mp4" for n in (0, 1)}
    assert "data:image/webp" in Path("found.html").read_text()


def test_without_its_code_the_answers_stand_without_files(gaid, here):
    Path("mine.py").unlink()
    told = gaid(*SEARCH)
    assert told.code == 0, told.err
    assert [hit["path"] for hit in told.json["answers"][0]["hits"]] == [None, None]
    assert any("no file mine.py" in note for note in told.json["notes"])


def test_a_store_does_not_have_its_own_code_run(gaid, here):
    dataset = replace(load_dataset("mine.py:clips", "films"), loader=f"{here}/theirs.zarr/evil.py:clips")
    extract(dataset, out="theirs.zarr", visual="tiny", audio="tiny", text="tiny", frames=2, progress=False)
    Path("theirs.zarr/evil.py").write_text("from pathlib import Path\nPath('RAN').touch()\n" + OWN)
    told = gaid(*(word.replace("mine", "theirs") for word in SEARCH))
    assert told.code == 0, told.err
    assert any("is code within the store theirs.zarr" in note for note in told.json["notes"])
    assert not Path("RAN").exists()


def test_a_name_that_is_none_is_one_line(gaid, here):
    told = gaid("extract", "--dataset", "mine.py:clip", "--root", "films", *TINY)
    assert told.code == 2
    assert told.last_word == (
        "gaid: data set 'mine.py:clip': mine.py has no Dataset, DatasetSpec or function of root 'clip'; did you mean 'clips'?"
    )


def test_an_encoder_of_ones_own_is_named_by_its_file_and_not_run_within_a_store(gaid, here):
    own = "from gaid.backbones.tiny import TinyVisual as Eye\nfrom pathlib import Path\nPath('RAN').touch()\n"
    for place in ("eye.py", "mine.zarr/eye.py"):
        Path(place).write_text(own)
    command = ("extract", "--dataset", "mine.py:clips", "--root", "films", *TINY[2:], "--out", "own.zarr", "--visual")
    told = gaid(*command, "mine.zarr/eye.py:Eye")
    assert told.code == 2
    assert "mine.zarr/eye.py: is code within the store mine.zarr" in told.last_word
    assert not Path("RAN").exists()
    assert gaid(*command, "eye.py:Eye").code == 0
