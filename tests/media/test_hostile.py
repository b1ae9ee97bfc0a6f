"""Files that are broken, huge, slow or sly: each costs its own clip, and nothing but the file asked for is ever opened."""

import ctypes
import os
import socket
import struct
import threading
import time
import zlib
from contextlib import suppress

import av
import numpy as np
import pytest
from PIL import Image

from gaid.errors import MediaError
from gaid.media.clip import Clip
from gaid.media.decode import decode_clip, probe
from gaid.media.limits import DecodeLimits
from gaid.media.pool import DecodePool
from tests.media.asking import request_little as request
from tests.media_maker import read_number, tone, write_sound, write_video

DECODERS = ["pyav", "ffmpeg"]


def reason(path, **changes):
    with pytest.raises(MediaError) as error:
        decode_clip(request(path, **changes))
    assert "\n" not in str(error.value)
    return error.value.reason


@pytest.fixture(params=DECODERS)
def decoder(request):
    if request.param == "ffmpeg":
        from gaid.media.ffmpeg import check_ffmpeg

        try:
            check_ffmpeg()
        except ImportError as error:
            pytest.skip(str(error))
    return request.param


# What a listener on loopback and a watch on a canary's folder see. Both are proved able to see by controls below.


class Listener:
    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.connections = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self._thread.join(5)


class OpenWatch:
    """Counts opens of a file by any process of this machine, by inotify."""

    IN_OPEN = 0x20

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = libc.inotify_init1(os.O_NONBLOCK)
        if self.descriptor < 0 or libc.inotify_add_watch(self.descriptor, os.fsencode(path), self.IN_OPEN) < 0:
            pytest.skip("inotify can't be used here")

    def opens(self):
        count = 0
        while True:
            try:
                data = os.read(self.descriptor, 4096)
            except BlockingIOError:
                return count
            at = 0
            while at < len(data):
                _, _, _, length = struct.unpack_from("iIII", data, at)
                count += 1
                at += 16 + length

    def close(self):
        os.close(self.descriptor)


@pytest.fixture
def listener():
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def canary(tmp_path):
    path = write_video(tmp_path / "secret" / "canary.mp4", frames=10, sound_codec="aac")
    watch = OpenWatch(path)
    yield path, watch
    watch.close()


def playlists(port, canary):
    """(file name, its text) of everything that makes some player open something else."""
    http = f"http://127.0.0.1:{port}/x.ts"
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{}\n#EXT-X-ENDLIST\n"
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT5S" '
        'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp4">'
        '<Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>'
    )
    sdp = (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    )
    concat = "ffconcat version 1.0\nfile {}\n"
    near = f"secret/{canary.name}"
    return {
        "hls to http": ("a.m3u8", hls.format(http)),
        "hls to http named mp4": ("a.mp4", hls.format(http)),
        "hls to a file": ("b.m3u8", hls.format(canary)),
        "hls to a file named mp4": ("b.mp4", hls.format(f"file://{canary}")),
        "hls in avi's name": ("c.avi", hls.format(http)),
        "dash": ("a.mpd", dash.format(http)),
        "dash named mp4": ("d.mp4", dash.format(http)),
        "sdp": ("a.sdp", sdp.format(port)),
        "sdp named mp4": ("e.mp4", sdp.format(port)),
        "concat of a neighbour": ("a.ffconcat", concat.format(near)),
        "concat of a neighbour named mp4": ("f.mp4", concat.format(near)),
        "concat of an absolute path": ("g.mp4", concat.format(canary)),
        "concat of http": ("h.mp4", concat.format(http)),
        "image list": ("i%d.mp4", "x"),
    }


def names_that_are_protocols(port, canary):
    return [
        f"http://127.0.0.1:{port}/a.mp4",
        f"tcp://127.0.0.1:{port}",
        f"concat:{canary}|{canary}",
        f"subfile,,start,0,end,1000,,:{canary}",
        f"file:{canary}",
        f"async:{canary}",
        f"crypto:{canary}",
        "data:video/mp4;base64,AAAA",
        "pipe:0",
        "fd:0",
        f"-i {canary}",
    ]


