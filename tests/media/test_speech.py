"""What a transcriber gets of a clip: its sound, in time with its pictures, or its subtitles."""

import numpy as np
import pytest

from gaid.datasets.types import Video
from gaid.errors import MediaError
from gaid.media.clip import SpeechRequest
from gaid.media.pool import DecodePool
from gaid.media.speech import hear
from gaid.media.subtitles import find_beside, parse
from gaid.specs import Segment
from tests.media_maker import write_sound
from tests.speech_maker import RATE, say, write_speaker

SRT = """\ufeff1
00:00:01,000 --> 00:00:02,500
<i>Hello,</i> you
two.

2
00:01:02,250 --> 00:01:03,000 X1:1
{\\an8}Bye &amp; thanks

3
00:00:05,000 --> 00:00:04,000
backwards
"""
VTT = """WEBVTT

NOTE a note that is no cue

intro
01:02.250 --> 01:03.000 align:start
Bye
"""


def request(path, seconds, start=None, rate=RATE, **options):
    return SpeechRequest.of(Video("clip", path, start=start, **options), seconds, rate)


def test_the_whole_sound_is_heard_in_its_place(tmp_path):
    path = write_speaker(tmp_path / "a.mkv", ("apple", 0.5), ("bridge", 33.0), seconds=36)
    found = hear(request(path, 36)).sound
    assert len(found) == 36 * RATE
    np.testing.assert_allclose(found, say(("apple", 0.5), ("bridge", 33.0), seconds=36), atol=2e-3)


@pytest.mark.parametrize("start", [2.0, 33.5])
def test_of_a_part_of_a_file_its_own_sound_is_heard(tmp_path, start):
    path = write_speaker(tmp_path / "a.mkv", ("apple", 3.0), ("bridge", 34.0), seconds=40)
    found = hear(request(path, 4, start=start)).sound
    whole = say(("apple", 3.0), ("bridge", 34.0), seconds=40)
    expected = whole[round(start * RATE) : round((start + 4) * RATE)]
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_a_sound_of_its_own_is_heard_in_place_of_the_videos(tmp_path):
    path = write_speaker(tmp_path / "a.mkv", ("apple", 0.5))
    sound = write_sound(tmp_path / "b.wav", say(("pepper", 1.0))[None], RATE)
    found = hear(request(path, 4, audio_path=sound)).sound
    np.testing.assert_allclose(found, say(("pepper", 1.0)), atol=2e-3)


def test_a_clip_without_a_track_gives_nothing_and_a_file_that_is_no_video_is_an_error(tmp_path):
    silent = write_speaker(tmp_path / "a.mkv")
    wrong = tmp_path / "b.mkv"
    wrong.write_text("words\n")
    gone = tmp_path / "c.mkv"
    with DecodePool(1) as pool:
        nothing, unreadable, missing = pool.hear([request(path, 4) for path in (silent, wrong, gone)])
    assert nothing.sound.size == 0
    assert isinstance(unreadable, MediaError)
    assert missing.reason == "missing"


def test_a_process_of_its_own_gives_the_same_sound_and_cues(tmp_path):
    path = write_speaker(tmp_path / "a.mkv", ("apple", 0.5))
    path.with_suffix(".srt").write_text(SRT, "utf-8")
    with DecodePool(1) as pool:
        heard, read = pool.hear([request(path, 4), request(path, 4, rate=0)])
    np.testing.assert_array_equal(heard.sound, hear(request(path, 4)).sound)
    assert read.cues == hear(request(path, 4, rate=0)).cues != []


def test_cues_of_both_formats_are_parsed_and_nothing_else():
    assert list(parse(SRT.removeprefix("\ufeff"))) == [
        Segment("<i>Hello,</i> you two.", 1.0, 2.5),
        Segment("{\\an8}Bye &amp; thanks", 62.25, 63.0),
    ]
    assert list(parse(VTT)) == [Segment("Bye", 62.25, 63.0)]
    assert list(parse("\x00\x01 --> \n1 --> 2\nno times\n" * 50)) == []


def test_cues_are_those_of_the_clip_from_its_start(tmp_path):
    path = write_speaker(tmp_path / "a.mkv", seconds=2)
    path.with_suffix(".vtt").write_text(VTT)
    assert hear(request(path, 5, start=62.5, rate=0)).cues == [Segment("Bye", 0.0, 0.5)]
    assert hear(request(path, 5, rate=0)).cues == []


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["a.srt", "a.en.srt"], "a.srt"),
        (["a.de.vtt", "a.en.vtt", "ab.srt"], "a.en.vtt"),
        (["a.de.srt", "a.txt"], "a.de.srt"),
        (["b.srt", "a.txt"], None),
    ],
)
def test_the_file_beside_a_video_is_chosen_by_its_name(tmp_path, names, chosen):
    for name in names:
        (tmp_path / name).touch()
    found = find_beside(str(tmp_path / "a.mkv"))
    assert found == (None if chosen is None else str(tmp_path / chosen))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_subtitles_are_read_in_the_encodings_that_occur(tmp_path, encoding):
    path = write_speaker(tmp_path / "a.mkv", seconds=2)
    path.with_suffix(".srt").write_bytes("1\n00:00:00,500 --> 00:00:01,000\nÜber Flüsse\n".encode(encoding))
    assert [cue.text for cue in hear(request(path, 2, rate=0)).cues] == ["Über Flüsse"]


def test_a_text_track_within_a_file_is_read(tmp_path):
    import av

    path = write_speaker(tmp_path / "plain.mkv", ("apple", 0.5))
    side = tmp_path / "words.srt"
    side.write_text("1\n00:00:00,500 --> 00:00:01,500\nGood <b>morning</b>\n\n2\n00:00:02,000 --> 00:00:03,000\nall\n")
    with av.open(path) as video, av.open(side) as words, av.open(tmp_path / "both.mkv", "w") as out:
        streams = {}
        for source in (video.streams.video[0], words.streams.subtitles[0]):
            streams[source] = out.add_stream_from_template(source)
        for container in (video, words):
            for packet in container.demux(*[one for one in streams if one.container is container]):
                if packet.dts is not None or packet.pts is not None:
                    packet.stream = streams[packet.stream]
                    out.mux(packet)
    side.unlink()
    cues = hear(request(tmp_path / "both.mkv", 4, rate=0)).cues
    assert [(cue.start, cue.end) for cue in cues] == [(0.5, 1.5), (2.0, 3.0)]
    assert "morning" in cues[0].text
    assert cues[1].text == "all"
