"""A folder of one's own: which files are videos, what they are called, and where captions come from."""

import json
import os
import unicodedata
from pathlib import Path

import pytest

from gaid.datasets import load_dataset
from gaid.datasets.folder import part_of
from gaid.datasets.reading import find_files
from gaid.datasets.types import Video, WholeFiles, with_sounds
from gaid.errors import DataInvalid, DataMissing
from gaid.extract.check import CheckReport
from gaid.paths import iter_files

# Of clip0 ... clip19, as `part_of` first gave them.
PART_OF_CLIPS = ["val" if number in (3, 5) else "train" for number in range(20)]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    return root


def load(root: Path):
    return load_dataset("folder", root)


def ids(root: Path) -> list[str]:
    return [video.id for video in load(root).videos]


def texts(root: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for caption in load(root).captions:
        found.setdefault(caption.video, []).append(caption.text)
    return found


def parts(dataset, protocol: str) -> dict[str, set[str]]:
    return {part: {dataset.captions[row].video for row in rows} for part, rows in dataset.splits[protocol].items()}


def test_videos_are_found_in_all_folders_and_hidden_files_are_not(tmp_path):
    touch(tmp_path, "b.mp4", "a/z.MOV", "a/y.webm", "notes.md", ".hidden.mp4", ".cache/x.mp4", "a/._y.webm")
    assert ids(tmp_path) == ["a/y", "a/z", "b"]


def test_a_folder_named_like_a_video_is_listed_so_that_it_is_told(tmp_path):
    (touch(tmp_path, "a.mp4") / "x.mp4").mkdir()
    assert ids(tmp_path) == ["a", "x"]


def test_a_folder_named_like_a_video_that_holds_videos_is_just_a_folder(tmp_path):
    touch(tmp_path, "x.mp4/part1.mp4")
    assert ids(tmp_path) == ["x.mp4/part1"]


def test_links_to_folders_are_followed_and_loops_end(tmp_path):
    touch(tmp_path / "far", "b.mp4")
    root = touch(tmp_path / "near", "a.mp4")
    (root / "link").symlink_to(tmp_path / "far")
    (root / "loop").symlink_to(root)
    assert ids(root) == ["a", "link/b"]


def test_a_link_to_nothing_is_listed_so_that_it_is_told(tmp_path):
    (touch(tmp_path, "a.mp4") / "gone.mp4").symlink_to(tmp_path / "nowhere")
    assert ids(tmp_path) == ["a", "gone"]


def test_names_that_would_be_the_same_keep_their_suffix(tmp_path):
    touch(tmp_path, "a.mp4", "a.mov", "b.mp4")
    assert ids(tmp_path) == ["a.mov", "a.mp4", "b"]


def test_names_stay_different_when_one_is_the_other_with_a_suffix(tmp_path):
    touch(tmp_path, "a.mp4", "a.mov", "a.mp4.mov")
    assert len(set(ids(tmp_path))) == 3


def test_letters_composed_in_two_ways_are_one_name(tmp_path):
    touch(tmp_path, unicodedata.normalize("NFD", "Müller größer.mp4"))
    (tmp_path / "captions.csv").write_text("video,caption\nMüller größer.mp4,a man\n", encoding="utf-8")
    assert texts(tmp_path) == {"Müller größer": ["a man"]}


def test_two_files_whose_names_differ_in_composition_only_have_two_ids(tmp_path):
    touch(tmp_path, unicodedata.normalize("NFD", "é.mp4"), unicodedata.normalize("NFC", "é.mp4"))
    assert len(list(tmp_path.iterdir())) == 2
    assert len(set(ids(tmp_path))) == 2


def test_a_name_that_is_no_utf8_has_an_id_that_is(tmp_path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4")).write_bytes(b"")
    (name,) = ids(tmp_path)
    assert name.encode("utf-8") == b"caf\\xe9"
    assert load(tmp_path).videos[0].path.is_file()


@pytest.mark.parametrize("name", ["日本 語.mp4", "вечер.mp4", "עברית 1.mp4", "a,b 'c\".mp4"])
def test_names_in_any_script_have_captions_beside_them(tmp_path, name):
    touch(tmp_path, name)
    (tmp_path / name).with_suffix(".txt").write_text("ein Satz\n\n  二つ目 \n", encoding="utf-8")
    assert texts(tmp_path) == {name.removesuffix(".mp4"): ["ein Satz", "二つ目"]}


def test_a_table_names_videos_by_path_or_bare_name_with_or_without_suffix(tmp_path):
    touch(tmp_path, "a.mp4", "sub/b.mp4", "sub/c.mp4", "sub/d.mp4")
    rows = ["a,one", "sub/b.mp4,two", "c.mp4,three", f"{tmp_path}/sub/d.mp4,four", "./a.mp4,five"]
    (tmp_path / "captions.csv").write_text("\n".join(["video,caption", *rows]))
    assert texts(tmp_path) == {"a": ["one", "five"], "sub/b": ["two"], "sub/c": ["three"], "sub/d": ["four"]}


def test_a_bare_name_that_two_videos_have_is_refused(tmp_path):
    touch(tmp_path, "x/a.mp4", "y/a.mp4")
    (tmp_path / "captions.csv").write_text("video,caption\na.mp4,one\n")
    with pytest.raises(DataInvalid, match=r"captions.csv, line 2: 'a.mp4' can mean x/a or y/a"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("\ufeffvideo,caption\r\na,hello\r\n", "hello"),
        ("video;caption\na;hello, world\n", "hello, world"),
        ("caption\tvideo\nhello\ta\n", "hello"),
        ('video,caption\na,"two\nlines, and ""marks"""\n', 'two lines, and "marks"'),
        ("video, caption\na, hello\n\n", "hello"),
        ("video,caption\na,with\u2028mark\x0binside\n", "with mark inside"),
    ],
)
def test_tables_are_read_as_spreadsheets_write_them(tmp_path, table, text):
    touch(tmp_path, "a.mp4")
    (tmp_path / "captions.csv").write_text(table, encoding="utf-8", newline="")
    assert texts(tmp_path) == {"a": [text]}


def test_captions_may_be_json_lines(tmp_path):
    touch(tmp_path, "a.mp4")
    lines = [json.dumps({"video": "a", "caption": "eins"}), "", json.dumps({"video": "a", "caption": "zwei"})]
    (tmp_path / "captions.jsonl").write_text("\n".join(lines))
    assert texts(tmp_path) == {"a": ["eins", "zwei"]}
    assert [caption.id for caption in load(tmp_path).captions] == ["a#0", "a#1"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("captions.csv", "name,text\na,b\n", "line 1: no column video, caption; it names name, text"),
        ("captions.csv", "", "line 1: no column video, caption; it names nothing"),
        ("captions.csv", "video,caption\na,one\na,\n", "line 3: no caption"),
        ("captions.csv", "video,caption\n,one\n", "line 2: no video"),
        ("captions.csv", "video,caption,split\na,one,tset\n", "line 2: split 'tset' is not one of train, val, test"),
        ("captions.csv", "video,caption,split\na,one,\n", "line 2: the split is empty"),
        (
            "captions.csv",
            "video,caption,split\na,1,train\na,2,test\n",
            "line 3: video 'a' is in test here and in train",
        ),
        ("captions.jsonl", '{"video": "a", "caption": "x"}\n{"video": "a"}\n', "line 2: expected"),
        ("captions.jsonl", "video,caption\n", "line 1: expected"),
        ("captions.jsonl", '{"video": "a", "caption": 7}\n', "line 1: expected"),
        ("captions.csv", "video,caption\nzzz,one\n", "none of its videos are under"),
    ],
)
def test_a_mistake_in_captions_is_told_with_file_and_line(tmp_path, name, content, said):
    touch(tmp_path, "a.mp4")
    (tmp_path / name).write_text(content)
    with pytest.raises(DataInvalid, match=said.replace("(", r"\(")) as told:
        load(tmp_path)
    assert "\n" not in str(told.value)
    assert name in str(told.value)