@pytest.mark.slow
def test_no_file_opens_another(tmp_path, listener, canary, decoder):
    secret, watch = canary
    for kind, (name, text) in playlists(listener.port, secret).items():
        path = tmp_path / name
        path.write_text(text)
        assert reason(path, decoder=decoder) in ("refused", "unreadable"), kind
        assert (listener.connections, watch.opens()) == (0, 0), kind


def test_no_name_is_taken_for_a_protocol(tmp_path, listener, canary, decoder, monkeypatch):
    secret, watch = canary
    monkeypatch.chdir(tmp_path)
    for name in names_that_are_protocols(listener.port, secret):
        assert reason(name, decoder=decoder) == "missing"
        assert (listener.connections, watch.opens()) == (0, 0), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["concat:a.mp4", "http:b.mp4", "subfile,,start,0,end,9,,:c.mp4", "-i.mp4", "%d.mp4", "a'b;$(c).mp4"]
)
def test_a_file_with_the_name_of_a_protocol_is_that_file(tmp_path, monkeypatch, decoder, name):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "plain.mp4", frames=10).rename(name)
    assert [read_number(f) for f in decode_clip(request(name, decoder=decoder)).frames] == [1, 3, 6, 8]


@pytest.mark.slow
def test_a_sound_file_opens_no_other_either(tmp_path, listener, canary, decoder):
    secret, watch = canary
    video = write_video(tmp_path / "good.mp4", frames=10, sound=None)
    for kind in (
        "hls to http named mp4",
        "hls to a file named mp4",
        "dash named mp4",
        "concat of a neighbour named mp4",
    ):
        name, text = playlists(listener.port, secret)[kind]
        (tmp_path / name).write_text(text)
        clip = decode_clip(request(video, audio_path=str(tmp_path / name), decoder=decoder))
        assert clip.audio_state == "failed", kind
        assert (listener.connections, watch.opens()) == (0, 0), kind


def test_probing_opens_no_other_either(tmp_path, listener, canary):
    secret, watch = canary
    for name, text in playlists(listener.port, secret).values():
        (tmp_path / name).write_text(text)
        with pytest.raises(MediaError):
            probe(str(tmp_path / name))
    assert (listener.connections, watch.opens()) == (0, 0)


def test_a_movie_that_refers_to_data_elsewhere_does_not_get_it(tmp_path, canary, decoder):
    """QuickTime's `dref` may name another file: here the box of a real file is changed to name the canary."""
    secret, watch = canary
    data = write_video(tmp_path / "a.mov", frames=10).read_bytes()
    at = data.index(b"url \x00\x00\x00\x01")  # flags 1: the data are in this file
    changed = data[:at] + b"alis\x00\x00\x00\x00" + data[at + 8 :]
    (tmp_path / "b.mov").write_bytes(changed.replace(b"/dev/null", bytes(str(secret), "ascii")[:9]))
    with suppress(MediaError):
        decode_clip(request(tmp_path / "b.mov", decoder=decoder))
    assert watch.opens() == 0


def test_the_listener_and_the_watch_would_see_it(tmp_path, listener, canary):
    """The control: with either whitelist left out, PyAV does what the tests above must not see."""
    _, watch = canary
    (tmp_path / "f.mp4").write_text("ffconcat version 1.0\nfile secret/canary.mp4\n")
    with av.open(str(tmp_path / "f.mp4"), options={"protocol_whitelist": "file"}) as container:
        assert container.streams.video
    assert watch.opens() > 0
    with pytest.raises((av.FFmpegError, OSError)):
        av.open(f"http://127.0.0.1:{listener.port}/a.mp4", timeout=5)
    deadline = time.monotonic() + 5
    while not listener.connections and time.monotonic() < deadline:
        time.sleep(0.01)
    assert listener.connections > 0


# Files that are not what they say.


