"""The ffmpeg program gives the clips that PyAV gives."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from gaid.errors import DependencyMissing, MediaError
from gaid.media.decode import check_decoder, decode_clip
from gaid.media.limits import DecodeLimits
from gaid.media.picture import fit
from gaid.specs import FrameSpec
from tests.media.asking import request
from tests.media_maker import break_packets, read_number, tone, write_sound, write_video

try:
    check_decoder("ffmpeg")
    MISSING = ""
except DependencyMissing as error:
    MISSING = str(error)
needs_ffmpeg = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def both(path, **changes):
    return [decode_clip(request(path, decoder=decoder, **changes)) for decoder in ("pyav", "ffmpeg")]


LOW = tone(2, 44100, 30)  # a tone so low that a millisecond, to which some containers round, changes it little
CASES = {
    "mp4": ("mp4", {}),
    "mkv": ("mkv", {"sound": LOW}),
    "ts with an offset": ("ts", {"offset": 5.0}),
    "webm": (
        "webm",
        {"codec": "libvpx-vp9", "sound_codec": "libopus", "sound_rate": 48000, "sound": tone(2, 48000, 30)},
    ),
    "avi without times of display": ("avi", {"sound_codec": "pcm_s16le"}),
    "hevc": ("mp4", {"codec": "libx265"}),
    "10-bit 4:2:2, longer sound": (
        "mp4",
        {"pix_fmt": "yuv422p10le", "sound": tone(5, 44100, channels=2), "layout": "stereo"},
    ),
    "odd size": ("mp4", {"size": (161, 97), "pix_fmt": "yuv444p"}),
    "variable rate": (
        "mp4",
        {"frames": 13, "bframes": 0, "times": [0, 0.04, 0.08, 0.5, 0.54, 1, 1.04, 1.08, 1.12, 1.5, 1.6, 1.7, 1.9]},
    ),
    "one picture": ("mp4", {"frames": 1}),
    "five pictures": ("mp4", {"frames": 5}),
    "turned": ("mp4", {"rotation": 90}),
    "no sound": ("mp4", {"sound": None}),
    "surround": ("mkv", {"sound_codec": "pcm_s16le", "layout": "5.1", "sound_rate": 48000}),
}


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize("kind", CASES)
def test_both_decoders_give_the_same_frames_and_sound(tmp_path, kind):
    suffix, options = CASES[kind]
    path = write_video(tmp_path / f"a.{suffix}", **{"frames": 50, **options})
    ours, theirs = both(path)
    assert [read_number(f) for f in ours.frames] == [read_number(f) for f in theirs.frames] or kind == "turned"
    assert np.abs(ours.times - theirs.times).max() <= 0.02
    assert np.abs(ours.frame_times - theirs.frame_times).max() <= 0.02
    assert np.abs(ours.frames.astype(int) - theirs.frames).mean() < 2
    assert (ours.duration, ours.short, ours.audio_state) == (theirs.duration, theirs.short, theirs.audio_state)
    np.testing.assert_array_equal(ours.audio_mask, theirs.audio_mask)
    assert np.abs(ours.audio - theirs.audio).max(initial=0) < 0.1


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("start", [1.0, 45.0])
def test_both_decoders_agree_on_a_part_of_a_video(tmp_path, suffix, start):
    path = write_video(tmp_path / f"a.{suffix}", frames=300, rate=5, gop=20, sound=tone(60, 44100, 30))
    ours, theirs = both(path, start=start, end=start + 4, frames=5)
    assert [read_number(f) for f in ours.frames] == [read_number(f) for f in theirs.frames]
    np.testing.assert_array_equal(ours.audio_mask, theirs.audio_mask)
    assert np.abs(ours.audio - theirs.audio).max() < 0.1


@pytest.mark.slow
@needs_ffmpeg
def test_both_decoders_agree_on_a_broken_track_and_on_broken_pictures(tmp_path):
    whole = write_video(tmp_path / "a.mp4")
    ours, theirs = both(break_packets(whole, tmp_path / "sound.mp4"))
    assert ours.audio_state == theirs.audio_state == "failed"
    for decoder in ("pyav", "ffmpeg"):
        with pytest.raises(MediaError) as error:
            decode_clip(request(break_packets(whole, tmp_path / "picture.mp4", "video"), decoder=decoder))
        assert error.value.reason == "unreadable"


@pytest.mark.slow
@needs_ffmpeg
def test_both_decoders_read_a_sound_in_a_file_of_its_own(tmp_path):
    video = write_video(tmp_path / "a.mp4", sound=None)
    sound = write_sound(tmp_path / "a.ogg", tone(2, 48000, 30), 48000, "libopus")
    ours, theirs = both(video, audio_path=str(sound))
    assert ours.audio_state == theirs.audio_state == "sound"
    assert np.abs(ours.audio - theirs.audio).max() < 0.1


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize("turn", [90, 180, -90])
def test_a_turned_video_is_as_the_program_itself_turns_it(tmp_path, turn):
    path = write_video(tmp_path / "a.mp4", frames=1, rotation=turn, sound=None)
    width, height = (96, 160) if turn != 180 else (160, 96)
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    expected = fit(np.frombuffer(data, np.uint8).reshape(height, width, 3), FrameSpec(96))
    for clip in both(path, frames=1):
        assert np.abs(clip.frames[0].astype(int) - expected).mean() < 2


@pytest.mark.slow
@needs_ffmpeg
def test_a_program_that_hangs_is_ended_at_the_limit(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", frames=10)
    (tmp_path / "bin").mkdir()
    real = shutil.which("ffprobe")
    (tmp_path / "bin" / "ffprobe").symlink_to(real)
    (tmp_path / "bin" / "ffmpeg").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "bin" / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(MediaError) as error:
        decode_clip(request(path, decoder="ffmpeg"), DecodeLimits(seconds=1.5))
    assert error.value.reason == "too slow"


def test_a_missing_program_is_told_in_a_line(monkeypatch, tmp_path):
    pytest.importorskip("ffmpeg")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyMissing, match="needs the program ffmpeg, which is not on the path"):
        check_decoder("ffmpeg")


def test_a_missing_package_is_told_in_a_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ffmpeg", None)
    with pytest.raises(DependencyMissing, match=r"pip install 'gaid\[ffmpeg\]'"):
        check_decoder("ffmpeg")


def test_another_package_of_the_same_name_is_told_in_a_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ffmpeg", type(sys)("ffmpeg"))
    with pytest.raises(DependencyMissing, match="another package named ffmpeg"):
        check_decoder("ffmpeg")


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize("own_file", [False, True])
def test_both_decoders_sample_sound_the_published_way(tmp_path, own_file):
    sound = tone(4, 44100, 30)
    path = write_video(
        tmp_path / "a.mkv", frames=20, rate=5, sound=None if own_file else sound, sound_codec="pcm_s16le"
    )
    audio = str(write_sound(tmp_path / "a.wav", sound)) if own_file else None
    ours, theirs = both(path, audio_path=audio, audio_sampling="spread")
    np.testing.assert_array_equal(ours.audio_mask, [True, True] + [False] * 10)
    np.testing.assert_array_equal(ours.audio_mask, theirs.audio_mask)
    np.testing.assert_allclose(ours.audio, theirs.audio, atol=0.01)
    assert ours.audio.shape == (12, round(2.5 * 16000))
