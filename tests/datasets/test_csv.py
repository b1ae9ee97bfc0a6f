"""The `csv` data set: clips inside longer videos, from a table of one's own."""

import pytest

from gaid.datasets import load_dataset
from gaid.errors import DataInvalid, DataMissing

from .benchmarks import touch


def write(root, *rows, head="video,caption,start,end", name="captions.csv"):
    file = root / name
    file.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return file


def load(root):
    return load_dataset("csv", root)


def parts(dataset, protocol):
    return {part: {dataset.captions[row].video for row in rows} for part, rows in dataset.splits[protocol].items()}


def test_lines_of_the_same_times_are_captions_of_one_clip(tmp_path):
    touch(tmp_path, "film.mp4", "b.mkv")
    write(tmp_path, "film.mp4,one,12,20.5", "film.mp4,two,0:12,20.5", 'film.mp4,"th,ree",30,', "b,whole,,")
    dataset = load(tmp_path)
    assert [(video.id, video.start, video.end) for video in dataset.videos] == [
        ("film@12-20.5", 12.0, 20.5),
        ("film@30-", 30.0, None),
        ("b", None, None),
    ]
    assert [(one.id, one.text) for one in dataset.captions][:3] == [
        ("film@12-20.5#0", "one"),
        ("film@12-20.5#1", "two"),
        ("film@30-#0", "th,ree"),
    ]
    assert dataset.videos[1].entry.endswith("captions.csv, line 4")


def test_the_root_is_a_table_or_a_folder_with_one(tmp_path):
    touch(tmp_path, "a.mp4")
    file = write(tmp_path, "a,x,,", name="mine.csv")
    assert load(file).videos == load(tmp_path).videos
    write(tmp_path, "a,y,,", name="other.csv")
    with pytest.raises(DataMissing, match=r"2, such as mine.csv and other.csv; name one with --root FILE.csv"):
        load(tmp_path)
    write(tmp_path, "a,z,,")
    assert load(tmp_path).captions[0].text == "z"


def test_videos_may_lie_anywhere(tmp_path):
    touch(tmp_path, "far/a.mp4", "near/sub/b.mp4")
    file = write(tmp_path / "near", f"{tmp_path}/far/a.mp4,x,,", "../far/a.mp4,y,1,2", "sub/b,z,,")
    assert [video.path.is_file() for video in load(file).videos] == [True, True, True]


def test_times_that_differ_by_milliseconds_are_different_clips(tmp_path):
    touch(tmp_path, "a.mp4")
    write(tmp_path, "a,x,4723.456,4725", "a,y,4723.457,4725")
    assert [video.id for video in load(tmp_path).videos] == ["a@4723.456-4725", "a@4723.457-4725"]


def test_no_video_is_in_two_parts_of_the_hashed_split(tmp_path):
    rows = [f"v{number},x,{start},{start + 2}" for number in range(60) for start in (0, 5, 10)]
    touch(tmp_path, *(f"v{number}.mp4" for number in range(60)))
    write(tmp_path, *rows)
    dataset = load(tmp_path)
    assert dataset.default_protocol == "hash"
    found = {part: {clip.partition("@")[0] for clip in clips} for part, clips in parts(dataset, "hash").items()}
    assert sum(map(len, found.values())) == len(set().union(*found.values())) == 60


def test_a_given_split_is_taken_and_validation_that_it_lacks_is_held_out_by_video(tmp_path):
    touch(tmp_path, *(f"v{number}.mp4" for number in range(30)))
    head = "video,start,end,caption,split"
    rows = [f"v{number},{s},{s + 1},x,{'test' if number > 24 else 'Train'}" for number in range(30) for s in (0, 3)]
    write(tmp_path, *rows, head=head)
    dataset = load(tmp_path)
    split = parts(dataset, "given")
    assert {part: len(clips) for part, clips in split.items()} == {"train": 38, "val": 12, "test": 10}
    assert len({clip.partition("@")[0] for clip in split["val"]}) == 6
    assert any("no val in the split column" in note for note in dataset.notes)


