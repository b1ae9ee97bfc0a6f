"""What a container calls a key frame may be none: the pictures are right all the same, or the clip says that they are not."""

import numpy as np
import pytest

from gaid.media import pyav as media_pyav
from gaid.media.decode import decode_clip
from tests.media.asking import request
from tests.media_faults import flag_every_sample
from tests.media_maker import break_packets, read_number, write_video


def numbers(clip):
    return [read_number(frame) for frame in clip.frames]


def at_middles(begin, seconds, frames, rate):
    return [int((begin + (i + 0.5) * seconds / frames) * rate + 1e-9) for i in range(frames)]


WRONG = {
    "hevc": {"codec": "libx265", "size": (320, 192)},
    "mpeg4": {"codec": "mpeg4", "bframes": 0},
}


@pytest.mark.slow
@pytest.mark.parametrize("kept_bytes", [64 << 20, 0])
@pytest.mark.parametrize("codec", WRONG)
def test_pictures_are_right_where_every_picture_is_called_a_key_frame(tmp_path, codec, kept_bytes, monkeypatch):
    honest = write_video(tmp_path / "a.mp4", frames=150, gop=30, **WRONG[codec])
    path = flag_every_sample(honest, tmp_path / "b.mp4")
    monkeypatch.setattr(media_pyav, "KEPT_BYTES", kept_bytes)
    expected, got = decode_clip(request(honest)), decode_clip(request(path))
    assert numbers(got) == at_middles(0, 6, 12, 25)
    np.testing.assert_array_equal(got.frames, expected.frames)
    assert got.remarks == ()


@pytest.mark.slow
@pytest.mark.parametrize("gop", [25, 250])
def test_a_late_clip_is_right_where_every_picture_is_called_a_key_frame(tmp_path, gop):
    honest = write_video(tmp_path / "a.mp4", frames=250, rate=5, gop=gop, codec="mpeg4", bframes=0)
    path = flag_every_sample(honest, tmp_path / "b.mp4")
    clip = decode_clip(request(path, start=40.0, end=44.0, frames=5))
    assert numbers(clip) == at_middles(40, 4, 5, 5)
    assert clip.audio_mask.all()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "ts"])
@pytest.mark.parametrize("start", [None, 3.2])
def test_pictures_are_right_where_a_refresh_takes_a_second(tmp_path, suffix, start):
    options = {"x264-params": "intra-refresh=1:mbtree=0"}
    path = write_video(tmp_path / f"a.{suffix}", frames=150, gop=25, bframes=0, size=(640, 368), options=options)
    end = None if start is None else 4.0
    clip = decode_clip(request(path, start=start, end=end))
    assert numbers(clip) == at_middles(start or 0, 6 if start is None else 0.8, 12, 25)
    straight = decode_all(path)
    for frame, number in zip(clip.frames, numbers(clip), strict=True):
        assert np.abs(frame.astype(int) - straight[number]).mean() < 1
    assert clip.remarks == ()


def decode_all(path):
    """Every picture, decoded straight on from the first."""
    import av

    from gaid.media.picture import fit
    from gaid.specs import FrameSpec

    with av.open(str(path)) as container:
        return [
            fit(picture.to_ndarray(format="rgb24"), FrameSpec(96)).astype(int) for picture in container.decode(video=0)
        ]


@pytest.mark.slow
def test_an_honest_file_costs_no_more_to_decode(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", frames=300, gop=12)
    proofs = []
    monkeypatch.setattr(media_pyav, "prove_keys", lambda *given: proofs.append(given) or [])
    clip = decode_clip(request(path))
    assert proofs == []
    assert numbers(clip) == at_middles(0, 12, 12, 25)
    assert clip.decoded < 12 * 7


def test_a_picture_that_is_lost_is_replaced_by_the_nearest_and_counted(tmp_path):
    whole = write_video(tmp_path / "a.mkv", frames=12, codec="mjpeg", pix_fmt="yuvj420p", sound=None)
    lost = break_packets(whole, tmp_path / "b.mkv", "video", which={3, 7})
    clip = decode_clip(request(lost))
    assert [n for n in range(12) if numbers(clip)[n] == n] == [0, 1, 2, 4, 5, 6, 8, 9, 10, 11]
    assert [kind for kind, _ in clip.remarks] == ["replaced"]
    assert "2 of 12 pictures" in clip.remarks[0][1]
