"""Steps of a whole sound as features of frames: each frame has the mean of its own part."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from gaid.errors import OptionInvalid
from gaid.extract.encoder import encode_sound
from gaid.extract.plan import check_audio_sampling
from gaid.extract.steps import mean_of_parts
from gaid.media.decode import decode_clip
from gaid.specs import AudioSpec
from gaid.stores import open_store
from tests.extract.stubs import NAMES, StubSteps, run
from tests.media import asking
from tests.media_maker import tone, write_video

RATE = StubSteps.audio_spec.rate


def clip_of(path, seconds, frames, **changes):
    write_video(
        path, frames=round(5 * seconds), rate=5, sound=tone(seconds, 16_000), sound_rate=16_000,
        sound_codec="pcm_s16le",
    )  # fmt: skip
    return decode_clip(asking.request(path, frames=frames, audio_spec=StubSteps.audio_spec, **changes))


@pytest.mark.parametrize(("seconds", "pieces"), [(3, 1), (9, 3)])
def test_a_frame_has_the_mean_of_the_steps_in_its_window(tmp_path, seconds, pieces):
    """Ten steps per second, each with the time within its piece as its value: windows of a whole number of steps have the
    mean of these times."""
    clip = clip_of(tmp_path / "a.mkv", seconds, frames=3 * pieces)
    assert len(clip.audio) == pieces
    features, tokens = encode_sound([clip], StubSteps(), tokens=False)
    assert tokens is None
    times = (np.arange(3 * pieces) + 0.5) % 3
    np.testing.assert_allclose(features[0, :, 0], times, atol=1e-5)


def test_a_frame_between_two_pieces_has_steps_of_both(tmp_path):
    clip = clip_of(tmp_path / "a.mkv", 6, frames=3)  # pieces of 3 s, the middle frame hears 2 to 4 s
    features, _ = encode_sound([clip], StubSteps(), tokens=False)
    np.testing.assert_allclose(features[0, :, 0], [1.0, (2.5 + 0.5) / 2, 2.0], atol=1e-5)


def test_a_window_shorter_than_a_step_has_the_nearest_one(tmp_path):
    clip = clip_of(tmp_path / "a.mkv", 1, frames=25)
    features, _ = encode_sound([clip], StubSteps(), tokens=False)
    assert np.abs(features[0, :, 0] - clip.times).max() < 0.0501


def test_frames_without_sound_are_zeros(tmp_path):
    clip = clip_of(tmp_path / "a.mkv", 3, frames=3)
    clip.audio_mask[1] = False
    features, _ = encode_sound([clip], StubSteps(), tokens=False)
    np.testing.assert_allclose(features[0, :, 0], [0.5, 0, 2.5], atol=1e-5)


@pytest.mark.parametrize(("steps", "frames"), [(1500, 12), (1500, 7), (10, 4)])
def test_equal_parts_are_those_of_pytorchs_adaptive_mean(steps, frames):
    values = np.random.default_rng(0).normal(size=(steps, 3)).astype(np.float32)
    expected = torch.nn.functional.adaptive_avg_pool1d(torch.from_numpy(values.T)[None], frames)[0].T.numpy()
    np.testing.assert_allclose(mean_of_parts(values, frames), expected, atol=1e-6)


def test_parts_are_written_out_for_seven_frames_of_ten_steps():
    found = mean_of_parts(np.arange(10, dtype=np.float32)[:, None], 7)[:, 0]
    np.testing.assert_allclose(found, [0.5, 1.5, 3.0, 4.5, 6.0, 7.5, 8.5])


def test_published_frames_share_what_the_backbone_gives(tmp_path):
    clip = clip_of(tmp_path / "a.mkv", 3, frames=4, audio_sampling="published")
    features, _ = encode_sound([clip], StubSteps(), tokens=False)
    np.testing.assert_allclose(features[0, :, 0], [100, 101, 102, 103])


@pytest.mark.slow
def test_a_class_that_hears_the_whole_sound_goes_through_extraction(world, tmp_path):
    names = {**NAMES, "audio": "tests.extract.stubs:StubSteps"}
    for sampling in ("aligned", "published"):
        out = tmp_path / f"{sampling}.zarr"
        run(world, out, audio_sampling=sampling, **names)
        store = open_store(out)
        audio, mask = store["videos/audio"][:], store["videos/audio_mask"][:]
        assert store.attrs["sampling"]["audio"]["whole"] is True
        assert mask.any()
        assert (audio[~mask] == 0).all()
        assert (audio[mask] != 0).any(axis=-1).all()


def test_what_a_backbone_cannot_hear_is_refused_with_what_it_can():
    class Windows:
        name = "windows"
        audio_spec = AudioSpec(16_000, 1.0, 5.0)

    class Steps(StubSteps):
        encode_published = property()

    check_audio_sampling(Windows(), "spread")
    check_audio_sampling(StubSteps(), "published")
    with pytest.raises(OptionInvalid, match="windows hears one window per frame; use spread"):
        check_audio_sampling(Windows(), "published")
    with pytest.raises(OptionInvalid, match="use aligned or published"):
        check_audio_sampling(StubSteps(), "spread")
    with pytest.raises(OptionInvalid, match="cannot encode a sound as the published code does; use aligned"):
        check_audio_sampling(Steps(), "published")


def test_store_info_says_which_sound_a_frame_has(world, tmp_path):
    names = {**NAMES, "audio": "tests.extract.stubs:StubSteps"}
    run(world, tmp_path / "p.zarr", audio_sampling="published", limit=2, **names)
    command = [sys.executable, "-m", "gaid", "store", "info", str(tmp_path / "p.zarr")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"})
    assert "sound published" in done.stdout
