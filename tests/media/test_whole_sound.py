"""The whole sound of a clip in pieces, for backbones that do not hear one window per frame."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from gaid.media import pieces
from gaid.media.clip import ClipRequest
from gaid.media.decode import decode_clip
from gaid.media.pool import DecodePool
from gaid.specs import AudioSpec
from tests.media import asking
from tests.media_maker import tone, write_video

RATE = 16_000
WHOLE = AudioSpec(RATE, 0.02, 4.0, whole=True)

request = partial(asking.request, audio_spec=WHOLE, frames=4)


def clicks(seconds: float, at: list[float], rate: int = 48_000) -> np.ndarray:
    """Silence with a short burst at each time."""
    sound = np.zeros((1, round(seconds * rate)), np.float32)
    for time in at:
        sound[0, round(time * rate) : round(time * rate) + 200] = 0.9
    return sound


def write(path, seconds, sound):
    return write_video(path, frames=round(5 * seconds), rate=5, sound=sound, sound_rate=48_000, sound_codec="pcm_s16le")


def onsets(clip) -> list[float]:
    """Times of all bursts, wherever the pieces lie."""
    found = []
    for start, piece in zip(clip.audio_starts, clip.audio, strict=True):
        loud = np.flatnonzero(np.abs(piece) > 0.3)
        found += [(start + first) / RATE for first in loud[np.diff(loud, prepend=-RATE) > RATE / 50]]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["pyav", "ffmpeg"])
@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(3, [0]), (10, [0, 4, 8]), (30, [3.75 - 2, 11.25 - 2, 18.75 - 2, 26.25 - 2])],
    ids=["one piece", "side by side", "around the frames"],
)
def test_a_sound_is_cut_into_no_more_pieces_than_there_are_frames(tmp_path, decoder, seconds, expected):
    times = [0.5, 2.5] if seconds == 3 else [0.5, 3.9, 8.5] if seconds == 10 else [3.0, 11.0, 19.5, 27.0]
    path = write(tmp_path / "a.mkv", seconds, clicks(seconds, times))
    clip = decode_clip(request(path, decoder=asking.skip_without(decoder)))
    assert clip.audio_rate == RATE
    np.testing.assert_allclose(clip.audio_starts / RATE, expected, atol=1e-3)
    assert clip.audio.shape == (len(expected), min(seconds, 4) * RATE)
    np.testing.assert_allclose(onsets(clip), times, atol=0.003)
    assert clip.audio_window == pytest.approx(seconds / 4)


def test_a_frame_has_sound_where_its_own_part_of_the_whole_has(tmp_path):
    sound = tone(2.0, 48_000)
    sound = np.concatenate([np.zeros_like(sound), sound], axis=1)
    clip = decode_clip(request(write(tmp_path / "a.mkv", 4, sound)))
    np.testing.assert_array_equal(clip.audio_mask, [False, False, True, True])
    assert clip.audio_state == "sound"
    assert len(clip.audio) == 1
    found = pieces.of_clip(clip)
    assert found == [[(0, frame * RATE, (frame + 1) * RATE)] for frame in range(4)]
    level = np.sqrt(pieces.powers(clip.audio, found))
    np.testing.assert_allclose(level, [0, 0, level[3], level[3]], atol=1e-3)
    heard = pieces.inside(clip.audio.shape, found, clip.audio_mask)
    np.testing.assert_array_equal(heard[0], np.arange(4 * RATE) >= 2 * RATE)


def test_published_frames_share_all_of_it_and_silence_is_sound_where_there_is_a_track(tmp_path):
    path = write(tmp_path / "a.mkv", 10, clicks(10, [9.0]))
    clip = decode_clip(request(path, audio_sampling="published"))
    assert clip.audio.shape == (1, 10 * RATE)
    assert clip.audio_window is None
    assert clip.audio_mask.all()
    silent = decode_clip(request(write(tmp_path / "s.mkv", 3, clicks(3, [])), audio_sampling="published"))
    assert silent.audio_mask.all()
    deaf = decode_clip(request(write_video(tmp_path / "d.mkv", frames=10, sound=None), audio_sampling="published"))
    assert (deaf.audio_state, deaf.audio_mask.any(), deaf.audio.any()) == ("no track", False, False)


@pytest.mark.slow
def test_a_published_sound_is_held_for_two_minutes_at_most(tmp_path):
    path = write(tmp_path / "a.mkv", 130, clicks(130, [1.0, 119.0, 125.0]))
    clip = decode_clip(request(path, audio_sampling="published"))
    assert clip.audio.shape == (1, 120 * RATE)
    np.testing.assert_allclose(onsets(clip), [1.0, 119.0], atol=0.003)


def test_a_sound_that_comes_late_is_moved_within_the_whole(tmp_path):
    path = write(tmp_path / "a.mkv", 3, clicks(3, [0.5, 2.9]))
    clip = decode_clip(request(path, sound_late=0.75))
    np.testing.assert_allclose(onsets(clip), [1.25], atol=0.003)
    assert clip.audio_starts.tolist() == [0]


def test_pieces_come_out_of_a_decode_worker_as_they_are(tmp_path):
    path = write(tmp_path / "a.mkv", 10, clicks(10, [0.5, 8.5]))
    asked: list[ClipRequest] = [request(path), request(path, audio_sampling="published")]
    with DecodePool(1) as pool:
        for wanted, found in zip(asked, pool.map(asked), strict=True):
            expected = decode_clip(wanted)
            np.testing.assert_array_equal(found.audio, expected.audio)
            np.testing.assert_array_equal(found.audio_starts, expected.audio_starts)
            assert (found.audio_rate, found.audio_window) == (RATE, expected.audio_window)


# The clip's sound as one, beside that of its frames


def stereo(seconds: float, rate: int = RATE) -> np.ndarray:
    """Two channels of noise that differ."""
    return np.random.default_rng(3).uniform(-0.5, 0.5, (2, round(seconds * rate))).astype(np.float32)


@pytest.mark.parametrize("decoder", ["pyav", "ffmpeg"])
@pytest.mark.parametrize("spec", [WHOLE, AudioSpec(RATE, 0.5, 5.0)], ids=["pieces", "windows"])
def test_the_sound_as_one_is_the_first_channel_of_all_of_it(tmp_path, decoder, spec):
    sound = stereo(9)
    path = write_video(
        tmp_path / "a.mkv", frames=45, rate=5, sound=sound, sound_rate=RATE, sound_codec="pcm_s16le", layout="stereo"
    )
    asked = asking.request(path, audio_spec=spec, decoder=asking.skip_without(decoder))
    clip = decode_clip(replace(asked, clip_sound=True))
    np.testing.assert_allclose(clip.clip_sound, sound[0], atol=1e-4)
    without = decode_clip(asked)
    assert len(without.clip_sound) == 0
    np.testing.assert_array_equal(clip.audio, without.audio)


def test_the_sound_as_one_ends_where_the_sound_ends_and_begins_with_the_clip(tmp_path):
    sound = stereo(6)
    path = write_video(
        tmp_path / "a.mkv", frames=50, rate=5, sound=sound, sound_rate=RATE, sound_codec="pcm_s16le", layout="stereo"
    )
    clip = decode_clip(request(path, clip_sound=True))
    np.testing.assert_allclose(clip.clip_sound, sound[0], atol=1e-4)
    part = decode_clip(request(path, clip_sound=True, start=2.0, end=5.0))
    np.testing.assert_allclose(part.clip_sound, sound[0, 2 * RATE : 5 * RATE], atol=1e-4)


def test_a_clip_without_a_track_has_no_sound_as_one_and_a_silent_one_has_zeros(tmp_path):
    none = decode_clip(request(write(tmp_path / "a.mkv", 2, None), clip_sound=True))
    assert none.clip_sound.shape == (0,)
    silent = decode_clip(request(write(tmp_path / "b.mkv", 2, np.zeros((1, 96_000), np.float32)), clip_sound=True))
    assert silent.audio_state == "silent"
    np.testing.assert_array_equal(silent.clip_sound, np.zeros(2 * RATE))


def test_of_a_long_clip_the_sound_as_one_is_the_beginning(tmp_path, monkeypatch):
    monkeypatch.setattr("gaid.media.sound.WHOLE_BOUND", 3.0)
    sound = stereo(8)
    path = write_video(
        tmp_path / "a.mkv", frames=40, rate=5, sound=sound, sound_rate=RATE, sound_codec="pcm_s16le", layout="stereo"
    )
    clip = decode_clip(request(path, clip_sound=True))
    np.testing.assert_allclose(clip.clip_sound, sound[0, : 3 * RATE], atol=1e-4)
