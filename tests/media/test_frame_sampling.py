"""Which moments of a clip its frames are at, and which picture each shows, under each `--frame-sampling`, by both decoders."""

import subprocess

import numpy as np
import pytest
from PIL import Image

from gaid.media.decode import decode_clip
from gaid.media.sampling import choose_seconds
from gaid.specs import AudioSpec
from tests.media.asking import onsets, request, skip_without
from tests.media_faults import flag_every_sample
from tests.media_maker import read_number, tone, write_sound, write_video

BOTH = pytest.mark.parametrize("decoder", ["pyav", "ffmpeg"])


def numbers(clip):
    return [read_number(frame) for frame in clip.frames]


@pytest.mark.slow
@BOTH
def test_per_second_takes_the_pictures_at_0_1_2_seconds_and_repeats_the_last(tmp_path, decoder):
    path = write_video(tmp_path / "a.mp4", frames=100)  # 4 s: there is no picture at 4 s any more
    clip = decode_clip(request(path, frames=6, frame_sampling="per-second", decoder=skip_without(decoder)))
    assert numbers(clip) == [0, 25, 50, 75, 75, 75]
    np.testing.assert_allclose(clip.times, [0, 1, 2, 3, 3, 3], atol=1e-6)
    assert clip.short


@pytest.mark.slow
@BOTH
def test_of_more_seconds_than_frames_an_even_choice_has_both_ends(tmp_path, decoder):
    path = write_video(tmp_path / "a.mp4", frames=42, rate=3)  # 14 s at 3 pictures/s, as published copies have
    clip = decode_clip(request(path, frame_sampling="per-second", decoder=skip_without(decoder)))
    seconds = [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 13]  # the whole parts of 13 i / 11, written out
    assert numbers(clip) == [3 * second for second in seconds]
    np.testing.assert_allclose(clip.times, seconds, atol=1e-6)
    assert not clip.short


@pytest.mark.slow
@BOTH
def test_a_part_of_a_file_has_the_picture_at_its_end_as_well(tmp_path, decoder):
    path = write_video(tmp_path / "a.mkv", frames=40, rate=4)
    asked = {"frame_sampling": "per-second", "decoder": skip_without(decoder)}
    clip = decode_clip(request(path, start=2.0, end=6.0, frames=5, **asked))
    assert numbers(clip) == [8, 12, 16, 20, 24]
    assert not clip.short
    to_the_end = decode_clip(request(path, start=6.0, end=10.0, frames=5, **asked))
    assert numbers(to_the_end) == [24, 28, 32, 36, 36]
    assert to_the_end.short


@pytest.mark.parametrize(
    ("duration", "closed", "count"),
    [(0.4, False, 1), (5.0, False, 5), (5.02, False, 6), (5.0, True, 6), (0.4, True, 1)],
)
def test_seconds_are_those_that_lie_in_the_clip(duration, closed, count):
    moments, fewer = choose_seconds(duration, 8, closed)
    assert moments.tolist() == [min(second, count - 1) for second in range(8)]
    assert fewer


def test_one_frame_per_second_of_a_rate_that_is_no_whole_number_is_the_picture_on_screen(tmp_path):
    times = [n * 1001 / 24000 for n in range(60)]
    clip = decode_clip(
        request(write_video(tmp_path / "a.mkv", frames=60, times=times), frames=3, frame_sampling="per-second")
    )
    on_screen = [max(n for n, t in enumerate(times) if round(t, 3) <= second) for second in (0, 1, 2)]
    assert numbers(clip) == on_screen == [0, 23, 47]


