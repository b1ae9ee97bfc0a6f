"""Channels as one: the standard downmix, what cancels in it, and which channel decides what is silent."""

from functools import partial

import av
import numpy as np
import pytest

from gaid.media.decode import decode_clip
from gaid.media.mixing import channel_weights
from gaid.specs import AudioSpec
from tests.media import asking
from tests.media.asking import decoders
from tests.media_maker import tone, write_video

RATE = 48000
request = partial(asking.request, frames=4, audio_spec=AudioSpec(16000, 0.1, 5.0))


def names_of(layout):
    return [channel.name for channel in av.AudioLayout(layout).channels]


def write_channels(path, layout, channels, **options):
    """Two seconds of video with these channels {name: samples}; the others are silent."""
    sound = np.stack([channels.get(name, np.zeros(2 * RATE, np.float32)) for name in names_of(layout)])
    codec = {".mov": "pcm_f32le", ".mkv": "flac", ".avi": "pcm_s16le"}[path.suffix]
    return write_video(path, sound=sound, sound_rate=RATE, sound_codec=codec, layout=layout, **options)


def level(windows):
    return np.sqrt(np.mean(np.square(windows, dtype=float)))


TONE = tone(2, RATE, 500)[0]
LEVEL = 0.5 / np.sqrt(2)


@pytest.mark.parametrize(
    ("layout", "left", "right"),
    [
        ("mono", {"FC": 1}, {"FC": 1}),
        ("stereo", {"FL": 1}, {"FR": 1}),
        ("2.1", {"FL": 1}, {"FR": 1}),
        ("5.1", {"FL": 1, "FC": 0.7071, "BL": 0.7071}, {"FR": 1, "FC": 0.7071, "BR": 0.7071}),
        ("5.1(side)", {"FL": 1, "FC": 0.7071, "SL": 0.7071}, {"FR": 1, "FC": 0.7071, "SR": 0.7071}),
        (
            "6.1",
            {"FL": 1, "FC": 0.7071, "SL": 0.7071, "BC": 0.5},
            {"FR": 1, "FC": 0.7071, "SR": 0.7071, "BC": 0.5},
        ),
        (
            "7.1",
            {"FL": 1, "FC": 0.7071, "BL": 0.7071, "SL": 0.7071},
            {"FR": 1, "FC": 0.7071, "BR": 0.7071, "SR": 0.7071},
        ),
    ],
)
def test_the_weights_are_the_mean_of_the_stereo_downmix_and_sum_to_one(layout, left, right):
    names = names_of(layout)
    mean = np.array([(left.get(name, 0) + right.get(name, 0)) / 2 for name in names])
    np.testing.assert_allclose(channel_weights(names, len(names)), mean / mean.sum(), atol=1e-4)


