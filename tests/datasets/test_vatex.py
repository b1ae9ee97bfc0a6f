"""VATEX: the official captions, and the split that HGR made of them."""

import json

import numpy as np
import pytest

from gaid.datasets import load_dataset
from gaid.errors import DataInvalid, DataMissing

from .benchmarks import touch, vatex_id, write_vatex

TRAINING, VALIDATION = "vatex_training_v1.0.json", "vatex_validation_v1.0.json"
PUBLIC_TEST = "vatex_public_test_english_v1.1.json"


def load(root):
    return load_dataset("vatex", root)


def sizes(dataset, protocol="hgr"):
    return {part: (one["videos"], one["captions"]) for part, one in dataset.counts()[protocol].items()}


def write_public_test(root, count=3):
    """The public test file of version 1.1: clips 100, 101 ..., ten captions each."""
    ids = [vatex_id(100 + number) for number in range(count)]
    entries = [{"videoID": name, "enCap": [f"{name} said {k}" for k in range(10)]} for name in ids]
    (root / PUBLIC_TEST).write_text(json.dumps(entries))
    return ids


@pytest.mark.parametrize("arrays", [False, True])
def test_all_captions_of_a_test_video_are_queries(tmp_path, arrays):
    dataset = load(write_vatex(tmp_path, arrays=arrays))
    assert sizes(dataset) == {"train": (20, 200), "val": (2, 20), "test": (2, 20)}
    rows = dataset.splits["hgr"]["test"]
    assert [dataset.captions[row].text for row in rows[:3]] == [f"{vatex_id(22)} said {k}" for k in range(3)]


def test_hgrs_own_captions_are_read_where_they_are(tmp_path):
    write_vatex(tmp_path)
    captions = {vatex_id(number): ["only one"] for number in range(24)}
    (tmp_path / "ref_captions.json").write_text(json.dumps(captions))
    assert sizes(load(tmp_path)) == {"train": (20, 20), "val": (2, 2), "test": (2, 2)}


@pytest.mark.parametrize("collected", [False, True])
def test_the_public_test_of_version_1_1_has_captions_and_is_the_test_of_the_official_split(tmp_path, collected):
    clips = write_public_test(write_vatex(tmp_path))
    if collected:  # HGR's captions in place of the two official files: its val and test are the official validation
        (tmp_path / "ref_captions.json").write_text(
            json.dumps({vatex_id(n): [str(k) for k in range(10)] for n in range(24)})
        )
    touch(tmp_path, f"clips/{clips[0]}.mp4")
    dataset = load(tmp_path)
    assert dataset.default_protocol == "hgr"
    assert sizes(dataset) == {"train": (20, 200), "val": (2, 20), "test": (2, 20)}
    assert sizes(dataset, "official") == {"train": (20, 200), "val": (4, 40), "test": (3, 30)}
    rows = dataset.splits["official"]["test"]
    assert [dataset.captions[row].text for row in rows[:2]] == [f"{clips[0]} said 0", f"{clips[0]} said 1"]
    assert clips[0] not in dataset.missing
    assert clips[1] in dataset.missing


def test_a_public_test_whose_clips_are_not_here_is_left_out_with_a_note(tmp_path):
    write_public_test(write_vatex(tmp_path))
    dataset = load(tmp_path)
    assert list(dataset.splits) == ["hgr"]
    assert len(dataset.videos) == 24
    assert any(f"none of the 3 clips of {PUBLIC_TEST} is here" in note for note in dataset.notes)


def test_without_hgrs_lists_the_official_split_stands_alone(tmp_path):
    write_public_test(write_vatex(tmp_path))
    for part in ("train", "val", "test"):
        (tmp_path / f"{part}_list.txt").unlink()
    dataset = load(tmp_path)
    assert dataset.default_protocol == "official"
    assert sizes(dataset, "official") == {"train": (20, 200), "val": (4, 40), "test": (3, 30)}


def test_a_test_file_without_captions_is_told_from_the_one_with_them(tmp_path):
    (write_vatex(tmp_path) / PUBLIC_TEST).write_text(json.dumps([{"videoID": "x"}]))
    with pytest.raises(DataInvalid, match=rf"entry 0: no 'enCap'; of the public test only {PUBLIC_TEST} has captions"):
        load(tmp_path)


def test_without_a_training_list_training_is_the_official_file(tmp_path):
    (write_vatex(tmp_path) / "train_list.txt").unlink()
    dataset = load(tmp_path)
    assert sizes(dataset)["train"] == (20, 200)
    assert "no list of training videos" in dataset.notes[0]


