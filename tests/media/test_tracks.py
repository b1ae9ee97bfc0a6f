"""Which of a file's tracks are used, and what becomes of tracks that nobody can decode."""

import subprocess

import av
import numpy as np
import pytest
from PIL import Image

from gaid.errors import MediaError, OptionInvalid
from gaid.media.decode import decode_clip
from gaid.media.limits import DecodeLimits
from tests.media.asking import request, skip_without
from tests.media_maker import read_number, tone, write_video

NOTHING, DEFAULT = av.stream.Disposition(0), av.stream.Disposition.default
DECODERS = pytest.mark.parametrize("decoder", ["pyav", "ffmpeg"])


def put_together(path, *tracks):
    """One file of (source, kind, disposition) tracks, in this order."""
    with av.open(str(path), "w") as out:
        packets = []
        for source, kind, disposition in tracks:
            with av.open(str(source)) as container:
                stream = getattr(container.streams, kind)[0]
                target = out.add_stream_from_template(stream)
                target.disposition = disposition
                for packet in container.demux(stream):
                    if packet.size:
                        packets.append((float(packet.dts * packet.time_base), packet, target))
                    packet.stream = target
        for _, packet, target in sorted(packets, key=lambda one: one[0]):
            packet.stream = target
            out.mux(packet)
    return path


def numbers(clip):
    return [read_number(frame) for frame in clip.frames]


@pytest.fixture
def loud(tmp_path):
    return write_video(tmp_path / "loud.mp4", frames=50)


@pytest.mark.slow
@DECODERS
def test_the_default_tracks_are_used(tmp_path, loud, decoder):
    skip_without(decoder)
    other = write_video(tmp_path / "other.mp4", frames=1, sound=tone(2, 44100, level=0.0))
    tracks = [(other, "video", NOTHING), (loud, "video", DEFAULT), (other, "audio", NOTHING), (loud, "audio", DEFAULT)]
    clip = decode_clip(request(put_together(tmp_path / "a.mkv", *tracks), decoder=decoder))
    assert numbers(clip) == numbers(decode_clip(request(loud)))
    assert clip.audio_state == "sound"
    first = decode_clip(request(put_together(tmp_path / "b.mkv", tracks[0], tracks[2]), decoder=decoder))
    assert numbers(first) == [0] * 12


@pytest.mark.slow
@DECODERS
def test_a_thumbnail_is_no_picture(tmp_path, loud, decoder):
    skip_without("ffmpeg")  # only the program writes covers
    Image.new("RGB", (96, 96), "red").save(tmp_path / "cover.jpg")
    inputs = ["-i", str(tmp_path / "cover.jpg"), "-i", str(loud), "-map", "0", "-map", "1", "-c", "copy"]
    flags = ["-disposition:v:0", "attached_pic", "-disposition:v:1", "default"]
    path = tmp_path / "a.mp4"
    subprocess.run(["ffmpeg", "-v", "error", *inputs, *flags, str(path)], check=True, capture_output=True)
    assert numbers(decode_clip(request(path, decoder=decoder))) == numbers(decode_clip(request(loud)))


@DECODERS
def test_a_track_that_nobody_can_decode_is_passed_over(tmp_path, loud, decoder):
    skip_without(decoder)
    path = put_together(
        tmp_path / "a.mp4", (loud, "audio", DEFAULT), (loud, "video", DEFAULT), (loud, "audio", NOTHING)
    )
    data = path.read_bytes()
    assert data.count(b"mp4a") == 2
    path.write_bytes(data.replace(b"mp4a", b"zzzz", 1))
    assert decode_clip(request(path, decoder=decoder)).audio_state == "sound"


@pytest.mark.slow
@DECODERS
@pytest.mark.parametrize("alone", [0, 1])
def test_the_sound_is_that_of_the_pictures_programme(tmp_path, loud, decoder, alone):
    """A multiplex of two programmes, one of them without sound, is read as the other, wherever that stands."""
    skip_without("ffmpeg")
    other = write_video(tmp_path / "other.mp4", frames=50, sound=None, size=(96, 96), seed=3)
    path = tmp_path / "a.ts"
    programs = ["program_num=1:st=0:st=1", "program_num=2:st=2"]
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(loud),
        "-i",
        str(other),
        "-map",
        "0:v",
        "-map",
        "0:a",
        "-map",
        "1:v",
        "-c",
        "copy",
    ]
    for program in programs[:: -1 if alone else 1]:
        command += ["-program", program]
    subprocess.run([*command, str(path)], check=True, capture_output=True)
    clip = decode_clip(request(path, decoder=decoder))
    expected = decode_clip(request(loud))
    assert np.abs(clip.frames.astype(int) - expected.frames).mean() < 2
    assert clip.audio_mask.all()


@pytest.mark.slow
@DECODERS
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_an_encrypted_file_is_told_as_such(tmp_path, decoder, codec):
    skip_without(decoder)
    key = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
        "encryption_kid": "a7" * 16,
    }
    path = write_video(tmp_path / "a.mp4", frames=100, codec=codec, container_options=key)
    with pytest.raises(MediaError, match="since they are encrypted") as error:
        decode_clip(request(path, decoder=decoder))
    assert error.value.reason == "encrypted"


def test_a_clip_that_is_too_slow_is_told_with_the_remedy(tmp_path, loud):
    with pytest.raises(MediaError, match=r"not decoded within 0 s; gaid extract --clip-seconds"):
        decode_clip(request(loud), DecodeLimits(seconds=0))


@pytest.mark.slow
def test_the_time_of_a_clip_is_an_option_of_extract(tmp_path):
    from tests.extract.stubs import run
    from tests.extract.world import make_world

    world = make_world(tmp_path / "world", 4)
    report = run(world, tmp_path / "a.zarr", clip_seconds=1e-9)
    assert report.reasons == {"too slow": 3, "unreadable": 1}
    assert run(world, tmp_path / "b.zarr", clip_seconds=20.0).done == 3
    with pytest.raises(OptionInvalid, match="--clip-seconds 0: more than 0"):
        run(world, tmp_path / "c.zarr", clip_seconds=0.0)