def test_text_in_another_encoding_is_told(tmp_path):
    touch(tmp_path, "a.mp4")
    (tmp_path / "a.txt").write_bytes("grün".encode("latin-1"))
    with pytest.raises(DataInvalid, match=r"a\.txt, line 1: not UTF-8 at byte 2; save it as UTF-8"):
        load(tmp_path)


def test_two_caption_files_are_refused(tmp_path):
    touch(tmp_path, "a.mp4", "captions.csv", "captions.jsonl")
    with pytest.raises(DataInvalid, match="keep one"):
        load(tmp_path)


def test_text_files_that_a_table_replaces_are_told(tmp_path):
    touch(tmp_path, "a.mp4")
    (tmp_path / "a.txt").write_text("beside")
    (tmp_path / "captions.csv").write_text("video,caption\na,table\n")
    assert texts(tmp_path) == {"a": ["table"]}
    assert any("1 .txt files beside videos are not read" in note for note in load(tmp_path).notes)


def test_a_video_of_the_table_that_is_not_there_stays_and_is_missing(tmp_path):
    touch(tmp_path, "a.mp4")
    (tmp_path / "captions.csv").write_text("video,caption\na,one\nsub/gone.mp4,two\n")
    dataset = load(tmp_path)
    assert [video.id for video in dataset.videos] == ["a", "sub/gone"]
    assert dataset.missing == ("sub/gone",)
    assert dataset.counts()["all"]["test"] == {"captions": 2, "videos": 2, "missing": 1}