def test_a_video_with_clips_in_several_parts_is_told(tmp_path):
    touch(tmp_path, "a.mp4")
    write(tmp_path, "a,x,0,1,train", "a,y,2,3,val", "a,z,4,5,test", head="video,caption,start,end,split")
    assert "1 videos have clips in more than one part, such as a@0-1 and a@4-5" in load(tmp_path).notes


def test_a_repeated_line_is_kept_and_told(tmp_path):
    touch(tmp_path, "a.mp4")
    write(tmp_path, "a,x,,", "a,x,,")
    assert len(load(tmp_path).captions) == 2
    assert "1 lines repeat a caption of the same clip, the first is" in load(tmp_path).notes[0]


def test_a_video_that_is_not_there_is_listed_by_its_clips(tmp_path):
    touch(tmp_path, "a.mp4")
    write(tmp_path, "a,x,,", "gone.mp4,y,1,2", "gone.mp4,z,3,4")
    assert load(tmp_path).missing == ("gone@1-2", "gone@3-4")


def test_a_table_of_which_nothing_is_there_names_the_first(tmp_path):
    write(tmp_path, "gone.mp4,y,1,2")
    with pytest.raises(DataMissing, match=r"none of its videos are there; the first one is expected at .*gone.mp4"):
        load(tmp_path)
    with pytest.raises(DataMissing, match=r"holds no captions.csv, and other .csv files: none"):
        load(touch(tmp_path / "empty", "x.mp4"))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a,x,5,3", "line 3: ends at 3 s, which is not after its start at 5 s"),
        ("a,x,5,5", "line 3: ends at 5 s, which is not after its start at 5 s"),
        ("a,x,,0", "line 3: ends at 0 s"),
        ("a,x,nan,3", "line 3: start is nan, which is not a time"),
        ("a,x,1,inf", "line 3: end is inf, which is not a time"),
        ("a,x,-1,3", "line 3: start is -1: before the video's start"),
        ("a,x,soon,3", "line 3: start is 'soon', expected seconds"),
        ("a,,1,3", "line 3: no caption"),
        (",x,1,3", "line 3: no video"),
        ("a,hello, world,1,3", "line 3: more fields than the 4 columns"),
        ('a,"hello,1,3', "line 3: a quote opens here and never closes"),
    ],
)
def test_a_mistake_in_the_table_is_told_with_its_line(tmp_path, row, said):
    touch(tmp_path, "a.mp4")
    write(tmp_path, "a,fine,0,1", row)
    with pytest.raises(DataInvalid, match=said) as told:
        load(tmp_path)
    assert "captions.csv" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["a,x,train", "a,y,tset"], "line 3: split 'tset' is not one of train, val, test"),
        (["a,x,train", "a,y,"], "line 3: no split; fill it in, or drop the column"),
        (["a,x,train", "a,y,test"], "line 3: a is in test here and in train by .*line 2"),
    ],
)
def test_a_mistake_in_the_split_column_is_told_with_its_line(tmp_path, rows, said):
    touch(tmp_path, "a.mp4")
    write(tmp_path, *rows, head="video,caption,split")
    with pytest.raises(DataInvalid, match=said):
        load(tmp_path)


def test_two_files_that_would_have_one_id_are_refused(tmp_path):
    touch(tmp_path, "a.mp4", "a.mov")
    write(tmp_path, "a.mp4,x,,", "a.mov,y,,")
    with pytest.raises(DataInvalid, match=r"line 3: 'a.mov' would have the id of 'a.mp4'"):
        load(tmp_path)
    write(tmp_path, "a,x,,")
    with pytest.raises(DataInvalid, match=r"line 2: 'a' can mean a.mov or a.mp4; write the suffix"):
        load(tmp_path)
