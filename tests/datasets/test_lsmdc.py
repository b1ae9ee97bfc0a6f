"""LSMDC: the challenge's lists, whose clips' names hold their movie and their times."""

import pytest

from gaid.datasets import load_dataset
from gaid.datasets.lsmdc import clip_times
from gaid.errors import DataInvalid, DataMissing

from .benchmarks import lsmdc_line, touch, write_lsmdc

TEST = "LSMDC16_challenge_1000_publictect.csv"
TRAIN = "LSMDC16_annos_training.csv"
VAL = "LSMDC16_annos_val.csv"
CLIP = "1012_C_01.00.00.250-01.00.04.000"


def load(root):
    return load_dataset("lsmdc", root)


def test_the_lists_are_the_parts(tmp_path):
    dataset = load(write_lsmdc(tmp_path))
    assert {part: len(rows) for part, rows in dataset.splits["challenge"].items()} == {"train": 30, "val": 1, "test": 2}
    assert dataset.captions[-2].text == f"sentence of {CLIP}"
    assert len(dataset.missing) == 33


def test_a_clip_is_found_in_its_movies_folder(tmp_path):
    dataset = load(touch(write_lsmdc(tmp_path), f"videos/1012_C/{CLIP}.avi"))
    assert CLIP not in dataset.missing
    (video,) = (video for video in dataset.videos if video.id == CLIP)
    assert (video.start, video.end) == (None, None)


def test_a_clip_without_a_file_is_cut_out_of_the_whole_movie(tmp_path):
    dataset = load(touch(write_lsmdc(tmp_path), "1012_C.mkv"))
    (video,) = (video for video in dataset.videos if video.id == CLIP)
    assert (video.path.name, video.start, video.end) == ("1012_C.mkv", 3600.25, 3604.0)
    assert len(dataset.missing) == 31
    assert "2 clips have no file of their own" in dataset.notes[0]


def test_times_stand_at_the_end_of_a_name():
    times = clip_times("0014_Ist_das_Leben_nicht_schoen_00.09.53.130-00.09.57.000", "here")
    assert times == ("0014_Ist_das_Leben_nicht_schoen", 593.13, 597.0)


def test_several_sentences_of_a_training_clip_are_kept(tmp_path):
    line = lsmdc_line("0001_A_00.00.01.000-00.00.02.000")
    (write_lsmdc(tmp_path) / TRAIN).write_text(f"{line} He sits.\n{line} He stands.\n")
    train = load(tmp_path).splits["challenge"]["train"]
    assert [load(tmp_path).captions[row].id[-1] for row in train] == ["0", "1"]


def test_quotes_and_commas_belong_to_the_sentence(tmp_path):
    text = '"Wait", says SOMEONE, "not\u00a0you.'
    (write_lsmdc(tmp_path) / VAL).write_text(lsmdc_line("0002_B_00.01.00.000-00.01.03.000", text), encoding="utf-8")
    row = load(tmp_path).splits["challenge"]["val"][0]
    assert load(tmp_path).captions[row].text == '"Wait", says SOMEONE, "not you.'


def test_a_line_that_a_spreadsheet_has_quoted_is_read(tmp_path):
    line = '"' + lsmdc_line("0002_B_00.01.00.000-00.01.03.000", 'He says ""no""."')
    (write_lsmdc(tmp_path) / VAL).write_text(line)
    row = load(tmp_path).splits["challenge"]["val"][0]
    assert load(tmp_path).captions[row].text == 'He says "no".'
    assert load(tmp_path).captions[row].video == "0002_B_00.01.00.000-00.01.03.000"


def test_without_a_validation_list_some_of_train_is_held_out(tmp_path):
    (write_lsmdc(tmp_path) / VAL).unlink()
    dataset = load(tmp_path)
    assert {part: len(rows) for part, rows in dataset.splits["challenge"].items()} == {"train": 23, "val": 7, "test": 2}
    assert any("held out" in note for note in dataset.notes)


def test_lists_without_names_are_told(tmp_path):
    (write_lsmdc(tmp_path) / TRAIN).rename(tmp_path / "LSMDC16_annos_training_someone.csv")
    dataset = load(tmp_path)
    assert len(dataset.splits["challenge"]["train"]) == 30
    assert "SOMEONE" in dataset.notes[0]


def test_without_the_test_list_it_is_told_who_gives_it_out(tmp_path):
    with pytest.raises(DataMissing, match=f"{TEST} not found .* on request"):
        load(tmp_path)


def test_a_name_whose_times_are_wrong_costs_that_clip_and_not_the_list(tmp_path):
    backwards, own = "1012_C_00.00.05.000-00.00.04.000", "1012_C_00.00.09.000-00.00.08.000"
    lines = [lsmdc_line(CLIP), lsmdc_line(backwards), lsmdc_line(own)]
    (write_lsmdc(tmp_path) / TEST).write_text("\n".join(lines))
    touch(tmp_path, "movies/1012_C.mkv", f"videos/{own}.avi")
    data = load(tmp_path)
    videos = {video.id: video for video in data.videos}
    assert backwards in data.missing
    assert own not in data.missing  # a file of its own needs no times
    assert videos[own].start is None
    assert videos[CLIP].path.name == "1012_C.mkv"
    assert any("1 clips have no file of their own and by their names do not end after their start" in note and backwards in note
               for note in data.notes)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (TEST, "a,b,c,d,e,f\n", "line 1: 1 fields between tabs, expected 6"),
        (TEST, lsmdc_line(CLIP) + "\n\n" + lsmdc_line(CLIP), rf"line 3: {CLIP} is in .*line 1 already; a test clip has one"),
        (TEST, lsmdc_line("1012_C"), "line 1: '1012_C' contains no times"),
        (TEST, lsmdc_line(CLIP, " "), "line 1: no sentence"),
        (TEST, "\n", "lists no clip"),
        (VAL, lsmdc_line(CLIP), rf"{TEST}, line 1: {CLIP} is in test here, and in val by .*{VAL}, line 1"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_list_is_told_with_file_and_line(tmp_path, name, content, said):
    (write_lsmdc(tmp_path) / name).write_text(content)
    with pytest.raises(DataInvalid, match=said) as told:
        load(tmp_path)
    assert name in str(told.value)
    assert "\n" not in str(told.value)
