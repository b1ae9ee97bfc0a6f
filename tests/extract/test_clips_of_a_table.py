"""A table with times, from its lines to a store: what is taken of each video, and times that the video does not have."""

import numpy as np
import pytest

from gaid.extract import extract
from gaid.stores import open_store
from tests.media_maker import write_video

TABLE = """video,caption,start,end,split
film.mp4,"the beginning, in red",0,0.8,train
film.mp4,the middle,0:00.8,1.6,val
film.mp4,longer than there is,1.2,9,test
film,after the end,5,6,test
film.mp4,the whole,,,test
"""


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    root = tmp_path_factory.mktemp("table")
    write_video(root / "film.mp4", frames=50, rate=25, size=(64, 48), sound="tone", sound_rate=16000)  # 2 s
    (root / "captions.csv").write_text(TABLE)
    tiny = {"visual": "tiny", "audio": "tiny", "text": "tiny"}
    report = extract("csv", root=root, out=root / "s.zarr", frames=4, workers=0, max_missing=0, progress=False, **tiny)
    return report, open_store(root / "s.zarr")


def test_a_clip_is_sampled_inside_its_times(extracted):
    _, store = extracted
    assert store.ids == ["film@0-0.8", "film@0.8-1.6", "film@1.2-9", "film@5-6", "film"]
    assert store["videos/duration"][:].tolist() == pytest.approx([0.8, 0.8, 0.8, 0.0, 2.0])
    assert store["videos/time"][1].tolist() == pytest.approx([0.1, 0.3, 0.5, 0.7])
    visual = store["videos/visual"][:].astype(np.float32)
    assert not np.allclose(visual[0], visual[1])


def test_a_clip_that_begins_after_its_video_fails_and_names_its_line(extracted):
    report, store = extracted
    (failure,) = report.failed
    assert (failure.video, failure.reason) == ("film@5-6", "empty")
    assert "no picture from 5 s to 6 s; the video ends at 2.000 s (captions.csv, line 5)" in failure.message
    assert store.split("test").video_ids == ["film@1.2-9", "film"]
    assert store.split("test").census["failed: empty"] == 1


def test_a_clip_that_ends_after_its_video_is_kept_as_long_as_it_is_and_told(extracted):
    report, _ = extracted
    assert report.cut_short == [
        "film@1.2-9: lasts 0.80 s of the 7.80 s asked for, then film.mp4 ends (captions.csv, line 4)"
    ]
    assert report.to_dict()["cut_short"] == report.cut_short


def test_the_split_column_is_the_stores_split(extracted):
    _, store = extracted
    assert store.protocols["given"] == {"train": 1, "val": 1, "test": 3}
    assert store.split("train").caption_texts == ["the beginning, in red"]


def test_what_is_cut_short_is_one_line_of_an_extraction(extracted, capfd):
    report, _ = extracted
    root = report.store.parent
    extract("csv", root=root, out=report.store, frames=4, workers=0, visual="tiny", audio="tiny", text="tiny")
    told = capfd.readouterr().err
    assert "film@1.2-9: lasts 0.80 s of the 7.80 s asked for" in told