def test_without_a_validation_list_some_of_train_is_held_out(tmp_path):
    (write_vatex(tmp_path) / "val_list.txt").unlink()
    assert sizes(load(tmp_path)) == {"train": (15, 150), "val": (5, 50), "test": (2, 20)}


def test_a_clip_without_a_file_is_cut_out_of_its_source_video(tmp_path):
    write_vatex(tmp_path)
    touch(tmp_path, f"clips/{vatex_id(0)}.mp4", f"whole/{vatex_id(1)[:11]}.mkv")
    videos = {video.id: video for video in load(tmp_path).videos}
    assert (videos[vatex_id(0)].start, videos[vatex_id(0)].path.parent.name) == (None, "clips")
    assert (videos[vatex_id(1)].start, videos[vatex_id(1)].end) == (26.0, 36.0)
    assert set(load(tmp_path).missing) == set(videos) - {vatex_id(0), vatex_id(1)}


def test_what_is_not_there_is_named_with_its_source(tmp_path):
    with pytest.raises(DataMissing, match=r"neither vatex_training.*VATEX's site"):
        load(tmp_path)
    (write_vatex(tmp_path) / "test_list.txt").unlink()
    with pytest.raises(DataMissing, match=r"test_list.txt or tst_names.npy not found .*hgr_v2t"):
        load(tmp_path)


ONE = {"videoID": "x", "enCap": ["a"]}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (VALIDATION, {"videoID": "x"}, "holds a dict, expected VATEX's list"),
        (VALIDATION, [ONE, {"enCap": ["a"]}], "entry 1: no 'videoID'; it has 'enCap'"),
        (VALIDATION, [ONE, {"videoID": "y"}], "entry 1: no 'enCap'"),
        (VALIDATION, [{"videoID": "x", "enCap": "a"}], "entry 0: 'enCap' is not a list of captions"),
        (VALIDATION, [{"videoID": "x", "enCap": ["a", 7]}], "entry 0: 'enCap', caption 1 is 7, expected text"),
        (VALIDATION, [{"videoID": "x", "enCap": ["a", ""]}], "entry 0: 'enCap', caption 1 is empty"),
        (VALIDATION, [ONE, ONE], "entry 1: x is described already, in .*entry 0"),
        ("ref_captions.json", [1], "holds a list, expected HGR's captions"),
        ("ref_captions.json", {"x": []}, "'x' is not a list of captions"),
        ("ref_captions.json", {"x": ["a"]}, "line 1: .* has no caption in the json files"),
    ],
)
def test_a_mistake_in_captions_is_told_with_file_and_entry(tmp_path, name, content, said):
    (write_vatex(tmp_path) / name).write_text(json.dumps(content))
    with pytest.raises(DataInvalid, match=said) as told:
        load(tmp_path)
    assert "\n" not in str(told.value)


def test_a_video_that_is_told_twice_in_one_object_is_refused(tmp_path):
    (write_vatex(tmp_path) / "ref_captions.json").write_text('{"x": ["a"], "y": ["b"], "x": ["c"]}')
    with pytest.raises(DataInvalid, match=r"ref_captions.json: the key 'x' occurs twice"):
        load(tmp_path)


def test_a_video_in_two_lists_or_twice_in_one_is_refused(tmp_path):
    write_vatex(tmp_path)
    file = tmp_path / "val_list.txt"
    file.write_text(f"{vatex_id(20)}\n{vatex_id(22)}\n")
    with pytest.raises(DataInvalid, match=r"val_list.txt, line 2: .* is in test already, by .*test_list.txt, line 1"):
        load(tmp_path)
    file.write_text(f"{vatex_id(20)}\n{vatex_id(20)}\n")
    with pytest.raises(DataInvalid, match=r"val_list.txt, line 2: .* is in val already"):
        load(tmp_path)


def test_a_pickled_list_is_never_unpickled(tmp_path):
    write_vatex(tmp_path, arrays=True)
    np.save(tmp_path / "tst_names.npy", np.array(["x", None], dtype=object), allow_pickle=True)
    with pytest.raises(DataInvalid, match=r"tst_names.npy: not a plain array of names .*write them as test_list.txt"):
        load(tmp_path)
    np.save(tmp_path / "tst_names.npy", np.arange(3))
    with pytest.raises(DataInvalid, match="holds int64"):
        load(tmp_path)