@pytest.mark.parametrize("names", [[], ["NONE"] * 4, ["AMBI0", "AMBI1", "AMBI2", "AMBI3"]])
def test_channels_without_a_place_are_averaged(names):
    np.testing.assert_array_equal(channel_weights(names, 4), np.full(4, 0.25, np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mov", "mkv", "avi"])
@pytest.mark.parametrize(("channel", "share"), [("FC", 0.2929), ("FL", 0.2071), ("BR", 0.1464)])
def test_a_channel_of_a_film_is_heard_at_its_share(tmp_path, suffix, channel, share):
    path = write_channels(tmp_path / f"a.{suffix}", "5.1", {channel: TONE})
    clip = decode_clip(request(path))
    assert clip.audio_mask.all()
    assert level(clip.audio) == pytest.approx(share * LEVEL, rel=0.01)


def test_a_track_of_nothing_but_low_frequency_effects_is_silent(tmp_path):
    clip = decode_clip(request(write_channels(tmp_path / "a.mkv", "5.1", {"LFE": TONE})))
    assert (clip.audio_state, clip.audio_mask.any()) == ("silent", False)


@pytest.mark.parametrize("share", [1.0, 0.97])
def test_stereo_in_opposite_phase_is_heard_as_its_louder_channel(tmp_path, share):
    path = write_channels(tmp_path / "a.mov", "stereo", {"FL": TONE, "FR": -share * TONE})
    alone = decode_clip(request(write_channels(tmp_path / "b.mov", "mono", {"FC": TONE})))
    clip = decode_clip(request(path))
    assert (clip.audio_state, clip.audio_mask.all()) == ("sound", True)
    assert level(clip.audio) == pytest.approx(LEVEL, rel=0.01)
    np.testing.assert_allclose(clip.audio, alone.audio, atol=2e-3)


def test_only_the_windows_in_which_channels_cancel_lose_their_mix(tmp_path):
    half = np.where(np.arange(2 * RATE) < RATE, 1, -1)
    other = tone(2, RATE, 700, level=0.25)[0]
    path = write_channels(tmp_path / "a.mov", "stereo", {"FL": TONE, "FR": np.where(half > 0, other, -TONE)})
    clip = decode_clip(request(path))
    mixed = np.sqrt(np.mean((0.5 * (TONE + other)[:RATE]) ** 2))
    np.testing.assert_allclose([level(window) for window in clip.audio], [mixed, mixed, LEVEL, LEVEL], rtol=0.01)


def test_windows_that_overlap_are_each_judged_by_their_own_sound(tmp_path):
    path = write_channels(tmp_path / "a.mov", "stereo", {"FL": TONE, "FR": -TONE})
    clip = decode_clip(request(path, frames=8, audio_spec=AudioSpec(16000, 1.0, 5.0)))
    assert clip.audio.shape == (8, 16000)
    assert level(clip.audio[3:5]) == pytest.approx(LEVEL, rel=0.01)


@pytest.mark.parametrize(("loud", "heard"), [(1.3e-3, True), (0.9e-3, False)])
def test_a_sound_of_one_side_is_silent_where_that_side_is(tmp_path, loud, heard):
    path = write_channels(tmp_path / "a.mov", "stereo", {"FL": loud * np.sqrt(2) / 0.5 * TONE})
    clip = decode_clip(request(path))
    assert (clip.audio_mask == heard).all()
    assert (clip.audio_state == "sound") == heard


def test_a_quiet_noise_that_is_other_on_either_side_is_mixed(tmp_path):
    rng = np.random.default_rng(0)
    left, right = (0.1 * rng.standard_normal((2, 2 * RATE))).astype(np.float32)
    clip = decode_clip(request(write_channels(tmp_path / "a.mov", "stereo", {"FL": left, "FR": right})))
    alone = decode_clip(request(write_channels(tmp_path / "b.mov", "mono", {"FC": (left + right) / 2})))
    np.testing.assert_allclose(clip.audio, alone.audio, atol=1e-5)


@pytest.mark.slow
@decoders
@pytest.mark.parametrize(("layout", "suffix"), [("5.1", "mov"), ("5.1(side)", "mkv"), ("3.0", "mkv"), ("7.1", "avi")])
def test_both_decoders_mix_the_same(tmp_path, layout, suffix, decoder):
    path = write_channels(tmp_path / f"a.{suffix}", layout, {"FC": TONE})
    clip = decode_clip(request(path, decoder=decoder))
    weights = dict(zip(names_of(layout), channel_weights(names_of(layout), len(names_of(layout))), strict=True))
    assert clip.audio_mask.all()
    assert level(clip.audio) == pytest.approx(weights["FC"] * LEVEL, rel=0.01)


@pytest.mark.slow
@decoders
def test_both_decoders_hear_opposite_phase_and_channels_without_a_place(tmp_path, decoder):
    opposite = write_channels(tmp_path / "a.mov", "stereo", {"FL": TONE, "FR": -TONE})
    assert level(decode_clip(request(opposite, decoder=decoder)).audio) == pytest.approx(LEVEL, rel=0.01)
    sound = np.stack([TONE, *np.zeros((7, 2 * RATE), np.float32)])
    path = write_video(
        tmp_path / "a.mkv", sound=sound, sound_rate=RATE, sound_codec="pcm_s16le", layout="7.1"
    )  # whose container does not say what the channels are
    assert level(decode_clip(request(path, decoder=decoder)).audio) == pytest.approx(LEVEL / 8, rel=0.01)


@pytest.mark.slow
@decoders
@pytest.mark.parametrize("order", [("5.1", "stereo"), ("stereo", "5.1")])
def test_a_layout_that_changes_on_the_way_is_mixed_as_each_part_has_it(tmp_path, order, decoder):
    expected = []
    for number, layout in enumerate(order):
        channels = {"FC": TONE} if layout == "5.1" else {"FL": TONE, "FR": TONE}
        sound = np.stack([channels.get(name, np.zeros(2 * RATE, np.float32)) for name in names_of(layout)])
        write_video(
            tmp_path / f"{number}.ts", sound=sound, sound_rate=RATE, layout=layout, offset=2.0 * number, bframes=0
        )
        expected += [0.2929 * LEVEL if layout == "5.1" else LEVEL] * 2
    (tmp_path / "a.ts").write_bytes((tmp_path / "0.ts").read_bytes() + (tmp_path / "1.ts").read_bytes())
    clip = decode_clip(request(tmp_path / "a.ts", decoder=decoder))
    assert clip.duration == pytest.approx(4.0, abs=0.05)
    np.testing.assert_allclose([level(window[3000:-3000]) for window in clip.audio], expected, rtol=0.03)


@pytest.mark.slow
@decoders
@pytest.mark.parametrize("start", [12_000.0, 90_000.0])
def test_sound_is_where_it_belongs_however_late_a_broadcasts_clock_begins(tmp_path, start, decoder):
    sound = np.zeros((1, 2 * RATE), np.float32)
    for time in (0.3, 0.85, 1.4):
        sound[0, round(time * RATE) : round(time * RATE) + 400] = 0.9
    path = write_video(tmp_path / "a.ts", sound=sound, sound_rate=RATE, offset=start)
    clip = decode_clip(request(path, decoder=decoder))
    heard = np.concatenate(list(clip.audio))
    loud = np.flatnonzero(np.abs(heard) > 0.3) / 16000
    assert [loud[np.abs(loud - time) < 0.1].min() for time in (0.3, 0.85, 1.4)] == pytest.approx(
        [0.3, 0.85, 1.4], abs=0.003
    )
