"""Sound of many channels: only those that the layout has are read, and no layout ends the process."""

import av
import numpy as np
import pytest

from gaid.cli import run
from gaid.media.clip import Clip, MediaInfo
from gaid.media.pool import DecodePool
from gaid.specs import AudioSpec
from tests.media.asking import request
from tests.media_maker import tone, write_video

RATE = 48000


def write_channels(path, layout, codec, seconds=1.0, level=0.5):
    """A second of video with the same tone in every channel."""
    channels = av.AudioLayout(layout).nb_channels
    sound = tone(seconds, RATE, 500, channels, level)
    return write_video(path, frames=25, sound=sound, sound_rate=RATE, sound_codec=codec, layout=layout, size=(64, 48))


# A crash is a line for the clip here, and not the end of the tests.
def decode(path, **changes):
    with DecodePool(1) as pool:
        (clip,) = pool.map([request(path, frames=2, audio_spec=AudioSpec(16000, 0.1, 5.0), **changes)])
    return clip


# PyAV 19's FFmpeg refuses to write these two; decoders still meet such files.
NOT_EVERY_FFMPEG_WRITES = {("7.1", "aac", "ts"), ("hexadecagonal", "aac", "mp4")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "codec", "suffix"),
    [
        ("6.1", "pcm_s16le", "mov"),
        ("7.1", "aac", "mp4"),
        ("7.1", "aac", "ts"),
        ("7.1(wide)", "aac", "ts"),
        ("7.1", "flac", "mkv"),
        ("7.1", "libopus", "mkv"),
        ("7.1", "pcm_s16le", "mkv"),
        ("7.1", "pcm_s16le", "mov"),
        ("7.1", "pcm_s24le", "avi"),
        ("7.1", "pcm_f64le", "mkv"),
        ("7.1", "pcm_u8", "avi"),
        ("octagonal", "aac", "mp4"),
        ("hexadecagonal", "aac", "mp4"),
        ("hexadecagonal", "pcm_s16le", "mov"),
        ("hexadecagonal", "pcm_s32le", "mkv"),
    ],
)
def test_a_track_of_many_channels_is_heard_at_its_level(tmp_path, layout, codec, suffix):
    try:
        path = write_channels(tmp_path / f"a.{suffix}", layout, codec)
    except (av.error.ArgumentError, av.error.InvalidDataError) as error:
        if (layout, codec, suffix) not in NOT_EVERY_FFMPEG_WRITES:
            raise
        pytest.skip(f"this FFmpeg writes no {layout} {codec} in {suffix}: {error}")
    clip = decode(path)
    assert isinstance(clip, Clip), clip
    assert (clip.audio_state, clip.audio_mask.tolist()) == ("sound", [True, True])
    middle = clip.audio[:, 2000:6000]  # codecs fade in and out
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(
        0.5 / np.sqrt(2), rel=0.15
    )  # AAC and Opus leave high tones out of the LFE
    assert np.argmax(np.abs(np.fft.rfft(middle[0]))) == 500 * 4000 / 16000


def write_quicktime(path, layout="7.1", tag=0x00800008):
    """As write_channels, with an order of channels that is QuickTime's own, as other programs write it."""
    data = write_channels(path, layout, "pcm_s16le").read_bytes()
    start = data.index(b"chan") + 8  # after the version and flags: the tag and the bitmap that it makes unneeded
    path.write_bytes(data[:start] + tag.to_bytes(4) + bytes(4) + data[start + 8 :])
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "tag", "order"),
    [("7.1", 0x00800008, "FL+FR+FC+LFE+SL+SR+BL+BR"), ("6.1", 0x007D0007, "FL+FR+FC+LFE+SL+SR+BC")],
)
def test_quicktimes_own_order_of_channels_ends_no_process(tmp_path, layout, tag, order):
    path = write_quicktime(tmp_path / "a.mov", layout, tag)
    count = av.AudioLayout(layout).nb_channels
    with av.open(str(path)) as container:
        context = container.streams.audio[0].codec_context
        found = context.layout
        context.layout = f"{count}C"  # else both would free the layout
        assert found.name == f"{count} channels ({order})"  # what this test is about
    with DecodePool(1) as pool:
        (info,) = pool.probe([str(path)])
    assert isinstance(info, MediaInfo), info
    assert (info.channels, info.audio_codec, info.width) == (count, "pcm_s16le", 64)
    clip = decode(path)
    assert isinstance(clip, Clip), clip
    assert np.sqrt(np.mean(clip.audio**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


@pytest.mark.slow
def test_the_check_of_a_folder_survives_such_a_file_and_opens_none_itself(tmp_path, capfd, monkeypatch):
    def refuse(*_):
        raise AssertionError("a media file was opened in the main process")

    write_quicktime(tmp_path / "many.mov")
    write_channels(tmp_path / "few.mp4", "stereo", "aac")
    monkeypatch.setattr(av, "open", refuse)
    assert run(["datasets", "folder", "--root", str(tmp_path), "--check"]) == 0
    assert "2/2 files" in capfd.readouterr().err
