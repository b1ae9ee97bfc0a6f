"""When pictures are on screen, in files that say it badly: missing times, two fields a picture, stills, pauses."""

import av
import numpy as np
import pytest

from gaid.media.decode import decode_clip
from gaid.media.sampling import PacketIndex, build_timeline
from tests.media.asking import request, skip_without
from tests.media_faults import edit, pair_times, strip_times, write_field_coded
from tests.media_maker import read_number, tone, write_video

EXPECTED = [int((i + 0.5) * 4 / 12 * 25 + 1e-9) for i in range(12)]


def numbers(clip):
    return [read_number(frame) for frame in clip.frames]


SPARSE = {
    "one is missing": lambda n: n == 40,
    "one in two": lambda n: n % 2 == 1,
    "one in twelve": lambda n: n % 12 != 0,
}
CODECS = {
    "h264": {"bframes": 0},
    "h264 with B": {},
    "hevc": {"codec": "libx265"},
    "mpeg2 with B": {"codec": "mpeg2video", "options": {"bf": "2"}},
}


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["pyav", "ffmpeg"])
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("kind", SPARSE)
def test_missing_times_are_filled_between_those_that_are_there(tmp_path, kind, codec, decoder):
    skip_without(decoder)
    whole = write_video(tmp_path / "a.ts", frames=100, offset=30.0, sound_rate=48000, **CODECS[codec])
    clip = decode_clip(request(strip_times(whole, tmp_path / "b.ts", SPARSE[kind]), decoder=decoder))
    expected = decode_clip(request(whole, decoder=decoder))
    assert numbers(clip) == numbers(expected) == EXPECTED
    assert clip.duration == pytest.approx(4.0, abs=0.001)
    np.testing.assert_array_equal(clip.audio_mask, expected.audio_mask)
    np.testing.assert_allclose(clip.audio, expected.audio, atol=1e-4)
    assert clip.remarks == ()


def index_of(pts, duration=0, rate=None, tick=0.04):
    index = PacketIndex(tick, rate)
    for i, value in enumerate(pts):
        index.add(value, None, duration, i == 0, False)
    return index


@pytest.mark.parametrize(
    ("pts", "shown"),
    [
        ([30, None, 32, None, None, 35], [30, 31, 32, 33, 34, 35]),
        ([None, 31, 32, None], [30, 31, 32, 33]),
        ([30, 34, None, 31, None, 35], [30, 31, 32, 33, 34, 35]),  # in order of decoding
        (  # a pause is no gap to be filled
            [t if t % 2 else None for t in [*range(1, 60), *range(501, 560)]],
            [*range(1, 60), *range(501, 560)],
        ),
    ],
)
def test_known_times_say_where_the_others_stand(pts, shown):
    timeline = build_timeline(index_of(pts, duration=1))
    np.testing.assert_array_equal(timeline.shown, shown)
    assert timeline.end == shown[-1] + 1


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["pyav", "ffmpeg"])
@pytest.mark.parametrize("offset", [0.0, 10.0])
@pytest.mark.parametrize(("suffix", "fields"), [("ts", 1), ("ts", 2), ("mp4", 1), ("mp4", 2), ("mkv", 2)])
def test_two_fields_are_one_picture(tmp_path, suffix, fields, offset, decoder):
    skip_without(decoder)
    path = write_field_coded(tmp_path / f"a.{suffix}", 50, fields_per_packet=fields, offset=offset)
    clip = decode_clip(request(path, decoder=decoder))
    # Some versions of the program say that the last picture lasts for one field, and so does PyAV 17 in Matroska.
    exact = decoder == "pyav" and (suffix != "mkv" or int(av.__version__.split(".")[0]) > 17)
    assert clip.duration == pytest.approx(2.0, abs=0.001 if exact else 0.021)
    assert numbers(clip) == [int((i + 0.5) * clip.duration / 12 * 25 + 1e-6) for i in range(12)]
    assert clip.remarks == ()
    part = request(path, start=1.0, end=2.0, frames=5, decoder=decoder)
    assert numbers(decode_clip(part)) == [27, 32, 37, 42, 47]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_one_picture_is_shown_while_its_sound_lasts(tmp_path, suffix):
    codec = {"codec": "libvpx-vp9", "sound_codec": "libopus"} if suffix == "webm" else {}
    sound = tone(6, 48000)
    path = write_video(tmp_path / f"a.{suffix}", frames=1, sound=sound, sound_rate=48000, **codec)
    clip = decode_clip(request(path))
    assert clip.duration == pytest.approx(6.0, abs=0.1)
    assert numbers(clip) == [0] * 12
    np.testing.assert_allclose(clip.times, (np.arange(12) + 0.5) / 2, atol=0.1)
    assert clip.audio_mask.all()
    assert [kind for kind, _ in clip.remarks] == ["one picture"]


