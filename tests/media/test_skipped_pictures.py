"""Pictures between the wanted ones that no other picture refers to are not decoded, and the wanted ones are bit for bit the same."""

import numpy as np
import pytest

from gaid.media import pyav_pictures
from gaid.media.decode import decode_clip
from tests.media.asking import request
from tests.media_maker import write_video

LEAVES_OUT = {
    "h264": {"options": {"x264-params": "mbtree=0:b-pyramid=normal"}, "bframes": 5},
    "hevc": {"codec": "libx265", "size": (320, 192)},
    "mpeg4": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpeg2video": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "interlaced mpeg2video": {"codec": "mpeg2video", "options": {"bf": "2", "flags": "+ildct+ilme"}},
}
DECODES_ALL = {"vp9": {"codec": "libvpx-vp9"}}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
@pytest.mark.parametrize("codec", [*LEAVES_OUT, *DECODES_ALL])
def test_leaving_pictures_out_changes_no_bit_of_the_others(tmp_path, monkeypatch, codec, suffix):
    if (codec, suffix) == ("vp9", "ts"):
        pytest.skip("a transport stream can't hold VP9")
    options = {**LEAVES_OUT, **DECODES_ALL}[codec]
    path = write_video(tmp_path / f"a.{suffix}", frames=120, gop=40, sound_codec="mp2", **options)
    asked = [request(path), request(path, start=1.3, end=3.9, frames=7), request(path, frames=60)]
    found = [decode_clip(one) for one in asked]
    monkeypatch.setattr(pyav_pictures, "LEAVES_OUT", ())
    straight = [decode_clip(one) for one in asked]
    for clip, whole in zip(found, straight, strict=True):
        np.testing.assert_array_equal(clip.frames, whole.frames)
        np.testing.assert_array_equal(clip.frame_times, whole.frame_times)
        assert clip.remarks == whole.remarks == ()
    if codec in LEAVES_OUT:
        assert found[0].decoded < straight[0].decoded