def test_no_folder_and_no_video_are_told(tmp_path):
    with pytest.raises(DataMissing, match="not there; name yours with --root"):
        load(tmp_path / "nowhere")
    with pytest.raises(DataMissing, match="no video under"):
        load(tmp_path)


def test_without_captions_there_are_videos_and_an_empty_test(tmp_path):
    dataset = load(touch(tmp_path, "a.mp4"))
    assert dataset.captions == ()
    assert dataset.splits == {"all": {"test": ()}}
    assert "no captions" in dataset.notes[0]


def captioned(root: Path, count: int) -> Path:
    for number in range(count):
        touch(root, f"clip{number}.mp4")
        (root / f"clip{number}.txt").write_text(f"first of {number}\nsecond of {number}\n")
    return root


def test_many_captioned_videos_are_split_by_a_hash_and_each_is_in_one_part(tmp_path):
    dataset = load(captioned(tmp_path, 200))
    assert dataset.default_protocol == "hash"
    split = parts(dataset, "hash")
    assert sum(map(len, split.values())) == 200
    assert 140 < len(split["train"]) < 180
    assert 8 < len(split["val"]) < 35
    assert 8 < len(split["test"]) < 35
    assert parts(dataset, "all")["test"] == {video.id for video in dataset.videos}


def test_a_video_stays_in_its_part_when_others_are_added(tmp_path):
    before = parts(load(captioned(tmp_path, 300)), "hash")
    after = parts(load(captioned(tmp_path, 400)), "hash")
    assert all(videos <= after[part] for part, videos in before.items())


def test_the_split_is_the_same_on_every_machine():
    # Fixed: a change would move videos from training into the test of those who compare with earlier figures.
    found = [part_of(f"clip{number}") for number in range(20)]
    assert found == PART_OF_CLIPS