@pytest.mark.slow
def test_each_kind_of_bad_file_has_its_reason(tmp_path, decoder):
    good = write_video(tmp_path / "good.mp4", frames=25).read_bytes()
    (tmp_path / "text.mp4").write_text("this is not a video\n" * 50)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "cut.mp4").write_bytes(good[: len(good) // 2])  # the index stands at the end
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(20000))
    (tmp_path / "link.mp4").symlink_to(tmp_path / "text.mp4")
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "gone.mp4")
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    write_sound(tmp_path / "sound.wav", tone(1, 44100)).rename(tmp_path / "sound.mp4")
    Image.new("RGB", (20, 20)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:40])
    found = {path.name: reason(path, decoder=decoder) for path in tmp_path.iterdir() if path.name != "good.mp4"}
    assert found == {
        "text.mp4": "unreadable",
        "empty.mp4": "empty",
        "cut.mp4": "unreadable",
        "noise.mp4": "unreadable",
        "link.mp4": "unreadable",
        "dangling.mp4": "missing",
        "folder.mp4": "refused",
        "pipe.mp4": "refused",
        "sound.mp4": "no video",
        "cut.png": "unreadable",
    }
    assert reason("/dev/zero", decoder=decoder) == "refused"
    assert reason(tmp_path / "nothing.mp4", decoder=decoder) == "missing"
    assert reason("a\0b.mp4", decoder=decoder) == "unreadable"
    assert reason(tmp_path / ("x" * 300 + ".mp4"), decoder=decoder) == "unreadable"


@pytest.mark.slow
def test_a_file_cut_after_its_index_gives_what_is_left(tmp_path, decoder):
    whole = write_video(
        tmp_path / "a.mp4", frames=100, gop=10, container_options={"movflags": "+faststart"}
    ).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    clip = decode_clip(request(tmp_path / "cut.mp4", decoder=decoder))
    numbers = [read_number(frame) for frame in clip.frames]
    assert 1.0 < clip.duration < 3.5
    assert numbers == sorted(numbers)
    assert numbers[-1] < 80


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["видео клип 1.mp4", "動画 (1) & more.mp4", "line\nbreak.mp4", os.fsdecode(b"latin\xe9.mp4")]
)
def test_a_name_in_any_script_is_read(tmp_path, decoder, name):
    write_video(tmp_path / "plain.mp4", frames=10).rename(tmp_path / name)
    clip = decode_clip(request(tmp_path / name, decoder=decoder))
    assert [read_number(frame) for frame in clip.frames] == [1, 3, 6, 8]
    (tmp_path / name).write_text("no video")
    with pytest.raises(MediaError) as error:
        decode_clip(request(tmp_path / name, decoder=decoder))
    assert str(error.value).isprintable()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_a_tag_that_is_not_utf8_does_not_cost_the_clip(tmp_path, decoder, kind):
    path = write_video(tmp_path / f"a.{kind}", frames=10)
    whole = path.read_bytes()
    assert b"Lavf" in whole, "the muxer no longer writes its name as a tag"
    path.write_bytes(whole.replace(b"Lavf", b"L\xe9vf"))
    clip = decode_clip(request(path, decoder=decoder))
    assert [read_number(frame) for frame in clip.frames] == [1, 3, 6, 8]


# Files that want too much.


def huge_png(path, width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("size", [(9000, 9000), (16384, 16384), (60000, 60000)])
def test_a_picture_that_declares_too_many_pixels_is_not_decoded(tmp_path, size):
    assert reason(huge_png(tmp_path / "a.png", *size)) == "too large"


@pytest.mark.slow
def test_a_video_that_declares_too_many_pixels_is_not_decoded(tmp_path, decoder):
    path = write_video(tmp_path / "a.mkv", frames=3, size=(640, 360))
    with pytest.raises(MediaError) as error:
        decode_clip(request(path, decoder=decoder), DecodeLimits(pixels=640 * 360 - 1))
    assert error.value.reason == "too large"
    assert decode_clip(request(path, decoder=decoder), DecodeLimits(pixels=640 * 360)).frames.any()


@pytest.mark.slow
def test_a_worker_that_meets_the_memory_limit_tells_so_and_goes_on(tmp_path):
    Image.new("RGB", (7900, 7900)).save(tmp_path / "a.png")  # within the limit of pixels; about 400 MB to decode
    small = write_video(tmp_path / "a.mp4", frames=10)
    with DecodePool(1, DecodeLimits(memory_bytes=420 << 20)) as pool:
        first, second = pool.map([request(tmp_path / "a.png"), request(small)])
    assert isinstance(first, MediaError)
    assert first.reason == "too large"
    assert isinstance(second, Clip)