def test_a_screen_that_stands_still_is_looked_at_evenly(tmp_path):
    path = write_video(tmp_path / "a.mkv", frames=3, sound=tone(6, 44100), sound_codec="pcm_s16le")
    clip = decode_clip(request(path))
    np.testing.assert_allclose(clip.times, (np.arange(12) + 0.5) / 2, atol=0.01)
    assert numbers(clip) == [2] * 12
    assert clip.audio_mask.all()
    part = decode_clip(request(path, start=4.0, end=6.0))
    assert part.duration == pytest.approx(2.0, abs=0.01)
    assert numbers(part) == [2] * 12


def test_a_long_pause_between_two_pictures_is_remarked(tmp_path):
    times = [n / 25 for n in range(20)] + [4 + n / 25 for n in range(20)]
    clip = decode_clip(request(write_video(tmp_path / "a.mkv", frames=40, times=times, bframes=0, sound=None)))
    assert [kind for kind, _ in clip.remarks] == ["long gap"]
    assert "3.24 s of 4.80 s" in clip.remarks[0][1]


@pytest.mark.parametrize("bframes", [0, 2])
def test_pauses_of_a_file_without_times_of_display_stand_where_they_are(tmp_path, bframes):
    times = [n / 25 + 2.0 * (n >= 25) + 1.0 * (n >= 60) for n in range(75)]
    path = write_video(tmp_path / "a.avi", frames=75, times=times, bframes=bframes, gop=15, sound_codec="pcm_s16le")
    clip = decode_clip(request(path))
    at = clip.times + times[0]
    assert clip.duration == pytest.approx(6.0, abs=0.1)
    on_screen = [max(n for n, t in enumerate(times) if t <= moment + 1e-3) for moment in at]
    assert np.abs(np.array(numbers(clip)) - on_screen).max() <= (1 if bframes else 0)


@pytest.mark.parametrize("decoder", ["pyav", "ffmpeg"])
def test_pictures_of_equal_times_shift_no_later_ones(tmp_path, decoder):
    skip_without(decoder)
    whole = write_video(tmp_path / "a.mkv", frames=100, bframes=0, sound=None)
    clip = decode_clip(request(pair_times(whole, tmp_path / "b.mkv"), decoder=decoder))
    assert clip.duration == pytest.approx(4.0, abs=0.081)
    on_screen = (clip.times / 0.08 + 1e-6).astype(int)
    np.testing.assert_array_equal(np.array(numbers(clip)) // 2, on_screen)


CUTS = {
    "the end before the beginning": [(8.0, 10.0), (2.0, 6.0)],
    "a loop": [(3.0, 5.0)] * 3,
    "edits that begin within groups of pictures": [(8.6, 10.2), (2.6, 7.0)],
    "the middle is left out": [(0.0, 4.2), (6.6, 11.0)],
}


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["pyav", "ffmpeg"])
@pytest.mark.parametrize("cut", CUTS)
def test_several_edits_show_their_spans_one_after_the_other(tmp_path, cut, decoder):
    skip_without(decoder)
    # Each second of sound has a frequency of its own, as each picture has its number.
    sound = np.concatenate([tone(1.0, 16000, 400 + 200 * second) for second in range(12)], axis=1)
    whole = write_video(tmp_path / "a.mp4", frames=300, gop=50, sound=sound, sound_rate=16000)
    path = edit(whole, tmp_path / "b.mp4", CUTS[cut])
    clip = decode_clip(request(path, decoder=decoder))
    total = sum(end - begin for begin, end in CUTS[cut])
    # FFmpeg shows all of a picture that an edit cuts, so what follows may be one picture late.
    assert clip.duration == pytest.approx(total, abs=0.041)
    np.testing.assert_allclose(clip.times, (np.arange(12) + 0.5) * clip.duration / 12, atol=1e-6)
    shown = [_media_time(at, CUTS[cut]) for at in clip.times]
    assert np.abs(np.array(numbers(clip)) - [int(at * 25 + 1e-6) for at in shown]).max() <= 1
    frequency = np.abs(np.fft.rfft(clip.audio)).argmax(axis=1) * 16000 / clip.audio.shape[1]
    heard = np.round((frequency - 400) / 200)
    inside = np.array([0.15 < at % 1 < 0.85 for at in shown])
    assert inside.sum() >= 6
    np.testing.assert_array_equal(heard[inside], np.floor(shown)[inside])


def _media_time(at, spans):
    """What of the media is shown at a moment, by the definition of an edit list."""
    for begin, end in spans:
        if at < end - begin:
            return begin + at
        at -= end - begin
    raise AssertionError("after the end")
