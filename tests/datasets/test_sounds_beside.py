"""Sound in files of its own: found by the name of the video's file, for every data set that reads files."""

import json
from pathlib import Path

import numpy as np
import pytest

from gaid.datasets import DATASETS, load_dataset
from gaid.errors import OptionInvalid
from gaid.extract import extract
from gaid.extract.sources import find_videos
from gaid.stores import open_store
from tests.datasets.benchmarks import touch, write_didemo, write_lsmdc, write_vatex
from tests.media_maker import tone, write_sound, write_video

TINY = {"visual": "tiny", "audio": "tiny", "text": "tiny", "workers": 0, "progress": False, "pixels": "stored"}


def write_folder(root, names, suffix=".mp4"):
    """Videos that need not be real, and a caption each."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}{suffix}").write_bytes(b"")
    lines = [json.dumps({"video": f"{name}{suffix}", "caption": f"the {name} one"}) for name in names]
    (root / "captions.jsonl").write_text("\n".join(lines))


def sounds(dataset):
    return {video.id: video.audio_path and video.audio_path.name for video in dataset.videos}


def test_a_sound_with_the_videos_name_is_its_sound(tmp_path):
    write_folder(tmp_path, ["a", "b", "c"])
    (tmp_path / "audios").mkdir()
    (tmp_path / "audios" / "a.wav").write_bytes(b"")
    (tmp_path / "b.OGG").write_bytes(b"")
    data = load_dataset("folder", tmp_path)
    assert list(sounds(data).values()) == ["a.wav", "b.OGG", None]
    assert any("sound from 2 files beside the videos" in note for note in data.notes)


def test_sounds_elsewhere_are_named_by_their_folder(tmp_path):
    write_folder(tmp_path / "videos", ["a", "b"])
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "b.flac").write_bytes(b"")
    assert set(sounds(load_dataset("folder", tmp_path / "videos")).values()) == {None}
    data = load_dataset("folder", tmp_path / "videos", audio_root=tmp_path / "sounds")
    assert list(sounds(data).values()) == [None, "b.flac"]
    with pytest.raises(OptionInvalid, match=r"--audio-root .*nowhere is not there"):
        load_dataset("folder", tmp_path / "videos", audio_root=tmp_path / "nowhere")
    with pytest.raises(OptionInvalid, match="says itself where its sounds are"):
        load_dataset("demo", tmp_path / "demo", audio_root=tmp_path / "sounds")


def test_videos_of_one_name_have_only_the_sound_of_their_own_place(tmp_path):
    write_folder(tmp_path / "videos", ["x/clip", "y/clip", "z"])
    for place in ("x", "elsewhere"):
        (tmp_path / "videos" / place).mkdir(exist_ok=True)
        (tmp_path / "videos" / place / "clip.wav").write_bytes(place.encode())
    data = load_dataset("folder", tmp_path / "videos")
    by_place = {video.path.parent.name: video.audio_path for video in data.videos}
    assert by_place["x"] == tmp_path / "videos" / "x" / "clip.wav"
    assert by_place["y"] is None


def test_a_name_with_two_suffixes_is_the_same_name(tmp_path):
    """DiDeMo's copies are called NAME.mov.mp4, and their sounds NAME.wav or NAME.mov.wav."""
    write_folder(tmp_path, ["one.mov", "two.mov"])
    (tmp_path / "one.wav").write_bytes(b"")
    (tmp_path / "two.mov.wav").write_bytes(b"")
    assert list(sounds(load_dataset("folder", tmp_path)).values()) == ["one.wav", "two.mov.wav"]


def test_clips_that_are_cut_from_one_file_share_its_sound(tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"")
    (tmp_path / "film.wav").write_bytes(b"")
    (tmp_path / "clips.csv").write_text("video,start,end,caption\nfilm.mp4,0,5,first\nfilm.mp4,5,9,second\n")
    data = load_dataset("csv", tmp_path / "clips.csv")
    assert [video.audio_path for video in data.videos] == [tmp_path / "film.wav"] * 2


