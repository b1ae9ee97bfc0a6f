"""`gaid datasets NAME --check`: every fault of a copy is found and named, by headers, by decoding, and from a store alike."""

import json

import numpy as np
import pytest

from gaid.cli import run
from gaid.datasets import load_dataset
from gaid.datasets.types import Published
from gaid.extract import extract
from gaid.extract.check import CheckReport, check_clips, check_headers, check_store, count_published
from gaid.stores import open_store
from tests.media_maker import write_video

TABLE = """video,caption,start,end,split
good.mp4,a,,,train
good.mp4,a,0.4,1.4,val
silent.mp4,b,,,test
mute.mp4,b,,,test
few.mp4,c,,,test
text.mp4,d,,,test
gone.mp4,e,,,test
good.mp4,f,7,8,test
good.mp4,g,1,5,test
sound.mp4,h,,,test
"""
TINY = {"visual": "tiny", "audio": "tiny", "text": "tiny"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    root = tmp_path_factory.mktemp("copy")
    small = {"frames": 50, "rate": 25, "size": (64, 48), "sound_rate": 16000}  # 2 s
    write_video(root / "good.mp4", **small)
    write_video(root / "silent.mp4", **{**small, "sound": np.zeros((1, 32000), np.float32)})
    write_video(root / "mute.mp4", **{**small, "sound": None})
    write_video(root / "few.mp4", **{**small, "frames": 3})
    (root / "text.mp4").write_text("no video")
    import av

    with av.open(str(root / "sound.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 16000, 0
        out.mux([*stream.encode(frame), *stream.encode(None)])
    (root / "captions.csv").write_text(TABLE)
    return root


@pytest.fixture(scope="module")
def dataset(copy):
    return load_dataset("csv", copy)


@pytest.fixture(scope="module")
def store(copy):
    return extract(
        "csv", root=copy, out=copy / "s.zarr", frames=4, workers=0, max_missing=0.2, progress=False, **TINY
    ).store


def kinds(findings):
    found = {}
    for finding in findings:
        found.setdefault(finding.kind, set()).add(finding.video)
    return found


EXPECTED = {
    "missing": {"gone"},
    "unreadable": {"text", "sound"},
    "outside": {"good@7-8"},
    "cut short": {"good@1-5"},
    "no track": {"mute"},
    "short": {"few"},
}


@pytest.mark.slow
def test_headers_tell_all_but_silence(dataset):
    done = []
    assert kinds(check_headers(dataset, frames=4, advance=done.append)) == EXPECTED
    assert len(done) == 6  # files, each once, whatever the number of their clips


def test_decoding_tells_silence_as_well(dataset):
    assert kinds(check_clips(dataset, frames=4, workers=1)) == {**EXPECTED, "silent": {"silent"}}


def test_a_store_tells_what_decoding_tells(dataset, store):
    assert kinds(check_store(dataset, open_store(store))) == {**EXPECTED, "silent": {"silent"}}


def test_a_census_by_decoding_is_that_of_the_store(dataset, store):
    report = CheckReport(dataset, "store", 4, check_store(dataset, open_store(store)))
    mine, theirs = report.parts()["given"]["test"], open_store(store).info()["parts"]["given"]["test"]
    for name in ("asked", "found", "unreadable", "no track", "silent", "short", "captions", "gallery_hash"):
        assert mine[name] == theirs[name], name
    assert (mine["asked"], mine["found"], mine["unreadable"], mine["usable"]) == (8, 7, 3, 4)


@pytest.mark.slow
def test_a_fault_names_the_entry_that_asks_for_it(dataset):
    (outside,) = (finding for finding in check_headers(dataset, frames=4) if finding.kind == "outside")
    assert str(outside) == "good@7-8: begins at 7 s, good.mp4 ends at 2.00 s (captions.csv, line 9)"
    (cut,) = (finding for finding in check_clips(dataset, frames=4, workers=0) if finding.kind == "cut short")
    assert str(cut) == "good@1-5: lasts 1.00 s of the 4.00 s asked for, then good.mp4 ends (captions.csv, line 10)"


def test_clips_that_the_store_does_not_know_are_told(copy, store):
    table = copy / "more.csv"
    table.write_text(TABLE + "few.mp4,z,0,0.1,test\n")
    found = kinds(check_store(load_dataset("csv", table), open_store(store)))
    assert found["not in the store"] == {"few@0-0.1"}


def test_counts_are_held_against_the_published_ones(dataset):
    published = [
        Published("given", ("train", "val"), 2, 2, "us"),
        Published("given", ("test",), 9, None, "us"),
        Published("other", ("test",), 9, None, "us"),
    ]
    counted = count_published(dataset, published)
    assert [(one.videos, one.captions, one.equal) for one in counted] == [(2, 2, True), (8, 8, False)]
    assert CheckReport(dataset, "headers", 4, [], counted).wrong == 1


@pytest.mark.slow
def test_the_command_lists_faults_on_stdout_and_ends_with_3(copy, capfd):
    assert run(["datasets", "csv", "--root", str(copy), "--check", "--frames", "4"]) == 3
    told = capfd.readouterr()
    assert "missing (not there): 1 of 10" in told.out
    assert "text: unreadable: " in told.out
    assert "silent" not in told.out.split("no track (")[1]
    assert "opening csv: 6/6 files" in told.err
    assert told.err.strip().endswith("csv: 5 problems found")


def test_the_command_reads_a_store_and_gives_json(copy, store, capfd):
    assert run(["datasets", "csv", "--root", str(copy), "--store", str(store), "--json"]) == 3
    told = json.loads(capfd.readouterr().out)
    assert (told["looked"], told["wrong"], told["unknown"]) == ("store", 5, [])
    assert [one["video"] for one in told["silent"]] == ["silent"]


@pytest.mark.slow
def test_a_whole_copy_ends_with_0(copy, capfd):
    (copy / "whole.csv").write_text("video,caption\ngood.mp4,x\nmute.mp4,y\n")
    assert run(["datasets", "csv", "--root", str(copy / "whole.csv"), "--check", "--decode"]) == 0
    assert "no problem found" in capfd.readouterr().err


def test_a_store_of_something_else_and_a_check_of_nothing_are_refused(copy, store, tmp_path, capfd):
    (tmp_path / "a.mp4").write_bytes(b"")
    assert run(["datasets", "folder", "--root", str(tmp_path), "--check", "--store", str(store)]) == 2
    assert "holds csv, not folder" in capfd.readouterr().err
    assert run(["datasets", "--check"]) == 2
    assert "name a data set" in capfd.readouterr().err