def test_a_still_picture_is_shown_at_each_second_of_its_sound(tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    sound = write_sound(tmp_path / "a.wav", tone(2.5, 16000), 16000)
    clip = decode_clip(request(tmp_path / "a.png", audio_path=str(sound), frames=4, frame_sampling="per-second"))
    assert clip.times.tolist() == [0, 1, 2, 2]
    assert clip.audio_mask.all()


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("whole", [False, True], ids=["windows", "whole sound"])
def test_a_frame_of_each_second_has_a_second_of_sound_around_it(tmp_path, decoder, whole):
    sound = np.zeros((1, 4 * 16000), np.float32)
    for time in (0.3, 1.2, 2.4):
        sound[0, round(time * 16000) : round(time * 16000) + 80] = 0.9
    path = write_video(tmp_path / "a.mkv", frames=20, rate=5, sound=sound, sound_rate=16000, sound_codec="pcm_s16le")
    spec = AudioSpec(16000, 0.1, 8.0, whole=whole)
    asked = request(path, frames=5, audio_spec=spec, frame_sampling="per-second", decoder=skip_without(decoder))
    clip = decode_clip(asked)
    assert clip.audio_window == 1.0
    assert clip.audio_mask.tolist() == [True, True, True, False, False]  # around 3 s, twice, is silence
    if not whole:
        np.testing.assert_allclose(onsets(clip, 16000), [0.3, 1.2, 2.4], atol=1e-3)


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "mpeg4"])
def test_key_frames_are_those_nearest_to_the_middles_and_the_pictures_that_even_would_decode(tmp_path, decoder, codec):
    path = write_video(tmp_path / "a.mkv", frames=100, gop=10, codec=codec, bframes=2 if codec == "libx264" else 0)
    at = {"decoder": skip_without(decoder)}
    clip = decode_clip(request(path, frames=5, frame_sampling="keyframes", **at))
    keys = [number for number, packet in enumerate(packets_of(path)) if packet == "K"]
    assert len(keys) >= 10
    nearest = [min(keys, key=lambda key: abs(key / 25 - moment)) for moment in (0.4, 1.2, 2.0, 2.8, 3.6)]
    assert numbers(clip) == nearest
    np.testing.assert_allclose(clip.times, [0.4, 1.2, 2.0, 2.8, 3.6], atol=1e-6)
    np.testing.assert_allclose(clip.frame_times, np.array(nearest) / 25, atol=1e-3)
    straight = decode_clip(request(path, frames=100, **at))
    np.testing.assert_array_equal(clip.frames, straight.frames[nearest])


def packets_of(path):
    """K or - for each picture, in order of display."""
    told = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=pts,flags", "-of", "csv=p=0", path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = sorted((int(pts), flags) for pts, flags, *_ in (line.split(",") for line in told.stdout.split()))
    return [flags[0].replace("_", "-") for _, flags in found]


@pytest.mark.slow
def test_key_frames_cost_less_decoding(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=300, gop=25)
    even, keys = (decode_clip(request(path, frame_sampling=how)) for how in ("even", "keyframes"))
    assert keys.decoded < even.decoded / 3
    np.testing.assert_array_equal(keys.audio, even.audio)


@pytest.mark.slow
@BOTH
def test_a_part_without_a_key_frame_has_the_pictures_of_even(tmp_path, decoder):
    path = write_video(tmp_path / "a.mp4", frames=100, gop=50)
    asked = {"start": 0.4, "end": 1.6, "decoder": skip_without(decoder)}
    even, keys = (decode_clip(request(path, frame_sampling=how, **asked)) for how in ("even", "keyframes"))
    np.testing.assert_array_equal(keys.frames, even.frames)


@pytest.mark.slow
def test_a_container_that_lies_about_key_frames_still_gives_the_pictures_of_their_times(tmp_path):
    honest = write_video(tmp_path / "a.mp4", frames=100, gop=25, codec="mpeg4", bframes=0)
    path = flag_every_sample(honest, tmp_path / "b.mp4")
    even, keys = (decode_clip(request(path, frame_sampling=how)) for how in ("even", "keyframes"))
    wanted = decode_clip(request(honest, frames=100))
    np.testing.assert_array_equal(keys.frames, wanted.frames[numbers(keys)])
    assert np.abs(np.array(numbers(keys)) - numbers(even)).max() <= 1