def test_a_tables_videos_of_one_name_have_the_sounds_of_their_own_folders(tmp_path):
    for place in ("x", "y"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "clip.mp4").write_bytes(b"")
        (tmp_path / place / "clip.wav").write_bytes(b"")
    (tmp_path / "clips.csv").write_text("video,caption\nx/clip.mp4,first\ny/clip.mp4,second\n")
    data = load_dataset("csv", tmp_path / "clips.csv")
    assert [video.audio_path for video in data.videos] == [tmp_path / "x" / "clip.wav", tmp_path / "y" / "clip.wav"]


def test_every_benchmark_reads_sounds_beside_its_videos():
    assert {name for name in DATASETS if DATASETS[name].sounds_beside} == {
        "csv", "didemo", "folder", "lsmdc", "msrvtt", "vatex",
    }  # fmt: skip


def write_msrvtt(root):
    """MSR-VTT's file alone, with a video in each part."""
    parts = ["train", "validate", "test"]
    videos = [{"video_id": f"video{n}", "split": part} for n, part in enumerate(parts)]
    sentences = [{"video_id": f"video{n}", "caption": f"a {part} sentence"} for n, part in enumerate(parts)]
    (root / "MSRVTT_data.json").write_text(json.dumps({"videos": videos, "sentences": sentences}))
    return root


@pytest.mark.parametrize(
    ("name", "write"),
    [("msrvtt", write_msrvtt), ("didemo", write_didemo), ("lsmdc", write_lsmdc), ("vatex", write_vatex)],
)
def test_benchmarks_are_read_in_the_layout_of_silent_copies(tmp_path, name, write):
    write(tmp_path)
    names = [Path(video.path).stem for video in load_dataset(name, tmp_path).videos]
    touch(tmp_path, *(f"videos/{one}.mp4" for one in names), *(f"audios/{one}.wav" for one in names[1:]))
    data = load_dataset(name, tmp_path)
    assert [video.audio_path for video in data.videos] == [
        None, *(tmp_path / "audios" / f"{one}.wav" for one in names[1:]),
    ]  # fmt: skip
    assert any(f"sound from {len(names) - 1} files" in note for note in data.notes)


@pytest.mark.slow
def test_sound_beside_gives_the_features_of_the_same_sound_in_the_file(tmp_path, capsys):
    inside, beside, elsewhere = tmp_path / "inside", tmp_path / "beside", tmp_path / "sounds"
    for number in range(2):
        sound = tone(2, 16_000, 300 + 400 * number)
        options = {"frames": 24, "rate": 12, "size": (64, 48), "sound_rate": 16_000, "sound_codec": "pcm_s16le"}
        write_video(inside / f"{number}.mkv", sound=sound, seed=number, **options)
        write_video(beside / f"{number}.mkv", sound=None, seed=number, **options)
        write_sound(elsewhere / f"{number}.wav", sound, 16_000)
    for root in (inside, beside):
        lines = [json.dumps({"video": f"{number}.mkv", "caption": f"tone {number}"}) for number in range(2)]
        (root / "captions.jsonl").write_text("\n".join(lines))
    extract("folder", root=inside, out=tmp_path / "i.zarr", **TINY)
    extract("folder", root=beside, audio_root=elsewhere, out=tmp_path / "b.zarr", **TINY)
    expected, found = open_store(tmp_path / "i.zarr"), open_store(tmp_path / "b.zarr")
    assert found["videos/audio_mask"][:].all()
    np.testing.assert_allclose(
        found["videos/audio"][:].astype(float), expected["videos/audio"][:].astype(float), atol=2e-3
    )
    assert [video.audio_path for video in find_videos(found, found.ids).values()] == [
        elsewhere / "0.wav", elsewhere / "1.wav",
    ]  # fmt: skip
    assert "audio-root" not in capsys.readouterr().err
    extract("folder", root=beside, out=tmp_path / "s.zarr", **{**TINY, "progress": True})
    assert "--audio-root FOLDER" in capsys.readouterr().err