def test_a_few_captioned_videos_are_all_in_test_and_may_still_be_split(tmp_path):
    for count in range(3, 40):
        dataset = load(captioned(tmp_path, count))
        assert dataset.default_protocol == "all"
        sizes = {part: len(videos) for part, videos in parts(dataset, "hash").items()}
        assert sizes["val"] >= max(1, count // 4)
        assert sizes["test"] >= max(1, count // 4)
        assert sizes["train"] >= sizes["val"]
        assert any("--split-protocol hash" in note for note in dataset.notes)


@pytest.mark.slow
def test_no_default_split_has_a_part_of_fewer_than_ten_videos(tmp_path):
    """The hash alone leaves val or test with fewer than ten for nearly all of these counts."""
    for count in range(40, 160, 7):
        dataset = load(captioned(tmp_path, count))
        assert dataset.default_protocol == "hash"
        assert min(map(len, parts(dataset, "hash").values())) >= 10, count
        assert sum(map(len, parts(dataset, "hash").values())) == count


def test_videos_that_are_not_there_make_no_part_large(tmp_path):
    """The caption file names a hundred videos; a handful of them have a file."""
    touch(tmp_path, *(f"clip{number}.mp4" for number in range(12)))
    (tmp_path / "captions.csv").write_text("\n".join(["video,caption", *(f"clip{n}.mp4,take {n}" for n in range(100))]))
    dataset = load(tmp_path)
    assert len(dataset.missing) == 88
    assert dataset.default_protocol == "all"


def test_a_split_column_is_what_counts(tmp_path):
    touch(tmp_path, *(f"{name}.mp4" for name in "abcdefghijkl"))
    rows = [f"{name},x,{part}" for name, part in zip("abcd", ["Train", "validation", "dev", "test"], strict=True)]
    (tmp_path / "captions.csv").write_text("\n".join(["video,caption,split", *rows]))
    dataset = load(tmp_path)
    assert dataset.default_protocol == "given"
    assert parts(dataset, "given") == {"train": {"a"}, "val": {"b", "c"}, "test": {"d"}}
    assert any("8 of 12 videos have no caption" in note for note in dataset.notes)


@pytest.mark.parametrize(
    "line", ['{"video": "a", "caption": "a \\ud83d sign"}', '{"video": "a\\udc80", "caption": "a sign"}']
)
def test_half_of_a_sign_is_refused_with_its_line(tmp_path, line):
    (tmp_path / "a.mp4").write_bytes(b"")
    (tmp_path / "captions.jsonl").write_text('{"video": "a", "caption": "whole \\ud83d\\ude00"}\n' + line + "\n")
    with pytest.raises(DataInvalid, match=r"captions.jsonl, line 2: holds half of a character"):
        load_dataset("folder", tmp_path)
    (tmp_path / "captions.jsonl").write_text('{"video": "a", "caption": "whole \\ud83d\\ude00"}\n')
    assert load_dataset("folder", tmp_path).captions[0].text == "whole \U0001f600"


def test_folders_that_cannot_be_read_are_reported_and_counted(tmp_path, monkeypatch):
    for name in ("a.mp4", "open/b.mp4", "shut/c.mp4", ".hidden/d.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    scan = os.scandir

    def refusing(place):  # permissions do not stop a test that runs as root
        if Path(place).name in ("shut", ".hidden"):
            raise PermissionError(13, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", refusing)
    found = load_dataset("folder", tmp_path)
    assert [video.id for video in found.videos] == ["a", "open/b"]
    assert found.unreadable_folders == (tmp_path / "shut",)
    assert found.notes[-1].startswith(f"1 folders cannot be read, so their contents are left out: {tmp_path / 'shut'}")
    report = CheckReport(found, "headers", 12, [])
    assert report.wrong == 1
    assert report.to_dict()["unreadable folders"] == [str(tmp_path / "shut")]


def test_many_folders_named_like_videos_are_looked_at_once_each(tmp_path, monkeypatch):
    """800 folders and as many files: compared each with each they are 640,000 comparisons."""
    for number in range(800):
        (tmp_path / f"{number}.mp4").mkdir()
        if number % 2:
            (tmp_path / f"{number}.mp4" / "clip.mp4").write_bytes(b"")
    asked = []
    compared = Path.is_relative_to
    monkeypatch.setattr(Path, "is_relative_to", lambda *paths: asked.append(paths) or compared(*paths))
    found = find_files(tmp_path, (".mp4",))
    assert len(found) == 800
    assert sum(path.is_dir() for path in found) == 400
    assert len(asked) < 10_000


def test_a_key_that_stands_twice_in_a_line_is_refused(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"")
    (tmp_path / "captions.jsonl").write_text('{"video": "a", "caption": "one", "caption": "two"}\n')
    with pytest.raises(DataInvalid, match=r"captions.jsonl, line 1: the key 'caption' occurs twice; keep one"):
        load_dataset("folder", tmp_path)


def test_clips_of_a_folder_are_made_when_they_are_asked_for(tmp_path):
    touch(tmp_path, "a.mp4", "b/c.webm", "d.mov")
    clips = load(tmp_path).videos
    each = tuple(Video(name, tmp_path / file) for name, file in (("a", "a.mp4"), ("b/c", "b/c.webm"), ("d", "d.mov")))
    assert isinstance(clips, WholeFiles)
    assert clips == each
    assert each == clips
    assert clips != each[:2]
    assert (clips[-1], clips[1:], clips[::-1]) == (each[2], each[1:], each[::-1])
    assert each[1] in clips
    with pytest.raises(IndexError):
        clips[3]
    heard = with_sounds(clips, {1: tmp_path / "c.wav"})
    assert [video.audio_path for video in heard] == [None, tmp_path / "c.wav", None]
    assert load(tmp_path).video_ids == ["a", "b/c", "d"]


def test_files_are_found_in_the_order_of_their_paths(tmp_path):
    """The order of each path's parts, however the names of files and folders begin."""
    names = [
        "a/b.mp4",
        "a-b.mp4",
        "a.mp4",
        "a/z.mp4/y.mp4",
        "A.MP4",
        "a b/c.mp4",
        "é/x.mp4",
        "z/.hidden/x.mp4",
        "z/note.txt",
    ]
    touch(tmp_path, *names)
    (tmp_path / "m.mp4/inner.mp4").mkdir(parents=True)
    expected = sorted([*names[:-2], "m.mp4/inner.mp4"], key=lambda name: name.split("/"))
    assert list(iter_files(tmp_path, (".mp4",))) == expected
    assert find_files(tmp_path, (".mp4",)) == [tmp_path / name for name in expected]
    assert list(iter_files(tmp_path / "nowhere", (".mp4",))) == []
