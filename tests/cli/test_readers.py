"""Copies of MSR-VTT and VATEX in the forms that people have, through `gaid extract`: the right clips, captions and parts."""

import json

import numpy as np
import pytest

from gaid.stores import open_store
from tests.media_maker import write_sound, write_video

TINY = ("--visual", "tiny", "--audio", "tiny", "--text", "tiny", "--workers", 0)


def extract(gaid, name, root):
    told = gaid("extract", "--dataset", name, "--root", root, "--out", "s.zarr", *TINY)
    assert told.code == 0, told.err
    return open_store("s.zarr"), told


def captions_of(store, protocol, part):
    return [store["captions/text"][row] for row in store[f"splits/{protocol}/{part}"][:]]


@pytest.mark.slow
def test_the_hubs_lists_of_msrvtt_are_enough(gaid, tmp_path):
    root = tmp_path / "hub"
    for number in range(12):
        write_video(root / "video" / f"video{number}.mp4", frames=12, rate=6, size=(64, 48), sound_rate=16000)

    def entry(number, caption):
        return {"video_id": f"video{number}", "video": f"video{number}.mp4", "caption": caption, "source": "MSR-VTT",
                "category": 9, "url": "", "start time": 1.0, "end time": 9.0, "id": number}  # fmt: skip

    train = [entry(number, [f"video{number} said {k}" for k in range(3)]) for number in range(10)]
    (root / "msrvtt_train_9k.json").write_text(json.dumps(train))
    (root / "msrvtt_train_7k.json").write_text(json.dumps(train[:6]))
    (root / "msrvtt_test_1k.json").write_text(json.dumps([entry(number, f"test {number}") for number in (10, 11)]))
    store, _ = extract(gaid, "msrvtt", root)
    assert captions_of(store, "9k", "test") == captions_of(store, "7k", "test") == ["test 10", "test 11"]
    of_9k = captions_of(store, "9k", "train") + captions_of(store, "9k", "val")
    assert set(of_9k) == {f"video{number} said {k}" for number in range(10) for k in range(3)}
    assert len(captions_of(store, "7k", "train") + captions_of(store, "7k", "val")) == 18
    assert len(store["captions/text"][:]) == 30 + 2  # shared, not doubled
    assert store["videos/valid"][:].all()


def write_gaid_vatex(root, clip_seconds):
    """VATEX as GAID's code reads it: its two json files, and each clip of 10 s as the file of its source's bare id."""
    ids = [f"-abcdefg{number:03}_000026_000036" for number in range(10)]
    entries = [{"videoID": name, "enCap": [f"{name} said {k}" for k in range(2)], "chCap": []} for name in ids]
    root.mkdir()
    (root / "vatex_training_v1.0_subset.json").write_text(json.dumps(entries[:8]))
    (root / "vatex_validation_v1.0_subset_split.json").write_text(json.dumps(entries[8:]))
    for number, name in enumerate(ids):
        frames = round(4 * (clip_seconds if number else 40))  # the first file is a whole source of 40 s
        write_video(root / "videos" / f"{name[:11]}.mp4", frames=frames, rate=4, size=(64, 48), sound=None)
        write_sound(root / "audios" / f"{name[:11]}.wav", np.full((1, 16000 * frames // 4), 0.3, np.float32), 16000)
    return ids


@pytest.mark.slow
@pytest.mark.parametrize("clip_seconds", [9.5, 10.75])
def test_gaids_vatex_folder_has_clips_as_files_of_their_sources_names(gaid, tmp_path, clip_seconds):
    ids = write_gaid_vatex(tmp_path / "vatex", clip_seconds)
    store, told = extract(gaid, "vatex", tmp_path / "vatex")
    assert store.default_protocol == "subset"
    assert captions_of(store, "subset", "test") == [f"{name} said {k}" for name in ids[8:] for k in range(2)]
    assert len(captions_of(store, "subset", "train")) + len(captions_of(store, "subset", "val")) == 16
    assert store["videos/duration"][:].tolist() == [
        10.0,
        *[clip_seconds] * 9,
    ]  # the source is cut, a clip is taken whole
    assert store["videos/audio_mask"][:].all()
    assert "a file that is no longer than its clip is taken whole" in told.err
    checked = gaid("datasets", "vatex", "--root", tmp_path / "vatex", "--check", "--json")
    assert checked.json["outside"] == []
    found = gaid("search", "a", "--store", "s.zarr", "--preset", "mean-pool", "--json").json["answers"][0]["hits"]
    assert {hit["video"]: (hit["start"], hit["end"]) for hit in found} == {
        name: (None, None) if number else (26.0, 36.0) for number, name in enumerate(ids)
    }


@pytest.mark.slow
def test_a_file_that_is_longer_than_its_clip_is_a_source(gaid, tmp_path):
    write_gaid_vatex(tmp_path / "vatex", 12.0)  # which ends before 26 s
    told = gaid("extract", "--dataset", "vatex", "--root", tmp_path / "vatex", "--out", "s.zarr", *TINY)
    assert told.code == 3
    assert open_store("s.zarr")["videos/valid"][:].tolist() == [True] + [False] * 9


def test_a_source_of_two_clips_is_never_taken_for_one_of_them(tmp_path):
    from gaid.datasets import load_dataset

    ids = write_two_clips_of_one_source(tmp_path)
    videos = {video.id: video for video in load_dataset("vatex", tmp_path).videos}
    assert {name: videos[name].may_be_whole for name in ids} == dict.fromkeys(ids, False)


def write_two_clips_of_one_source(root):
    ids = ["-abcdefg000_000026_000036", "-abcdefg000_000036_000046"]
    entries = [{"videoID": name, "enCap": ["a"]} for name in ids]
    (root / "vatex_validation_v1.0_subset_split.json").write_text(json.dumps(entries))
    (root / "-abcdefg000.mp4").write_bytes(b"")
    return ids
