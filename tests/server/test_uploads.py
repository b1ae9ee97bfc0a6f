"""Searches by a picture or a sound that the client sends."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from tests import media_maker


def send(client, kind, body, **params):
    return client.post(f"/api/search/{kind}", content=body, params=params)


def test_a_clip_is_found_by_its_own_file(client, world):
    answer = send(client, "picture", (world.folder / "parts" / "old.avi").read_bytes(), top=2).json()
    assert answer["query"] == "like the picture"
    assert answer["hits"][0]["video"] == "parts/old"
    assert len(answer["hits"]) == 2


def test_a_picture_and_a_sound(client, tmp_path):
    picture = io.BytesIO()
    Image.fromarray(media_maker.draw_number(3)).save(picture, "PNG")
    assert len(send(client, "picture", picture.getvalue()).json()["hits"]) == 4
    sound = media_maker.write_sound(tmp_path / "tone.wav", media_maker.tone(1, 16000), rate=16000).read_bytes()
    assert len(send(client, "sound", sound, folder="parts").json()["hits"]) == 2
    assert send(client, "sound", picture.getvalue()).status_code == 422  # it has no sound


def bomb():
    """A PNG of a few kilobytes that says it has 60,000 by 60,000 pixels."""
    small = io.BytesIO()
    Image.new("1", (8, 8)).save(small, "PNG")
    data = bytearray(small.getvalue())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"no picture", 422),
        (b"\x89PNG\r\n\x1a\n" + 100 * b"\0", 422),
        (b"\xff\xd8\xff" + bytes(np.random.default_rng(0).integers(0, 256, 4000, np.uint8)), 422),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", 422),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", 422),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", 422),
        (b"GIF89a" + 50 * b"\xff", 422),
        (bomb(), 422),
    ],
    ids=["empty", "text", "broken png", "broken jpeg", "playlist", "list of files", "svg", "broken gif", "bomb"],
)
@pytest.mark.parametrize("kind", ["picture", "sound"])
def test_files_that_are_none_are_refused(client, kind, body, status):
    answer = send(client, kind, body)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"kind", "message"}
    assert "/tmp" not in answer.text
    assert "root:" not in answer.text
