"""DiDeMo: a paragraph a video, from the makers' json and from the files that published figures rest on."""

import pytest

from gaid.datasets import load_dataset
from gaid.datasets.didemo import video_name
from gaid.errors import DataInvalid, DataMissing

from .benchmarks import touch, write_didemo, write_labels


def load(root):
    return load_dataset("didemo", root)


def texts(dataset, protocol, part="test"):
    return {dataset.captions[row].video: dataset.captions[row].text for row in dataset.splits[protocol][part]}


def test_all_descriptions_of_a_video_are_joined_in_order(tmp_path):
    dataset = load(write_didemo(tmp_path))
    assert dataset.default_protocol == "paragraph"
    assert texts(dataset, "paragraph", "train") == {"1@N00_1_a": "one two", "2@N00_2_b": "three"}
    assert texts(dataset, "paragraph") == {"5@N00_5_e": "first. second third", "6@N00_6_f": "x"}


def test_a_list_counts_only_what_is_said_under_the_listed_name(tmp_path):
    write_didemo(tmp_path)
    (tmp_path / "test_list.txt").write_text("6@N00_6_f.3gp\r\n5@N00_5_e.mov\r\n")
    dataset = load(tmp_path)
    assert texts(dataset, "label") == {"5@N00_5_e": "first. third", "6@N00_6_f": "x"}
    assert texts(dataset, "paragraph")["5@N00_5_e"] == "first. second third"
    assert len(dataset.videos) == 6


def test_the_label_csv_is_read_as_the_field_writes_it(tmp_path):
    row = 'True,/home/x/all_videos/5@N00_5_e.mov,tensor([[0]]),tensor([[31]]),"a ""red"" bug, then\nrocks",/y/test_data_id_0.pth'
    write_labels(tmp_path, "test", row, "True,7@N00_7_g.,tensor([0]),tensor([31]),g,z.pth")
    dataset = load(tmp_path)
    assert list(dataset.splits) == ["label"]
    assert texts(dataset, "label") == {"5@N00_5_e": 'a "red" bug, then rocks', "7@N00_7_g": "g"}
    assert (dataset.videos[0].start, dataset.videos[0].end) == (0.0, 31.0)


def test_a_clip_is_what_annotators_saw_of_the_file(tmp_path):
    assert {(video.start, video.end) for video in load(write_didemo(tmp_path)).videos} == {(0.0, 31.0)}


@pytest.mark.parametrize(
    "name", ["4@N00_4_d.", "4@N00_4_d", "4@N00_4_d..mp4", "4@N00_4_d.mp4", "deep/er/4@N00_4_d.MOV"]
)
def test_a_video_is_found_under_the_names_that_copies_have(tmp_path, name):
    dataset = load(touch(write_didemo(tmp_path), name))
    assert "4@N00_4_d" not in dataset.missing
    assert len(dataset.missing) == 5


def test_a_copy_from_aws_has_a_second_suffix(tmp_path):
    assert "1@N00_1_a" not in load(touch(write_didemo(tmp_path), "1@N00_1_a.mov.mp4")).missing


def test_a_dot_in_a_name_is_no_suffix():
    assert video_name("a.b_c.mov") == "a.b_c"
    assert video_name("a.b_c") == "a.b_c"


def test_without_a_validation_file_some_of_train_is_held_out(tmp_path):
    (write_didemo(tmp_path) / "val_data.json").unlink()
    dataset = load(tmp_path)
    assert {part: len(rows) for part, rows in dataset.splits["paragraph"].items()} == {"train": 1, "val": 1, "test": 2}
    assert "held out of train" in dataset.notes[0]


def test_nothing_there_says_where_to_get_it(tmp_path):
    with pytest.raises(DataMissing, match=r"neither test_data.json nor didemo_test_label.csv .*LocalizingMoments"):
        load(tmp_path)
    (write_didemo(tmp_path) / "test_data.json").unlink()
    with pytest.raises(DataMissing, match="no test among the files"):
        load(tmp_path)


ENTRY = '{"video": "9_9_z.mov", "description": "x", "annotation_id": 99}'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("{}", "holds a dict, expected LocalizingMoments' list"),
        ("[]", "describes no video"),
        ("[7]", "entry 0: expected an object with 'video', found 7"),
        ('[{"video": "a.mov"}]', "entry 0: no 'description'; it has 'video'"),
        (f'[{ENTRY}, {{"video": 7, "description": "x"}}]', "entry 1: 'video' is 7, expected text"),
        (f'[{ENTRY}, {{"video": "a.mov", "description": " "}}]', "entry 1: 'description' is empty"),
        (f"[{ENTRY}, {ENTRY}]", "entry 1: annotation_id 99 occurs already, in entry 0"),
        ('[{"video": "a.mov", "description": "x", "annotation_id": [1]}]', "entry 0: 'annotation_id' is \\[1\\]"),
        ('[{"video": "a.mov", "video": "b.mov", "description": "x"}]', "the key 'video' occurs twice"),
        ('[{"video": "1@N00_1_a.mp4", "description": "x"}]', "entry 0: 1@N00_1_a is in test here and in train as well"),
    ],
)
def test_a_mistake_in_the_descriptions_is_told_with_file_and_entry(tmp_path, content, said):
    (write_didemo(tmp_path) / "test_data.json").write_text(content)
    with pytest.raises(DataInvalid, match=said) as told:
        load(tmp_path)
    assert "test_data.json" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("False,a.mov,tensor([[0]]),tensor([[31]]),x,y", "line 3: success is 'False'"),
        ("True,a.mov,tensor([[0]]),tensor([[31]]),,y", "line 3: no text"),
        ("True,a.mov,tensor([[31]]),tensor([[0]]),x,y", "line 3: ends at 0 s, which is not after its start at 31 s"),
        ("True,a.mov,tensor([[nan]]),tensor([[31]]),x,y", "line 3: starts is nan, which is not a time"),
        ("True,a.mov,tensor([[-1]]),tensor([[31]]),x,y", "line 3: starts is -1: before the video's start"),
        ("True,a.mov,soon,tensor([[31]]),x,y", "line 3: starts is 'soon', expected seconds"),
        ("True,b.mp4,tensor([[0]]),tensor([[31]]),x,y", "line 3: b is in line 2 as well"),
        ("True,a.mov,tensor([[0]]),tensor([[31]]),x, and y,z", "line 3: more fields than the 6 columns"),
        ('True,a.mov,tensor([[0]]),tensor([[31]]),"x,y', "line 3: a quote opens here and never closes"),
    ],
)
def test_a_mistake_in_a_label_csv_is_told_with_its_line(tmp_path, row, said):
    write_labels(tmp_path, "test", "True,b.mov,tensor([[0]]),tensor([[31]]),b,y", row)
    with pytest.raises(DataInvalid, match=said.replace("(", r"\(")) as told:
        load(tmp_path)
    assert "didemo_test_label.csv" in str(told.value)


def test_a_list_of_undescribed_or_repeated_videos_is_refused(tmp_path):
    write_didemo(tmp_path)
    for content, said in (
        ("5@N00_5_e.mov\nz.mov\n", "line 2: z.mov has no description"),
        ("6@N00_6_f.3gp\n" * 2, "twice"),
    ):
        (tmp_path / "test_list.txt").write_text(content)
        with pytest.raises(DataInvalid, match=said):
            load(tmp_path)
