"""`gaid search` of a folder of videos without captions, from the files to the found file."""

from pathlib import Path

import pytest

from tests.media_maker import tone, write_sound, write_video
from tests.speech_maker import write_speaker


@pytest.fixture
def uncaptioned(gaid, tmp_path: Path) -> Path:
    """A store of four clips without a word about them, and one that can't be read."""
    root = tmp_path / "mine"
    for number in range(4):
        write_video(root / f"clip {number}.mp4", frames=12, size=(64, 48), seed=number, sound=tone(0.5, 16000, 300.0),
                    sound_rate=16000)  # fmt: skip
    (root / "broken.mp4").write_text("no video")
    told = gaid("extract", "--dataset", "folder", "--root", root, "--visual", "tiny", "--audio", "tiny",
                "--out", "mine.zarr", "--workers", "1", "--frames", "3", "--max-missing", "1")  # fmt: skip
    assert told.code == 3
    return root


@pytest.mark.slow
def test_a_folder_without_captions_is_searched_and_its_files_are_named(gaid, uncaptioned):
    chosen = ("--store", "mine.zarr", "--preset", "mean-pool")
    told = gaid("search", "a number in a picture", "another", *chosen, "--top", "2", "--json", "--html", "page.html")
    assert told.code == 0, told.err
    assert told.json["clips"] == 4
    assert [len(answer["hits"]) for answer in told.json["answers"]] == [2, 2]
    for answer in told.json["answers"]:
        for hit in answer["hits"]:
            assert Path(hit["path"]) == uncaptioned / f"{hit['video']}.mp4"
    # Of each of the four hits the frames, and those of the moment that fits best.
    assert Path("page.html").read_text().count("data:image/webp;base64,") == 8

    told = gaid("search", "a number in a picture", *chosen, "-k", "3")
    assert told.code == 0
    assert "a number in a picture" in told.out
    assert told.out.count(".mp4") == 3
    assert "do not share a space" in told.err  # tiny's senses: what is found is chance, and it says so

    uncaptioned.rename(uncaptioned.with_name("moved"))
    told = gaid("search", "a number", *chosen)
    assert (told.code, told.out.count(".mp4")) == (0, 0)
    assert "--root FOLDER says where they are" in told.err
    assert gaid("search", "a number", *chosen, "--root", "moved").out.count(".mp4") == 4


def test_a_mistake_is_one_line(gaid, tmp_path):
    for arguments, words in (
        (["a dog"], "search where?"),
        (["a dog", "--run", "nowhere"], "no such run"),
        (["a dog", "--store", "nowhere.zarr", "--preset", "mean-pool"], "no store there"),
        (["a dog", "--run", "x", "--preset", "gaid"], "give one of the two"),
    ):
        told = gaid("search", *arguments)
        assert told.code == 2
        assert words in told.last_word
        assert len(told.err.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_picture_a_sound_and_a_clip_find_what_is_like_them(gaid, uncaptioned):
    write_sound(Path("tone.wav"), tone(0.5, 16000, 300.0), 16000)
    for example in (
        ("--like", "clip 2"),
        ("--like", uncaptioned / "clip 2.mp4"),
        ("--picture", uncaptioned / "clip 2.mp4"),
    ):
        told = gaid("search", "--store", "mine.zarr", "--preset", "mean-pool", *example, "--json")
        assert told.code == 0, told.err
        (answer,) = told.json["answers"]
        assert answer["hits"][0]["video"] == "clip 2"
        assert answer["fitting"] is None
    told = gaid("search", "--store", "mine.zarr", "--preset", "mean-pool", "--sound", "tone.wav", "--json")
    assert told.code == 0, told.err
    assert len(told.json["answers"][0]["hits"]) == 4
    told = gaid("search", "--store", "mine.zarr", "--preset", "mean-pool", "--picture", "nowhere.png")
    assert (told.code, told.last_word) == (2, "gaid: nowhere.png: no such file")


@pytest.mark.slow
def test_what_a_folder_has_is_extracted_before_the_search(gaid, uncaptioned):
    (uncaptioned / "broken.mp4").unlink()
    write_video(uncaptioned / "new.mp4", frames=12, size=(64, 48), seed=9)
    told = gaid(
        "search", "a number", "--folder", uncaptioned, "--store", "mine.zarr", "--preset", "mean-pool", "--json"
    )
    assert told.code == 0, told.err
    assert told.json["clips"] == 5


@pytest.mark.slow
def test_without_a_query_on_a_terminal_the_store_stays_open(gaid, uncaptioned, monkeypatch):
    lines = iter(["a number", "-number", "another", ""])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    told = gaid("search", "--store", "mine.zarr", "--preset", "mean-pool", "--top", "2")
    assert told.code == 0, told.err
    assert told.out.count(".mp4") == 4
    assert "only says what to leave out" in told.err


@pytest.mark.slow
def test_what_is_said_is_extracted_searched_and_shown(gaid, tmp_path):
    for number, word in enumerate(("apple", "bridge", "candle")):
        write_speaker(tmp_path / "mine" / f"clip {number}.mkv", (word, 1.0), seed=number)
    chosen = ("--visual", "tiny", "--audio", "tiny", "--out", "mine.zarr", "--workers", "1", "--frames", "3")
    told = gaid("extract", "--dataset", "folder", "--root", tmp_path / "mine", *chosen, "--speech", "tiny", "--json")
    assert (told.code, told.json["transcribed"]) == (0, 3)
    told = gaid("store", "info", "mine.zarr")
    assert "speech: 3 segments in 3 clips, by tiny" in told.out
    search = ("search", "--store", "mine.zarr", "--preset", "mean-pool", "-k", "2")
    told = gaid(*search, "the bridge", "--sense", "speech")
    assert told.code == 0, told.err
    lines = [line for line in told.out.splitlines() if "clip" in line]
    assert "“bridge”" in lines[1]
    assert "1.0–1.3" in lines[1]
    hit = gaid(*search, "the bridge", "--json").json["answers"][0]["hits"][0]
    assert (hit["video"], hit["carried"], hit["words"]) == ("clip 1", "speech", "bridge")
    assert hit["moment"] == pytest.approx([1.0, 1.3], abs=0.06)
