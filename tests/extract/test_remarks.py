"""What is to be known of clips' pictures reaches the report, the census and both forms of the store."""

import pytest

from gaid.datasets.types import Caption, Dataset, Video
from gaid.stores import convert_store, open_store
from tests.extract.stubs import run
from tests.media_maker import break_packets, tone, write_video

EXPECTED = {"lost": "replaced", "pause": "long gap", "still": "one picture"}


@pytest.fixture
def dataset(tmp_path):
    root = tmp_path / "clips"
    write_video(root / "good.mp4", frames=24)
    write_video(root / "still.mp4", frames=1, sound=tone(3, 44100))
    write_video(root / "pause.mkv", frames=24, times=[n / 25 + 3 * (n > 11) for n in range(24)], bframes=0)
    whole = write_video(root / "whole.mkv", frames=12, codec="mjpeg", pix_fmt="yuvj420p")
    break_packets(whole, root / "lost.mkv", "video", which={3})
    whole.unlink()
    videos = tuple(Video(path.stem, path) for path in sorted(root.iterdir()))
    captions = tuple(Caption(f"{video.id}/0", video.id, f"a clip named {video.id}") for video in videos)
    return Dataset("four", root, videos, captions, {"all": {"test": (0, 1, 2, 3)}}, "all")


@pytest.mark.slow
def test_what_is_to_be_known_of_pictures_is_reported_and_counted(dataset, tmp_path, capsys):
    report = run(dataset, tmp_path / "a.zarr", frames=12, progress=True)
    assert not report.failed
    assert [line.partition(":")[0] for line in report.remarks] == sorted(EXPECTED)
    assert "1 of 12 pictures" in report.remarks[0]
    assert "the pictures of 3 clips are worth a look; the first is lost: 1 of 12" in capsys.readouterr().err
    store = open_store(tmp_path / "a.zarr")
    assert {one["id"]: one["kind"] for one in store.remarks} == EXPECTED
    assert {kind: report.census[kind] for kind in EXPECTED.values()} == dict.fromkeys(EXPECTED.values(), 1)
    assert store.verify().ok
    there = convert_store(store.path, tmp_path / "b.h5")
    back = convert_store(there.path, tmp_path / "c.zarr")
    assert there.remarks == back.remarks == store.remarks
