"""`--watch` brings a library up to date whenever its folder changes, and Ctrl-C ends it."""

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from gaid.errors import DependencyMissing, ExtractInterrupted, OptionInvalid
from gaid.extract import extract
from gaid.stores import open_store
from tests.extract.folder_world import TINY, make_clip, write_captions
from tests.extract.stubs import NAMES, StubVisual


@pytest.fixture
def folder(tmp_path):
    for number in range(2):
        make_clip(tmp_path / f"clips/clip {number}.mp4", number, tmp_path / "bases")
    return tmp_path


def follow(folder, monkeypatch, rounds, **options):
    """Follows the folder through some rounds, each a function that changes it, or nothing for a look without changes."""
    seen = []

    def watch(*folders, watch_filter, **_):
        seen.append((folders, watch_filter))
        yield set()  # the first look
        for change in rounds:
            if change is not None:
                change()
            yield {(1, "something")} if change else set()
        os.kill(os.getpid(), signal.SIGINT)
        yield set()
        pytest.fail("not ended by Ctrl-C")

    monkeypatch.setitem(sys.modules, "watchfiles", SimpleNamespace(watch=watch))
    report = extract("folder", root=folder / "clips", out=folder / "s.zarr", watch=True, **NAMES, **options)
    return report, seen


@pytest.mark.slow
def test_every_change_is_extracted_and_ctrl_c_ends_it(folder, monkeypatch, capsys):
    clips = folder / "clips"
    report, _ = follow(
        folder,
        monkeypatch,
        [
            lambda: make_clip(clips / "new.mp4", 2, folder / "bases"),
            None,
            lambda: (clips / "new.mp4").rename(clips / "newer.mp4"),
            lambda: (clips / "clip 0.mp4").unlink(),
        ],
    )
    assert open_store(folder / "s.zarr").ids == ["clip 1", "newer"]
    assert report.changes.gone == ["clip 0"]
    assert len(StubVisual.calls) == 3
    told = capsys.readouterr().err
    assert "following" in told
    assert told.count("1 new") == 1


@pytest.mark.slow
def test_a_folder_that_cannot_be_extracted_now_is_reported_and_tried_again(folder, monkeypatch, capsys):
    clips = folder / "clips"
    follow(
        folder,
        monkeypatch,
        [
            lambda: (clips / "captions.csv").write_text("video,caption\nclip 0.mp4\n"),
            lambda: write_captions(clips, {"clip 0.mp4": ["a text"]}),
        ],
        progress=False,
    )
    assert "captions.csv" in capsys.readouterr().err
    assert open_store(folder / "s.zarr").texts("captions/text") == ["a text"]


@pytest.mark.slow
def test_ctrl_c_during_an_extraction_says_that_it_resumes(folder, monkeypatch):
    def change():
        for number in range(10, 18):
            make_clip(folder / f"clips/new {number}.mp4", number, folder / "bases")
        StubVisual.shout = {4: 1}

    with pytest.raises(ExtractInterrupted, match="the same command resumes"):
        follow(folder, monkeypatch, [change], progress=False)


@pytest.mark.slow
def test_the_library_itself_and_hidden_files_are_no_changes(folder, monkeypatch):
    _, [(folders, concerns)] = follow(folder, monkeypatch, [], progress=False)
    assert folders == (folder / "clips",)
    assert concerns(1, str(folder / "clips/new.mp4"))
    assert concerns(1, str(folder / "clips/a folder"))
    assert not concerns(1, str(folder / "clips/.new.mp4.part"))
    assert not concerns(1, str(folder / "s.zarr/library/current.json"))


def test_what_cannot_be_followed_is_refused(folder, monkeypatch):
    for options in ({"limit": 1}, {"out": folder / "s.h5"}):
        with pytest.raises(OptionInvalid, match="--watch"):
            extract("folder", root=folder / "clips", watch=True, **TINY, **options)
    with pytest.raises(OptionInvalid, match="takes --dataset folder"):
        extract("demo", watch=True, **TINY)
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(DependencyMissing, match=r"pip install 'gaid\[watch\]'"):
        extract("folder", root=folder / "clips", watch=True, **TINY)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("watchfiles") is None, reason="the extra `watch` is not installed")
def test_a_real_folder_is_followed_until_ctrl_c(folder):
    out = folder / "s.zarr"
    words = ["extract", "--dataset", "folder", "--root", folder / "clips", "--out", out, "--watch"]
    encoders = [word for name, value in TINY.items() for word in (f"--{name}", value)]
    process = subprocess.Popen(
        [sys.executable, "-m", "gaid", *words, *encoders], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 60
    assert process.stderr is not None
    while "following" not in (line := process.stderr.readline()):
        assert line
    make_clip(folder / "clips/new.mp4", 2, folder / "bases")
    while len(open_store(out).ids) < 3:
        assert time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
