"""MSR-VTT's files, small: the same names, columns and keys as those that people have."""

import json
from pathlib import Path

import pytest

from gaid.datasets import get_spec, load_dataset
from gaid.datasets.msrvtt import DATA, TEST, TRAIN
from gaid.errors import DataInvalid, DataMissing


def write_msrvtt(
    root: Path, train: int = 30, test: int = 4, sentences: int = 3, lists: tuple[str, ...] = ("9k",)
) -> Path:
    """Lists of `train` training videos (video0 ...) and `test` test videos after them, and empty files for all."""
    names = [f"video{number}" for number in range(train + test)]
    (root / "videos").mkdir(parents=True)
    for name in names:
        (root / "videos" / f"{name}.mp4").write_bytes(b"")
    data = {
        "info": {"year": "2016"},
        "videos": [
            {
                "id": number,
                "video_id": name,
                "category": 9,
                "url": "",
                "start time": 1.5,
                "end time": 9.0,
                "split": "train",
            }
            for number, name in enumerate(names)
        ],
        "sentences": [
            {"caption": f"{name} said {k}", "video_id": name, "sen_id": 10 * number + k}
            for k in range(sentences)
            for number, name in enumerate(names)
        ],
    }
    (root / DATA).write_text(json.dumps(data))
    for protocol in lists:
        of_list = names[: train if protocol == "9k" else train // 2]
        (root / TRAIN[protocol]).write_text("\n".join(["video_id", *of_list]) + "\n")
    rows = [f"ret{n},msr{name[5:]},{name},the one caption of {name}" for n, name in enumerate(names[train:])]
    (root / TEST).write_text("\n".join(["key,vid_key,video_id,sentence", *rows]) + "\n")
    return root


def write_official(root: Path, **counts: int) -> Path:
    """The field `split` of MSRVTT_data.json as it is in whole copies: train, validate, test."""
    data = json.loads((root / DATA).read_text())
    parts = [part for part, count in counts.items() for _ in range(count)]
    for entry, part in zip(data["videos"], parts, strict=True):
        entry["split"] = part
    (root / DATA).write_text(json.dumps(data))
    return root


def parts(dataset, protocol: str) -> dict[str, set[str]]:
    return {part: {dataset.captions[row].video for row in rows} for part, rows in dataset.splits[protocol].items()}


def test_the_test_has_one_caption_a_video_from_its_own_list(tmp_path):
    dataset = load_dataset("msrvtt", write_msrvtt(tmp_path))
    rows = dataset.splits["9k"]["test"]
    assert [dataset.captions[row].text for row in rows] == [f"the one caption of video{n}" for n in range(30, 34)]
    assert [dataset.captions[row].id for row in rows] == ["ret0", "ret1", "ret2", "ret3"]


def test_training_has_all_captions_of_its_videos(tmp_path):
    dataset = load_dataset("msrvtt", write_msrvtt(tmp_path))
    rows = [*dataset.splits["9k"]["train"], *dataset.splits["9k"]["val"]]
    assert {dataset.captions[row].text for row in rows} == {f"video{n} said {k}" for n in range(30) for k in range(3)}
    assert len(rows) == 90


def test_validation_is_held_out_of_training_and_is_the_same_every_time(tmp_path):
    dataset = load_dataset("msrvtt", write_msrvtt(tmp_path))
    split = parts(dataset, "9k")
    assert len(split["val"]) == 7
    assert not split["val"] & split["train"]
    assert split["val"] | split["train"] == {f"video{n}" for n in range(30)}
    assert split == parts(load_dataset("msrvtt", tmp_path), "9k")


@pytest.mark.slow
def test_validation_is_500_videos_of_the_published_size(tmp_path):
    split = parts(load_dataset("msrvtt", write_msrvtt(tmp_path, train=9000, test=1000, sentences=1)), "9k")
    assert {part: len(videos) for part, videos in split.items()} == {"train": 8500, "val": 500, "test": 1000}
    # Fixed, so that figures on validation can be compared: the first five of the 500 by number.
    assert sorted(int(name[5:]) for name in split["val"])[:5] == [30, 68, 75, 97, 140]


def test_both_protocols_are_there_where_both_lists_are(tmp_path):
    dataset = load_dataset("msrvtt", write_msrvtt(tmp_path, lists=("9k", "7k")))
    assert dataset.default_protocol == "9k"
    assert parts(dataset, "7k")["train"] | parts(dataset, "7k")["val"] == {f"video{n}" for n in range(15)}
    assert parts(dataset, "7k")["test"] == parts(dataset, "9k")["test"]
    assert len(dataset.captions) == 4 + 90  # shared, not doubled


def test_one_list_is_enough(tmp_path):
    dataset = load_dataset("msrvtt", write_msrvtt(tmp_path, lists=("7k",)))
    assert list(dataset.splits) == ["7k"]
    assert dataset.default_protocol == "7k"


def test_the_data_sets_own_split_is_read_from_its_fields(tmp_path):
    dataset = load_dataset("msrvtt", write_official(write_msrvtt(tmp_path), train=20, validate=4, test=10))
    assert dataset.default_protocol == "9k"
    split = parts(dataset, "full")
    assert {part: len(videos) for part, videos in split.items()} == {"train": 20, "val": 4, "test": 10}
    assert split["val"] == {f"video{number}" for number in range(20, 24)}
    assert {part: len(rows) for part, rows in dataset.splits["full"].items()} == {"train": 60, "val": 12, "test": 30}
    assert {dataset.captions[row].text for row in dataset.splits["full"]["test"]} >= {"video33 said 0"}
    assert len(dataset.captions) == 4 + 34 * 3  # of videos that two protocols share, one row a sentence


def test_the_own_split_needs_no_list(tmp_path):
    write_official(write_msrvtt(tmp_path), train=20, validate=4, test=10)
    (tmp_path / TEST).unlink()
    dataset = load_dataset("msrvtt", tmp_path)
    assert list(dataset.splits) == ["full"]
    assert "9k and 7k, which published tables use, are left out" in dataset.notes[0]


def test_fields_that_do_not_name_all_three_parts_are_no_split(tmp_path):
    write_official(write_msrvtt(tmp_path), train=30, test=4)
    assert list(load_dataset("msrvtt", tmp_path).splits) == ["9k"]


@pytest.mark.slow
def test_the_page_of_published_counts_is_met_by_a_whole_copy(tmp_path):
    root = write_msrvtt(tmp_path, train=9000, test=1000, sentences=2, lists=("9k",))
    dataset = load_dataset("msrvtt", write_official(root, train=6513, validate=497, test=2990))
    counts = dataset.counts()
    for expected in get_spec("msrvtt").published:
        if expected.protocol in counts:
            assert sum(counts[expected.protocol][part]["videos"] for part in expected.parts) == expected.videos


def test_a_small_list_still_has_a_validation_video(tmp_path):
    split = parts(load_dataset("msrvtt", write_msrvtt(tmp_path, train=3, test=2)), "9k")
    assert len(split["val"]) == 1
    assert len(split["train"]) == 2


def test_missing_videos_are_listed_and_kept(tmp_path):
    write_msrvtt(tmp_path)
    for name in ("video3", "video31"):
        (tmp_path / "videos" / f"{name}.mp4").unlink()
    dataset = load_dataset("msrvtt", tmp_path)
    assert dataset.missing == ("video3", "video31")
    assert len(dataset.videos) == 34
    assert dataset.counts()["9k"]["test"] == {"captions": 4, "videos": 4, "missing": 1}


def test_videos_may_lie_anywhere_under_the_root(tmp_path):
    write_msrvtt(tmp_path)
    (tmp_path / "MSRVTT" / "all").mkdir(parents=True)
    for file in (tmp_path / "videos").iterdir():
        file.rename(tmp_path / "MSRVTT" / "all" / file.name)
    assert load_dataset("msrvtt", tmp_path).missing == ()


def test_a_video_that_is_there_twice_is_told(tmp_path):
    write_msrvtt(tmp_path)
    (tmp_path / "compressed").mkdir()
    (tmp_path / "compressed" / "video0.mp4").write_bytes(b"")
    dataset = load_dataset("msrvtt", tmp_path)
    assert dataset.videos[0].path.parent.name == "compressed"
    assert "1 videos have more than one file" in dataset.notes[0]


def test_a_copy_that_calls_the_column_sentences_is_read(tmp_path):
    file = write_msrvtt(tmp_path) / TEST
    file.write_text(file.read_text().replace("sentence\n", "sentences\n", 1))
    assert load_dataset("msrvtt", tmp_path).captions[0].text == "the one caption of video30"


@pytest.mark.parametrize("name", [DATA, TEST, TRAIN["9k"]])
def test_a_list_that_is_not_there_is_named_with_its_source(tmp_path, name):
    (write_msrvtt(tmp_path) / name).unlink()
    with pytest.raises(DataMissing, match="CLIP4Clip") as told:
        load_dataset("msrvtt", tmp_path)
    assert name in str(told.value)


def test_no_folder_at_all_is_told(tmp_path):
    with pytest.raises(DataMissing, match="nowhere is not there; get lists"):
        load_dataset("msrvtt", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (DATA, "{", "not valid JSON"),
        (DATA, "[]", "holds a list, expected MSR-VTT"),
        (DATA, "{}", "no list `sentences`"),
        (DATA, '{"sentences": [{"video_id": "video0"}]}', r"sentences\[0\]: no 'caption'; it has 'video_id'"),
        (DATA, '{"sentences": []}', "line 2: video0 has no sentence in MSRVTT_data.json"),
        (TRAIN["9k"], "video_id\nvideo0\nvideo30\n", "line 3: video30 is in the test list"),
        (DATA, '{"sentences": [{"video_id": "v", "caption": 7}]}', r"sentences\[0\]: 'caption' is 7, expected text"),
        (
            DATA,
            '{"videos": [{"video_id": "v"}], "sentences": [{"video_id": "w", "caption": "x"}]}',
            r"sentences\[0\]: is of w, which `videos` does not list",
        ),
        (
            DATA,
            '{"videos": [{"video_id": "v"}, {"video_id": "v"}], "sentences": []}',
            r"videos\[1\]: v is listed already",
        ),
        (DATA, '{"videos": [{"id": 1}], "sentences": []}', r"videos\[0\]: no 'video_id'; it has 'id'"),
        (DATA, '{"videos": 3, "sentences": []}', "`videos` is not a list"),
        (
            DATA,
            '{"sentences": [{"video_id": "v", "caption": "x", "sen_id": 1}, {"video_id": "w", "caption": "y", "sen_id": 1}]}',
            r"sentences\[1\]: sen_id 1 is that of sentences\[0\]",
        ),
        (
            TEST,
            "key,vid_key,video_id,sentence\nr0,m,video30,a\nr1,m,video30,b\n",
            "line 3: video 'video30' occurs twice",
        ),
        (TEST, "key,vid_key,video_id,sentence\nr0,m,video30,a, b\n", "line 2: more fields than the 4 columns"),
        (TRAIN["9k"], "id\nvideo0\n", "line 1: no column video_id"),
        (TRAIN["9k"], "video_id\n", "lists no video"),
        (TEST, "key,vid_key,video_id,sentence\nret0,msr30,video30,\n", "line 2: no sentence"),
        (TEST, "key,vid_key,video_id,sentence\n", "lists no video"),
        (TEST, "key,vid_key,video_id,sentence\nret0,msr30,video30,a\nret0,msr31,video31,b\n", "'ret0' occurs twice"),
    ],
)
def test_a_mistake_in_a_list_is_told_with_file_and_entry(tmp_path, name, content, said):
    (write_msrvtt(tmp_path) / name).write_text(content)
    with pytest.raises(DataInvalid, match=said) as told:
        load_dataset("msrvtt", tmp_path)
    assert "\n" not in str(told.value)
