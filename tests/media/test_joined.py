"""Recordings that were joined: their clock is set anew in the middle, and the pictures and sounds go on."""

import numpy as np
import pytest

from gaid.media import pyav as media_pyav
from gaid.media.clock import Clock
from gaid.media.decode import decode_clip
from gaid.specs import AudioSpec
from tests.media.asking import onsets, request, skip_without
from tests.media_maker import read_number, write_video

RATE = 16000


def part(path, frames, offset, at):
    """A recording of numbered pictures at 25/s whose clock begins at `offset`, silent but for a burst at each of `at` s."""
    sound = np.zeros((1, round(frames / 25 * 48000)), np.float32)
    for time in at:
        sound[0, round(time * 48000) : round(time * 48000) + 400] = 0.9
    return write_video(
        path,
        frames=frames,
        offset=offset,
        sound=sound,
        sound_rate=48000,
        sound_codec="mp2",
        options={"x264-params": "scenecut=0"},
    ).read_bytes()


JUMPS = {
    "the same clock twice": (10.0, 10.0),
    "forward": (10.0, 5000.0),
    "back": (5000.0, 10.0),
    "straight on": (10.0, 14.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["pyav", "pyav, read twice", "ffmpeg"])
@pytest.mark.parametrize("jump", JUMPS)
def test_joined_transport_streams_play_on_across_the_break(tmp_path, jump, way, monkeypatch):
    decoder = skip_without(way.partition(",")[0])
    if way == "pyav, read twice":
        monkeypatch.setattr(media_pyav, "KEPT_BYTES", 0)
    first, second = JUMPS[jump]
    path = tmp_path / "joined.ts"
    path.write_bytes(part(tmp_path / "a.ts", 100, first, [0.5, 2.5]) + part(tmp_path / "b.ts", 200, second, [0.5, 6.5]))
    clip = decode_clip(request(path, decoder=decoder, audio_spec=AudioSpec(RATE, 0.1, 0.9)))
    assert clip.duration == pytest.approx(12.0, abs=0.05)
    assert [read_number(frame) for frame in clip.frames] == [12, 37, 62, 87, 12, 37, 62, 87, 112, 137, 162, 187]
    np.testing.assert_allclose(onsets(clip, RATE), [0.5, 2.5, 4.5, 10.5], atol=0.05)
    assert clip.remarks == ()


@pytest.mark.slow
def test_a_clip_behind_the_break_is_found_by_the_time_that_has_passed(tmp_path):
    path = tmp_path / "joined.ts"
    path.write_bytes(part(tmp_path / "a.ts", 100, 5000.0, []) + part(tmp_path / "b.ts", 1000, 20.0, [35.5]))
    clip = decode_clip(request(path, start=38.0, end=42.0, frames=4, audio_spec=AudioSpec(RATE, 0.1, 0.9)))
    assert [read_number(frame) for frame in clip.frames] == [862, 887, 912, 937]
    np.testing.assert_allclose(onsets(clip, RATE), [1.5], atol=0.05)


def follow(clock, packets):
    for stream, at in packets:
        clock.follow(stream, at, at, 1)
    return clock.moves().tolist()


def test_a_stream_that_comes_late_to_the_new_clock_is_moved_with_the_other():
    packets = [(0, 0), (1, 0), (0, 1), (1, 1), (1, 500), (0, 2), (1, 501), (0, 500), (0, 501)]
    assert follow(Clock(1.0, lead=0), packets) == [0, 0, 0, 0, -497, 0, -497, -497, -497]


def test_a_picture_that_stays_long_while_the_sound_plays_is_no_break():
    packets = [(0, 0), *((1, t) for t in range(40)), (0, 40), *((1, t) for t in range(40, 60))]
    clock = Clock(1.0, lead=0)
    assert not any(follow(clock, packets))
    assert not clock.broken
