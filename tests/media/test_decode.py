"""Which pictures a clip gives, at which moments, in which form, from every kind of video."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from gaid.errors import MediaError, OptionInvalid
from gaid.media import pyav as media_pyav
from gaid.media import pyav_pictures
from gaid.media.decode import decode_clip, probe
from gaid.media.limits import DecodeLimits
from gaid.media.sampling import PacketIndex, build_timeline, plan_frames
from gaid.specs import FrameSpec
from tests.media.asking import request
from tests.media_maker import draw_number, read_number, tone, write_sound, write_video


def numbers(clip):
    return [read_number(frame) for frame in clip.frames]


def at_middles(seconds, frames, rate):
    """The numbers of the pictures on screen at the middles of equal parts, by arithmetic of its own."""
    return [int((i + 0.5) * seconds / frames * rate + 1e-9) for i in range(frames)]


CONTAINERS = {
    "mp4": {},
    "mov": {},
    "mkv": {},
    "webm": {"codec": "libvpx-vp9", "sound_codec": "libopus", "sound_rate": 48000},
    "ts": {},
    "flv": {},
    "avi": {"sound_codec": "pcm_s16le"},  # has no times of display, and these pictures are reordered
}
CODECS = {
    "hevc": {"codec": "libx265"},
    "mjpeg": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "prores 10-bit 4:2:2": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "h264 10-bit 4:2:2": {"pix_fmt": "yuv422p10le"},
    "odd size": {"size": (161, 97), "pix_fmt": "yuv444p"},
    "odd size 4:2:0": {"codec": "libvpx-vp9", "size": (161, 97), "sound_codec": "libopus", "sound_rate": 48000},
    "grey": {"pix_fmt": "gray"},
}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", CONTAINERS)
def test_pictures_are_those_on_screen_at_the_middles_of_equal_parts_in_any_container(tmp_path, suffix):
    path = write_video(tmp_path / f"a.{suffix}", frames=50, **CONTAINERS[suffix])
    clip = decode_clip(request(path))
    assert clip.duration == pytest.approx(2.0, abs=0.002)
    assert numbers(clip) == at_middles(2.0, 12, 25)
    np.testing.assert_allclose(clip.times, (np.arange(12) + 0.5) * 2 / 12, atol=0.002)
    assert np.all(np.abs(clip.times - (clip.frame_times + 0.02)) <= 0.0215)  # within half a frame of its middle
    assert clip.frames.shape == (12, 96, 96, 3)
    assert clip.frames.dtype == np.uint8
    assert (clip.audio_state, clip.short) == ("sound", False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CODECS)
def test_pictures_are_right_in_any_codec_and_pixel_format(tmp_path, kind):
    suffix = "mov" if "prores" in kind else "mkv"
    path = write_video(tmp_path / f"a.{suffix}", frames=30, **CODECS[kind])
    clip = decode_clip(request(path, frames=6))
    assert numbers(clip) == at_middles(1.2, 6, 25)
    expected = draw_number(numbers(clip)[0], *CODECS[kind].get("size", (160, 96)))
    left = (expected.shape[1] - expected.shape[0]) // 2
    square = expected[:, left : left + expected.shape[0]].astype(float)
    if kind == "grey":
        square = (square @ [0.299, 0.587, 0.114])[..., None]  # BT.601
    got = np.asarray(Image.fromarray(clip.frames[0]).resize(square.shape[1::-1])).astype(float)
    assert np.abs(got - square).mean() < 12


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0.0, 5.0, 40.0])
@pytest.mark.parametrize("suffix", ["mp4", "ts", "mkv"])
def test_a_start_offset_changes_nothing(tmp_path, suffix, offset):
    path = write_video(tmp_path / f"a.{suffix}", frames=50, offset=offset)
    clip = decode_clip(request(path))
    assert numbers(clip) == at_middles(2.0, 12, 25)
    assert clip.audio_mask.all()


def test_a_variable_rate_gives_the_picture_that_is_on_screen(tmp_path):
    times = [0, 0.1, 0.2, 1.0, 1.04, 1.08, 3.0, 3.5, 3.6, 3.7, 3.8, 3.96]
    path = write_video(tmp_path / "a.mp4", frames=12, times=times)
    clip = decode_clip(request(path, frames=4))
    on_screen = [max(n for n, t in enumerate(times) if t <= moment) for moment in (0.5, 1.5, 2.5, 3.5)]
    assert numbers(clip) == on_screen == [2, 5, 5, 7]
    np.testing.assert_allclose(clip.frame_times, [times[n] for n in on_screen], atol=1e-3)


def test_a_clip_of_one_picture_shows_it_throughout(tmp_path):
    clip = decode_clip(request(write_video(tmp_path / "a.mp4", frames=1)))
    assert numbers(clip) == [0] * 12
    assert clip.short
    assert clip.duration == pytest.approx(0.04)
    assert np.all(np.diff(clip.times) > 0)


def test_with_fewer_pictures_than_frames_the_last_repeats(tmp_path):
    clip = decode_clip(request(write_video(tmp_path / "a.mp4", frames=5)))
    assert numbers(clip) == [0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4]
    assert clip.short
    np.testing.assert_allclose(clip.times, np.minimum(np.arange(12), 4) * 0.04 + 0.02, atol=1e-4)


def test_as_many_pictures_as_frames_are_each_taken_once(tmp_path):
    clip = decode_clip(request(write_video(tmp_path / "a.mp4", frames=12)))
    assert numbers(clip) == list(range(12))
    assert not clip.short


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_a_clip_inside_a_longer_video_is_sampled_inside_it(tmp_path, suffix):
    path = write_video(tmp_path / f"a.{suffix}", frames=150, **CONTAINERS[suffix])
    clip = decode_clip(request(path, start=2.0, end=4.0, frames=5))
    assert clip.duration == pytest.approx(2.0, abs=0.01)
    assert numbers(clip) == [55, 65, 75, 85, 95]
    np.testing.assert_allclose(clip.times, [0.2, 0.6, 1.0, 1.4, 1.8], atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_a_late_clip_is_sought_and_gives_what_reading_from_the_start_gives(tmp_path, suffix, monkeypatch):
    path = write_video(tmp_path / f"a.{suffix}", frames=300, rate=5, gop=20, **CONTAINERS[suffix])
    late = request(path, start=50.0, end=54.0, frames=4)
    sought = decode_clip(late)
    monkeypatch.setattr(media_pyav, "SEEK_FROM", 1e9)
    read = decode_clip(late)
    assert numbers(sought) == numbers(read) == [252, 257, 262, 267]
    np.testing.assert_array_equal(sought.frames, read.frames)
    assert sought.audio_mask.all()


def test_an_end_beyond_the_video_is_the_videos_end(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=50)
    assert decode_clip(request(path, start=1.0, end=99.0)).duration == pytest.approx(1.0)


@pytest.mark.parametrize(("start", "end"), [(2.5, 3.0), (1.0, 1.0), (1.5, 0.5)])
def test_a_part_without_pictures_is_told_as_empty(tmp_path, start, end):
    path = write_video(tmp_path / "a.mp4", frames=50)
    with pytest.raises(MediaError, match="no picture from") as error:
        decode_clip(request(path, start=start, end=end))
    assert error.value.reason == "empty"


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_rotation_metadata_is_honoured(tmp_path, turn):
    upright = decode_clip(request(write_video(tmp_path / "up.mp4", frames=25)))
    turned = decode_clip(request(write_video(tmp_path / "turned.mp4", frames=25, rotation=turn)))
    np.testing.assert_array_equal(turned.frames, np.rot90(upright.frames, turn // 90, axes=(1, 2)))


@pytest.mark.slow
def test_key_frames_decide_between_seeking_and_decoding_on(tmp_path):
    often = decode_clip(request(write_video(tmp_path / "often.mp4", frames=300, gop=12)))
    once = decode_clip(request(write_video(tmp_path / "once.mp4", frames=300, gop=300)))
    assert numbers(often) == numbers(once) == at_middles(12.0, 12, 25)
    # Twelve wanted pictures lie in 12 of 25 groups of 12 pictures: at most their half is decoded, where one group
    # needs all pictures up to the last wanted one but those that no other refers to.
    assert often.decoded <= 12 * 12 / 2
    assert 100 < once.decoded <= 288


def test_every_picture_is_decoded_at_most_once_where_wanted_ones_share_a_group(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=60, gop=60, bframes=0)
    assert decode_clip(request(path, frames=12)).decoded == 58  # up to the last wanted one, number 57


def test_a_file_too_large_to_keep_is_read_twice_with_the_same_result(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", frames=60, gop=10)
    kept = decode_clip(request(path))
    monkeypatch.setattr(media_pyav, "KEPT_BYTES", 1000)
    again = decode_clip(request(path))
    np.testing.assert_array_equal(kept.frames, again.frames)
    np.testing.assert_array_equal(kept.audio, again.audio)


def test_leaving_out_what_nothing_refers_to_changes_no_pixel(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", frames=120, gop=60, bframes=3)
    fewer = decode_clip(request(path))
    monkeypatch.setattr(pyav_pictures, "LEAVES_OUT", ())
    every = decode_clip(request(path))
    assert fewer.decoded < every.decoded
    np.testing.assert_array_equal(fewer.frames, every.frames)


@pytest.mark.parametrize("size", [(160, 96), (96, 160), (161, 97), (64, 64), (640, 360)])
def test_crop_is_the_preprocessing_of_torchvision_and_open_clip(size):
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    from gaid.media.picture import fit

    picture = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    theirs = Compose([Resize(224, interpolation=InterpolationMode.BICUBIC), CenterCrop(224)])(Image.fromarray(picture))
    np.testing.assert_array_equal(fit(picture, FrameSpec(224)), np.asarray(theirs))


def test_squash_keeps_the_whole_picture(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=1, size=(320, 96))
    cropped = decode_clip(request(path, frames=1)).frames[0]
    squashed = decode_clip(request(path, frames=1, frame_spec=FrameSpec(96, "squash", "area"))).frames[0]
    assert squashed.shape == (96, 96, 3)
    assert np.abs(squashed.astype(float) - cropped).mean() > 10
    whole = Image.fromarray(draw_number(0, 320, 96)).resize((96, 96), Image.Resampling.BOX)
    assert np.abs(squashed.astype(float) - np.asarray(whole)).mean() < 12


def test_a_strip_of_pixels_does_not_become_gigabytes():
    from gaid.media.picture import fit

    assert fit(np.zeros((2, 60000, 3), np.uint8), FrameSpec(224)).shape == (224, 224, 3)


def test_the_same_request_gives_the_same_bytes(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=50)

    def digest():
        clip = decode_clip(request(path))
        return hashlib.sha256(clip.frames.tobytes() + clip.audio.tobytes() + clip.times.tobytes()).hexdigest()

    assert digest() == digest()


def test_a_still_picture_is_a_video_as_long_as_its_sound(tmp_path):
    picture = draw_number(5, 96, 96)
    Image.fromarray(picture).save(tmp_path / "a.png")
    write_sound(tmp_path / "a.wav", tone(3.0, 44100))
    clip = decode_clip(request(tmp_path / "a.png", audio_path=str(tmp_path / "a.wav")))
    np.testing.assert_array_equal(clip.frames, np.repeat(picture[None], 12, axis=0))
    assert clip.duration == pytest.approx(3.0, abs=0.01)
    np.testing.assert_allclose(clip.times, (np.arange(12) + 0.5) / 4, atol=0.01)
    assert clip.audio_mask.all()


def test_a_still_picture_without_sound_lasts_a_second(tmp_path):
    Image.fromarray(draw_number(5, 96, 96)).save(tmp_path / "a.jpg")
    clip = decode_clip(request(tmp_path / "a.jpg"))
    assert (clip.duration, clip.audio_state) == (1.0, "no track")


@pytest.mark.parametrize(("mode", "pixel"), [("RGBA", (10, 20, 30, 0)), ("LA", (10, 0)), ("P", 0)])
def test_what_is_transparent_in_a_picture_is_white(tmp_path, mode, pixel):
    image = Image.new(mode, (40, 40), pixel)
    if mode == "P":
        image.putpalette([9, 9, 9] * 256)
        image.info["transparency"] = 0
    image.save(tmp_path / "a.png", **({"transparency": 0} if mode == "P" else {}))
    assert (decode_clip(request(tmp_path / "a.png")).frames == 255).all()


def test_a_16_bit_picture_keeps_its_shades(tmp_path):
    ramp = np.linspace(0, 65535, 96 * 96).reshape(96, 96).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    frame = decode_clip(request(tmp_path / "a.png")).frames[0]
    np.testing.assert_allclose(frame[..., 0], ramp / 257, atol=1)


def test_a_picture_named_as_a_video_is_known_by_its_content(tmp_path):
    Image.fromarray(draw_number(5, 96, 96)).save(tmp_path / "a.mp4", format="png")
    assert numbers(decode_clip(request(tmp_path / "a.mp4"))) == [5] * 12


def test_probe_tells_what_a_file_holds(tmp_path):
    info = probe(write_video(tmp_path / "a.mp4", frames=50, sound_rate=48000, layout="stereo"))
    assert (info.width, info.height, info.rate, info.video_codec) == (160, 96, 25.0, "h264")
    assert (info.audio_codec, info.audio_rate, info.channels) == ("aac", 48000, 2)
    assert info.duration == pytest.approx(2.0, abs=0.05)


def test_an_impossible_request_is_the_users_mistake(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=2)
    with pytest.raises(OptionInvalid, match="--frames 0"):
        decode_clip(request(path, frames=0))
    with pytest.raises(OptionInvalid, match="choose pyav or ffmpeg"):
        decode_clip(request(path, decoder="decord"))


def test_a_clip_that_takes_too_long_is_told_as_too_slow(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=50)
    with pytest.raises(MediaError) as error:
        decode_clip(request(path), DecodeLimits(seconds=0))
    assert error.value.reason == "too slow"


def index_of(pts, keys=(0,), duration=0, rate=None, tick=0.04):
    index = PacketIndex(tick, rate)
    for i, value in enumerate(pts):
        index.add(value, None, duration, i in keys, False)
    return index


def test_decoding_begins_at_the_last_key_frame_that_is_not_later():
    timeline = build_timeline(index_of(range(40), keys=(0, 10, 20, 30)))
    plan = plan_frames(timeline, 4, None, None, 0, "x")
    np.testing.assert_array_equal(plan.labels, [5, 15, 25, 35])
    np.testing.assert_array_equal(plan.begin_at(timeline.keys), [0, 10, 20, 30])


def test_the_last_picture_stays_as_long_as_the_others_where_nothing_tells():
    assert build_timeline(index_of([0, 2, 4])).end == 6
    assert build_timeline(index_of([7], rate=5.0)).end == 12
    assert build_timeline(index_of([7])).end == 8  # 25 pictures/s


def test_a_hostile_index_still_gives_a_plan():
    rng = np.random.default_rng(0)
    for _ in range(200):
        pts = [None if rng.random() < 0.1 else int(rng.integers(-(2**40), 2**40)) for _ in range(rng.integers(1, 30))]
        timeline = build_timeline(
            index_of(pts, keys=set(rng.integers(0, 30, 5).tolist()), duration=int(rng.integers(-5, 5)))
        )
        plan = plan_frames(timeline, 12, None, None, 0, "x")
        assert plan.duration > 0
        assert np.all(np.diff(plan.labels) >= 0)
        assert np.all(np.isfinite(plan.moments))
