"""Clips' files, previews and thumbnails: by what the files hold, in parts, and only those that were extracted."""

import io
import os
import shutil

import av
import numpy as np
import pytest
from PIL import Image

from gaid.server.ranges import Unsatisfiable, read_range


@pytest.fixture
def whole(world):
    return (world.folder / "plain.mp4").read_bytes()


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, None),
        ("bytes=0-", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("BYTES=10-19", (10, 20)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
        ("bytes=0-1,5-6", None),  # several parts: the whole
        ("bytes=19-10", None),  # not a range: ignored
        ("bytes=a-b", None),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes=--1", None),
        ("bytes=1-2-3", None),
        ("bytes=" + 30 * "9" + "-", None),
        ("bytes=٣-٤", None),
        ("lines=1-2", None),
    ],
)
def test_ranges(header, part):
    assert read_range(header, 100) == part


@pytest.mark.parametrize(("header", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=-5", 0)])
def test_ranges_without_a_byte(header, size):
    with pytest.raises(Unsatisfiable):
        read_range(header, size)


def test_a_file_is_sent_whole_or_in_part(client, world, whole):
    place = f"/api/clips/{world.key('plain')}/media"
    answer = client.get(place)
    assert (answer.status_code, answer.content) == (200, whole)
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["accept-ranges"] == "bytes"
    part = client.get(place, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole)}"
    assert client.get(place, headers={"Range": "bytes=-5"}).content == whole[-5:]
    beyond = client.get(place, headers={"Range": f"bytes={len(whole)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(whole)}")
    assert beyond.json()["error"]["kind"] == "RangeInvalid"
    head = client.head(place)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(whole)))


def test_a_part_of_another_state_of_the_file_is_not_sent(client, world, whole):
    place = f"/api/clips/{world.key('plain')}/media"
    tag = client.head(place).headers["etag"]
    assert client.get(place, headers={"If-None-Match": tag}).status_code == 304
    for condition, status in ((tag, 206), ('"other"', 200)):
        assert client.get(place, headers={"Range": "bytes=0-9", "If-Range": condition}).status_code == status


def test_what_no_browser_plays_is_refused_with_the_address_of_a_preview(client, world):
    place = f"/api/clips/{world.key('parts/old')}"
    answer = client.get(f"{place}/media")
    assert answer.status_code == 415
    assert f"{place}/preview" in answer.json()["error"]["message"]
    assert client.get(f"/api/clips/{world.key('parts/web')}/media").headers["content-type"] == "video/webm"


def test_a_preview_shows_the_part_that_is_asked_for(client, world):
    place = f"/api/clips/{world.key('parts/old')}/preview"
    first = client.get(place, params={"start": 0.4, "end": 0.8})
    assert first.status_code == 200
    with av.open(io.BytesIO(first.content)) as video:
        times = [frame.time for frame in video.decode(video=0)]
    assert len(times) == 10
    assert times[-1] - times[0] == pytest.approx(0.36, abs=0.03)  # AAC begins 21 ms early
    again = client.get(place, params={"start": 0.4, "end": 0.8}, headers={"Range": "bytes=0-9"})
    assert (again.status_code, again.content) == (206, first.content[:10])
    for start, end in ((5, 6), (0.5, 0.4), (-1, 1)):
        assert client.get(place, params={"start": start, "end": end}).status_code in (400, 422)


def test_a_thumbnail_is_the_frame_nearest_to_the_time(client, world):
    place = f"/api/clips/{world.key('plain')}"
    times = client.get(place).json()["times"]
    assert len(times) == 4
    pictures = [client.get(f"{place}/thumbnail", params={"at": time}).content for time in times]
    assert len(set(pictures)) == 4
    assert client.get(f"{place}/thumbnail", params={"at": times[1] + 0.01}).content == pictures[1]
    assert client.get(f"{place}/thumbnail", params={"at": 1e5}).content == pictures[3]
    assert np.asarray(Image.open(io.BytesIO(pictures[0]))).shape == (240, 240, 3)


def test_a_clip_says_what_it_has(client, world):
    clip = client.get(f"/api/clips/{world.key('mute')}").json()
    assert (clip["video"], clip["senses"], clip["audio"]) == ("mute", ["picture"], "no track")
    assert clip["type"] == "video/mp4"
    assert client.get(f"/api/clips/{world.key('parts/old')}").json()["type"] is None


def test_the_strip_adds_up(client, world):
    strip = client.get(f"/api/clips/{world.key('plain')}/weights", params={"q": "a dog barks"}).json()
    assert len(strip["frames"]) == 4
    for frame in strip["frames"]:
        assert frame["score"] == pytest.approx(frame["picture"] + frame["sound"], abs=1e-4)
    mute = client.get(f"/api/clips/{world.key('mute')}/weights", params={"q": "a dog barks"}).json()
    assert {frame["sound"] for frame in mute["frames"]} == {None}


@pytest.fixture
def plain(world):
    """The path of a clip's file, which is put back as it was."""
    path, copy = world.folder / "plain.mp4", world.folder.parent / "kept.mp4"
    shutil.copy2(path, copy)
    yield path
    path.unlink(missing_ok=True)
    shutil.copy2(copy, path)


def test_a_file_that_was_replaced_is_not_sent(client, world, plain):
    places = [f"/api/clips/{world.key('plain')}/{name}" for name in ("media", "preview?end=0.3")]
    shutil.copy(world.folder / "mute.mp4", plain)
    assert {client.get(place).json()["error"]["kind"] for place in places} == {"MediaChanged"}
    plain.unlink()
    assert {client.get(place).json()["error"]["kind"] for place in places} == {"MediaMissing"}
    plain.symlink_to("/etc/passwd")
    assert {client.get(place).status_code for place in places} == {410}
    plain.unlink()
    os.mkfifo(plain)
    assert {client.get(place).status_code for place in places} == {404}
