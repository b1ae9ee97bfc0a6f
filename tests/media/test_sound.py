"""The sound around each frame: where the windows lie, what is silence, what a damaged or missing track does."""

from functools import partial

import numpy as np
import pytest

from gaid.media.decode import decode_clip
from gaid.media.mixing import clean
from gaid.media.sound import SoundWindows
from gaid.specs import AudioSpec
from tests.media import asking
from tests.media.asking import onsets
from tests.media_maker import break_packets, read_number, tone, write_sound, write_video

RATE = 16000


request = partial(asking.request, audio_spec=AudioSpec(RATE, 0.1, 5.0))


def clicks(seconds, at, rate=44100):
    """Silence with a short burst at each time."""
    sound = np.zeros((1, round(seconds * rate)), np.float32)
    for time in at:
        begin = round(time * rate)
        sound[0, begin : begin + 200] = 0.9
    return sound


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "aac"), ("mkv", "pcm_s16le"), ("webm", "libopus"), ("ts", "aac")]
)
def test_a_sound_lies_in_the_window_of_its_time(tmp_path, suffix, codec):
    times = [0.25, 0.75, 1.25, 1.75]
    video = {"codec": "libvpx-vp9"} if suffix == "webm" else {}
    path = write_video(
        tmp_path / f"a.{suffix}", frames=50, sound=clicks(2, times, 48000), sound_rate=48000, sound_codec=codec, **video
    )
    clip = decode_clip(request(path, frames=4))
    assert clip.audio.shape == (4, RATE // 2)
    np.testing.assert_allclose(onsets(clip, RATE), times, atol=0.003)


@pytest.mark.slow
def test_sound_and_picture_of_a_late_clip_belong_together(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=300, rate=5, sound=clicks(60, [52.4, 53.6]), gop=20)
    clip = decode_clip(request(path, start=52.0, end=54.0, frames=2))
    assert clip.audio_mask.all()
    np.testing.assert_allclose(onsets(clip, RATE), [0.4, 1.6], atol=0.003)


def test_a_track_that_begins_late_is_not_moved(tmp_path):
    path = write_video(
        tmp_path / "a.mkv", frames=50, sound=clicks(1, [0.25]), sound_codec="pcm_s16le", sound_offset=1.0
    )
    clip = decode_clip(request(path, frames=4))
    np.testing.assert_array_equal(clip.audio_mask, [False, False, True, False])
    np.testing.assert_allclose(onsets(clip, RATE), [1.25], atol=0.003)


@pytest.mark.parametrize(
    ("spec", "length"),
    [(AudioSpec(RATE, 0.1, 5.0), 0.5), (AudioSpec(RATE, 1.0, 5.0), 1.0), (AudioSpec(RATE, 0.1, 0.3), 0.3)],
)
def test_a_window_is_as_long_as_its_part_within_what_the_backbone_takes(tmp_path, spec, length):
    clip = decode_clip(request(write_video(tmp_path / "a.mp4", frames=50), frames=4, audio_spec=spec))
    assert clip.audio.shape == (4, round(length * RATE))


def test_a_window_past_the_ends_is_padded_with_zeros(tmp_path):
    path = write_video(tmp_path / "a.mkv", frames=25, sound_codec="pcm_s16le")
    clip = decode_clip(request(path, frames=2, audio_spec=AudioSpec(RATE, 1.0, 5.0)))
    quarter = RATE // 4
    assert not clip.audio[0, :quarter].any()
    assert not clip.audio[1, -quarter:].any()
    assert np.sqrt(np.mean(clip.audio[0, quarter:] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_the_last_picture_stays_as_long_as_the_sound(tmp_path):
    long = np.concatenate([tone(2, 44100, level=0.1), tone(5, 44100, level=0.9)], axis=1)
    path = write_video(tmp_path / "a.mkv", frames=50, sound=long, sound_codec="pcm_s16le", pix_fmt="yuv422p10le")
    clip = decode_clip(request(path, frames=7, audio_spec=AudioSpec(RATE, 1.0, 5.0)))
    assert clip.duration == pytest.approx(7.0, abs=0.01)
    assert [read_number(frame) for frame in clip.frames] == [12, 37, 49, 49, 49, 49, 49]
    np.testing.assert_array_equal(np.abs(clip.audio).max(axis=1) > 0.2, [False] * 2 + [True] * 5)


def test_sound_that_ends_a_little_later_does_not_lengthen_a_clip(tmp_path):
    path = write_video(tmp_path / "a.mkv", frames=50, sound=tone(2.4, 44100), sound_codec="pcm_s16le")
    assert decode_clip(request(path)).duration == pytest.approx(2.0, abs=0.01)


def test_where_the_sound_ends_before_the_pictures_the_mask_does(tmp_path):
    path = write_video(tmp_path / "a.mkv", frames=50, sound=tone(1, 44100), sound_codec="pcm_s16le")
    clip = decode_clip(request(path, frames=4))
    np.testing.assert_array_equal(clip.audio_mask, [True, True, False, False])
    assert clip.audio_state == "sound"


@pytest.mark.parametrize(("level", "heard"), [(2e-3, True), (1e-3, False), (0.0, False)])
def test_below_minus_60_dbfs_is_silence(tmp_path, level, heard):
    sound = tone(2, 44100, level=level * np.sqrt(2) * 1.001 / 1.5)
    path = write_video(tmp_path / "a.mkv", frames=50, sound=sound, sound_codec="pcm_f32le")
    clip = decode_clip(request(path))
    assert clip.audio_state == ("sound" if heard else "silent")
    assert (clip.audio_mask == heard).all()
    assert heard or not clip.audio.any()


def test_a_video_without_a_track_says_so(tmp_path):
    clip = decode_clip(request(write_video(tmp_path / "a.mp4", frames=50, sound=None)))
    assert clip.audio_state == "no track"
    assert not clip.audio_mask.any()
    assert not clip.audio.any()


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_broken_track_does_not_cost_the_pictures(tmp_path, suffix):
    whole = write_video(tmp_path / f"a.{suffix}", frames=50)
    clip = decode_clip(request(break_packets(whole, tmp_path / f"broken.{suffix}")))
    assert clip.audio_state == "failed"
    assert not clip.audio_mask.any()
    assert not clip.audio.any()
    np.testing.assert_array_equal(clip.frames, decode_clip(request(whole)).frames)


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2), ("5.1", 6)])
@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_any_rate_and_layout_becomes_mono_at_the_backbones_rate(tmp_path, rate, layout, channels):
    path = write_video(
        tmp_path / "a.mkv",
        frames=50,
        sound=tone(2, rate, 1000, channels),
        sound_rate=rate,
        sound_codec="pcm_s16le",
        layout=layout,
    )
    clip = decode_clip(request(path, frames=2))
    spectrum = np.abs(np.fft.rfft(clip.audio[0]))
    assert np.argmax(spectrum) * RATE / clip.audio.shape[1] == pytest.approx(1000, abs=2)
    assert np.sqrt(np.mean(clip.audio[0] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_a_sound_in_a_file_of_its_own_belongs_to_the_video(tmp_path):
    video = write_video(tmp_path / "a.mp4", frames=50, sound=None, offset=3.0)
    sound = write_sound(tmp_path / "a.wav", clicks(2, [0.25, 1.75]))
    clip = decode_clip(request(video, audio_path=str(sound), frames=4))
    np.testing.assert_allclose(onsets(clip, RATE), [0.25, 1.75], atol=0.003)
    part = decode_clip(request(video, audio_path=str(sound), frames=2, start=1.0, end=2.0))
    np.testing.assert_allclose(onsets(part, RATE), [0.75], atol=0.003)


@pytest.mark.parametrize("kind", ["missing", "empty", "noise", "video"])
def test_a_sound_file_that_is_none_does_not_cost_the_pictures(tmp_path, kind):
    sound = tmp_path / "a.wav"
    if kind == "empty":
        sound.write_bytes(b"")
    elif kind == "noise":
        sound.write_bytes(np.random.default_rng(0).bytes(5000))
    elif kind == "video":
        write_video(tmp_path / "b.mp4", frames=5, sound=None).rename(sound)
    clip = decode_clip(request(write_video(tmp_path / "a.mp4", frames=25), audio_path=str(sound)))
    assert clip.audio_state == ("no track" if kind == "video" else "failed")
    assert read_number(clip.frames[0]) == 1


def test_only_the_windows_of_a_long_clip_are_decoded(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mkv", frames=120, rate=2, sound=clicks(60, [15, 45]), sound_codec="pcm_s16le")
    added = []
    real = SoundWindows.add
    monkeypatch.setattr(SoundWindows, "add", lambda self, *args: (added.append(len(args[2][0])), real(self, *args))[1])
    clip = decode_clip(request(path, frames=2, audio_spec=AudioSpec(RATE, 0.1, 2.0)))
    np.testing.assert_allclose(onsets(clip, RATE), [15, 45], atol=0.003)
    assert sum(added) < 8 * 44100


def test_what_a_damaged_file_gives_is_made_harmless():
    samples = clean(np.array([[np.nan, np.inf, -np.inf, 9.0, 0.5]], np.float32))
    np.testing.assert_array_equal(samples, [[0, 0, 0, 1, 0.5]])


def test_pieces_of_any_size_give_the_same_windows():
    sound = np.random.default_rng(0).standard_normal(44100).astype(np.float32) * 0.1

    def collect(size):
        windows = SoundWindows(RATE, np.array([0.25, 0.75]), 0.5, 1.0)
        for begin in range(0, len(sound), size):
            windows.add(begin / 44100, 44100, [sound[begin : begin + size]])
        return windows.finish()[0]

    np.testing.assert_array_equal(collect(44100), collect(1024))
    assert np.abs(collect(997)).max() > 0.1


def test_a_short_ogg_whose_last_packet_ends_before_it_begins_is_as_long_as_it_sounds(tmp_path):
    import av
    from PIL import Image

    Image.new("RGB", (96, 96)).save(tmp_path / "a.png")
    samples = np.repeat(tone(0.4, 44100, 500), 2, axis=0)
    with av.open(str(tmp_path / "a.ogg"), "w") as container:
        stream = container.add_stream("vorbis", rate=44100, layout="stereo", options={"strict": "experimental"})
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(tmp_path / "a.ogg")) as container:
        assert max(packet.duration or 0 for packet in container.demux(audio=0)) > 2**31  # what this test is about
    clip = decode_clip(request(tmp_path / "a.png", audio_path=str(tmp_path / "a.ogg"), frames=2))
    assert clip.duration == pytest.approx(0.4, abs=0.05)
    assert (clip.audio_state, clip.audio_mask.all()) == ("sound", True)


def bins(clip, seconds=30.0):
    """(bin, time within the 30 s) of the first loud sample of each bin that has one."""
    length = clip.audio.shape[1] / RATE
    centres = (np.arange(len(clip.audio)) + 0.5) * seconds / len(clip.audio)
    loud = [(number, np.flatnonzero(np.abs(window) > 0.3)) for number, window in enumerate(clip.audio)]
    return [(number, centres[number] - length / 2 + at[0] / RATE) for number, at in loud if len(at)]


def test_spread_sound_spreads_a_frames_bins_over_thirty_seconds_whatever_the_clip_lasts(tmp_path):
    path = write_video(
        tmp_path / "a.mkv", frames=50, rate=5, sound=clicks(10, [1.0, 6.0, 9.5]), sound_codec="pcm_s16le"
    )
    clip = decode_clip(request(path, audio_sampling="spread"))
    assert clip.audio.shape == (12, round(2.5 * RATE))
    assert [number for number, _ in bins(clip)] == [0, 2, 3]  # the frames of these moments are 1, 7 and 11
    np.testing.assert_allclose([time for _, time in bins(clip)], [1.0, 6.0, 9.5], atol=0.003)
    np.testing.assert_array_equal(clip.audio_mask, [True, False, True, True] + [False] * 8)
    aligned = decode_clip(request(path))
    np.testing.assert_array_equal(np.flatnonzero(aligned.audio_mask), [1, 7, 11])
    np.testing.assert_array_equal(clip.frames, aligned.frames)


def test_spread_sound_cuts_what_lies_past_thirty_seconds(tmp_path):
    path = write_video(tmp_path / "a.mkv", frames=90, rate=2, sound=clicks(45, [10, 29, 40]), sound_codec="pcm_s16le")
    clip = decode_clip(request(path, audio_sampling="spread"))
    assert [number for number, _ in bins(clip)] == [4, 11]
    np.testing.assert_allclose([time for _, time in bins(clip)], [10, 29], atol=0.003)


def test_spread_sound_knows_where_a_clip_inside_a_video_ends(tmp_path):
    path = write_video(tmp_path / "a.mkv", frames=60, rate=2, sound=clicks(30, [5.5, 11.0]), sound_codec="pcm_s16le")
    clip = decode_clip(request(path, start=5.0, end=10.0, audio_sampling="spread"))
    assert [number for number, _ in bins(clip)] == [0]


def test_a_sound_that_is_late_is_late_and_begins_with_silence(tmp_path):
    path = write_video(tmp_path / "a.mkv", frames=50, sound=clicks(2, [0.25, 1.75]), sound_codec="pcm_s16le")
    clip = decode_clip(request(path, frames=4, sound_late=0.5))
    np.testing.assert_array_equal(clip.audio_mask, [False, True, False, False])
    np.testing.assert_allclose(onsets(clip, RATE), [0.75], atol=0.003)
