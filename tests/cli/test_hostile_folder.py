"""A folder in which much is not what its name says: good clips are kept, each bad one is one line, nothing else is opened."""

import socket
from pathlib import Path

import numpy as np
import pytest

from tests.media_maker import tone, write_video

TINY = ("--visual", "tiny", "--audio", "tiny", "--text", "tiny")
GOOD = {"good", "sub/no sound", "one frame", "10 bit 4-2-2", "вечер у моря 日本"}
BAD = {
    "text": "unreadable",
    "empty": "empty",
    "truncated": "unreadable",
    "random": "unreadable",
    "playlist": "unreadable",
    "link": "unreadable",
    "x": "refused",
    "gone": "missing",
}


@pytest.fixture
def server():
    """A socket that would know if somebody asked it for a file."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        yield listening


@pytest.fixture
def folder(tmp_path: Path, server: socket.socket) -> Path:
    root = tmp_path / "videos"
    write_video(root / "good.mp4", frames=30)
    write_video(root / "sub" / "no sound.mp4", frames=30, sound=None)
    write_video(root / "one frame.mp4", frames=1)
    write_video(root / "10 bit 4-2-2.mp4", frames=25, pix_fmt="yuv422p10le", sound=tone(3.0, 44100))
    write_video(root / "вечер у моря 日本.mp4", frames=30)
    whole = (root / "good.mp4").read_bytes()
    (root / "text.mp4").write_text("this is no video\n")
    (root / "empty.mp4").write_bytes(b"")
    (root / "truncated.mp4").write_bytes(whole[: len(whole) // 3])
    (root / "random.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    port = server.getsockname()[1]
    (root / "playlist.mp4").write_text(f"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:10,\nhttp://127.0.0.1:{port}/clip.ts\n")
    (root / "notes.txt").write_text("not about a video")
    (root / "link.mp4").symlink_to(root / "notes.txt")
    (root / "gone.mp4").symlink_to(root / "nowhere")
    (root / "x.mp4").mkdir()
    return root


@pytest.mark.slow
def test_good_clips_are_kept_and_each_bad_one_is_one_line(gaid, folder, server):
    told = gaid("extract", "--dataset", "folder", "--root", folder, *TINY, "--out", "h.zarr", "--max-missing", "1")
    assert told.code == 3
    assert "Traceback" not in told.err
    lines = told.err.splitlines()
    for name, reason in BAD.items():
        assert [line.split(": ")[1] for line in lines if line.startswith(f"{name}: ")] == [reason]
    assert told.out.startswith("h.zarr: 5 of 13 clips, 0 captions; 8 failed (5 unreadable, ")
    with pytest.raises(TimeoutError):
        server.accept()

    from gaid import open_store

    store = open_store("h.zarr")
    valid = store["videos/valid"][:]
    assert {name for name, kept in zip(store.ids, valid, strict=True) if kept} == GOOD
    assert np.isfinite(store["videos/visual"][:][valid].astype(np.float32)).all()


@pytest.mark.slow
def test_the_same_again_does_nothing_and_tells_the_same(gaid, folder):
    command = ("extract", "--dataset", "folder", "--root", folder, *TINY, "--out", "h.zarr", "--json")
    first, again = gaid(*command), gaid(*command)
    assert first.code == again.code == 3
    assert again.json["already_complete"]
    assert again.json["extracted"] == 0
    assert again.json["failed"] == first.json["failed"]
    assert {one["video"] for one in first.json["failed"]} == set(BAD)
    assert all("\n" not in one["message"] for one in first.json["failed"])


@pytest.mark.slow
def test_the_store_tells_what_failed_and_is_sound_in_both_formats(gaid, folder):
    gaid("extract", "--dataset", "folder", "--root", folder, *TINY, "--out", "h.zarr")
    told = gaid("store", "info", "h.zarr")
    assert told.code == 0
    assert told.out.count("failed: ") >= len(BAD)
    assert gaid("store", "verify", "h.zarr").code == 0
    assert gaid("store", "convert", "h.zarr", "h.h5").code == 0
    assert gaid("store", "verify", "h.h5", "--json").json["ok"]
    one, other = (gaid("store", "info", path, "--json").json for path in ("h.zarr", "h.h5"))
    assert one["attributes"]["fingerprint"] == other["attributes"]["fingerprint"]
    assert {one["video"] if "video" in one else one["id"] for one in other["failed"]} == set(BAD)


@pytest.mark.slow
def test_damage_is_found_and_is_exit_code_3(gaid, folder):
    gaid("extract", "--dataset", "folder", "--root", folder, *TINY, "--out", "h.zarr")
    chunk = max(
        (file for file in Path("h.zarr/videos/visual").rglob("*") if file.is_file()), key=lambda f: f.stat().st_size
    )
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    told = gaid("store", "verify", "h.zarr")
    assert told.code == 3
    assert "videos/visual" in told.err
    assert gaid("store", "verify", "h.zarr", "--json").json["problems"]


@pytest.mark.slow
def test_a_folder_without_captions_can_not_be_trained_on_and_says_so(gaid, folder):
    gaid("extract", "--dataset", "folder", "--root", folder, *TINY, "--out", "h.zarr")
    for arguments in (("train-head", "--store", "h.zarr"), ("eval", "--store", "h.zarr", "--preset", "mean-pool")):
        told = gaid(*arguments)
        assert told.code == 2
        assert told.err.startswith("gaid: h.zarr: ")
