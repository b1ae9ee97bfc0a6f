"""What is fixed before an extraction starts, and how it is told."""

import dataclasses

import pytest

from gaid.console import printable
from gaid.datasets.types import Caption, Dataset, Video
from gaid.extract.options import encode_threads
from gaid.extract.plan import (
    choose_backbones,
    default_out,
    digest_clips,
    restrict,
    round_up,
    shard_rows,
)
from gaid.extract.report import Failure


def dataset(videos=10, name="mine", **changes) -> Dataset:
    from pathlib import Path

    return dataclasses.replace(
        Dataset(
            name=name,
            root=Path("clips"),
            videos=tuple(Video(f"v{n}", Path(f"clips/v{n}.mp4")) for n in range(videos)),
            captions=tuple(Caption(f"c{n}", f"v{n // 2}", f"text {n}") for n in range(2 * videos)),
            splits={"all": {"train": tuple(range(videos)), "test": tuple(range(videos, 2 * videos))}},
            default_protocol="all",
            missing=("v1", "v5"),
        ),
        **changes,
    )


@pytest.mark.parametrize(
    ("videos", "rows"), [(1, 1), (8, 1), (9, 2), (64, 8), (400, 50), (401, 50), (2000, 50), (10000, 200)]
)
def test_shards_are_fixed_by_the_number_of_videos(videos, rows):
    assert shard_rows(videos) == rows


def test_a_restricted_data_set_is_whole_in_itself():
    few = restrict(dataset(), 4)
    few.validate()
    assert [video.id for video in few.videos] == ["v0", "v2", "v5", "v7"]
    assert few.missing == ("v5",)
    texts = {part: [few.captions[row].text for row in rows] for part, rows in few.splits["all"].items()}
    assert texts == {
        "train": ["text 0", "text 1", "text 4", "text 5"],
        "test": ["text 10", "text 11", "text 14", "text 15"],
    }


def test_a_limit_above_the_number_changes_nothing():
    whole = dataset()
    assert restrict(whole, 10) is whole


def test_a_visual_backbone_of_ones_own_brings_its_text_encoder():
    assert choose_backbones(("tiny", "tiny", "tiny"), None, None, None) == ("tiny", "tiny", "tiny")
    assert choose_backbones(("tiny", "tiny", "tiny"), "clip", None, None) == ("clip", "tiny", None)
    assert choose_backbones(("tiny", "tiny", "tiny"), "clip", None, "tiny") == ("clip", "tiny", "tiny")
    assert choose_backbones(("tiny", "tiny", "tiny"), "tiny", "clap", None) == ("tiny", "clap", "tiny")


def test_a_store_is_named_by_data_and_backbone():
    assert str(default_out("mine", "clip:ViT-B-32/openai")) == "stores/mine-clip-ViT-B-32-openai.zarr"


def test_a_clips_cut_is_part_of_its_digest_and_its_place_is_not():
    from pathlib import Path

    whole = dataset()
    moved = [dataclasses.replace(video, path=Path("elsewhere") / video.path.name) for video in whole.videos]
    cut = [dataclasses.replace(whole.videos[0], start=1.0), *whole.videos[1:]]
    assert digest_clips(dataset(videos=10)) == digest_clips(dataclasses.replace(whole, videos=tuple(moved)))
    assert digest_clips(whole) != digest_clips(dataclasses.replace(whole, videos=tuple(cut)))


@pytest.mark.parametrize("share", [0.001, 0.1, 0.101, 0.3125, 1 / 3, 0.999])
def test_the_share_that_is_proposed_lets_the_share_through(share):
    assert share <= round_up(share) <= share + 0.01 + 1e-9


def test_a_name_cannot_move_the_cursor():
    line = str(Failure("a\nb\x1b[2J.mp4", "unreadable", "日本語 é\r"))
    assert line == "a\\nb\\x1b[2J.mp4: unreadable: 日本語 é\\r"


def test_other_scripts_stay_as_they_are():
    assert printable("Ünï 视频.mp4") == "Ünï 视频.mp4"


def test_the_threads_of_a_model_are_the_users_or_the_machines(monkeypatch):
    import os

    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert encode_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")  # OpenMP's form for nested regions
    assert encode_threads() == len(os.sched_getaffinity(0))
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert encode_threads() == len(os.sched_getaffinity(0))
