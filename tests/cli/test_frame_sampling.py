"""`gaid extract --frame-sampling`: a store is of one sampling, and whatever reads its clips again takes that one."""

import pytest

from gaid.media.clip import Sampling
from gaid.report.thumbnails import load_clips
from gaid.specs import AudioSpec
from gaid.stores import open_store
from tests.media_maker import read_number, write_video

WAYS = ("even", "keyframes", "per-second")


@pytest.mark.slow
def test_a_store_is_of_one_frame_sampling_and_its_clips_are_read_so_again(gaid, tmp_path):
    write_video(tmp_path / "clips" / "a.mp4", frames=50, gop=50, sound_rate=16000)
    encoders = ("--visual", "tiny", "--audio", "tiny", "--text", "tiny", "--workers", 0)
    command = ("extract", "--dataset", "folder", "--root", tmp_path / "clips", *encoders)
    stores = {}
    for way in WAYS:
        assert gaid(*command, "--out", f"{way}.zarr", "--frame-sampling", way).code == 0
        stores[way] = open_store(tmp_path / f"{way}.zarr")
    assert len({store.fingerprint for store in stores.values()}) == 3
    assert "frame_sampling" not in stores["even"].attrs["sampling"]  # the identity of stores from before the choice
    assert stores["per-second"]["videos/time"][0].tolist() == [0] + [1] * 11
    assert stores["per-second"]["videos/short"][0]
    for way, store in stores.items():
        assert Sampling.of_store(store).frame_sampling == way
    again = {way: load_clips(store, store.ids, AudioSpec(16000, 0.1, 5.0))[0]["a"] for way, store in stores.items()}
    assert {way: read_number(clip.frames[-1]) for way, clip in again.items()} == {
        "even": 47,
        "keyframes": 0,
        "per-second": 25,
    }

    refused = gaid(*command, "--out", "even.zarr", "--frame-sampling", "keyframes")
    assert refused.code == 2
    assert "--frame-sampling even there, keyframes now" in refused.err
    assert "(keyframes)" in gaid("store", "info", "keyframes.zarr").out
