"""A refusal to resume names what differs, with both values, and nothing that did not change or that follows from it."""

import pytest

from gaid.errors import StoresDisagree
from gaid.stores import StoreWriter, open_store
from gaid.stores.differences import differences
from tests.stores.toy import fill, make_plan

IDS = [f"clip {n} ä" for n in range(7)]
SAMPLING = {"frames": 3, "decoder": "pyav", "frame": {"size": 224}, "clips": "a" * 64}
BACKBONES = {
    "visual": {"name": "clip", "sha256": "a" * 64, "dim": 4},
    "audio": {"name": "clap", "sha256": "b" * 64, "dim": 2},
}


def attrs(sampling=(), visual=(), audio=()):
    backbones = {"visual": {**BACKBONES["visual"], **dict(visual)}, "audio": {**BACKBONES["audio"], **dict(audio)}}
    return {"sampling": {**SAMPLING, **dict(sampling)}, "backbones": backbones}


CASES = {
    "frames": ({"frames": 8, "attrs": attrs({"frames": 8})}, ["--frames 3 there, 8 now"]),
    "decoder": ({"attrs": attrs({"decoder": "ffmpeg"})}, ["--decoder pyav there, ffmpeg now"]),
    "a later choice": (
        {"attrs": attrs({"audio_sampling": "published"})},
        ["--audio-sampling aligned there, published now"],
    ),
    "older rules": (
        {"attrs": attrs({"pixels": "square", "rules": 2})},
        [
            "--pixels stored there, square now",
            "the version of the rules by which clips are decoded (docs/datasets.md): 1 there, 2 now",
        ],
    ),
    "backbone": (
        {"audio_dim": 9, "attrs": attrs({"audio": {"rate": 1}}, audio={"name": "tiny", "sha256": "c", "dim": 9})},
        ["the audio backbone: clap there, tiny now"],
    ),
    "weights": (
        {"attrs": attrs(visual={"sha256": "c" * 64})},
        [f"sha256 of the visual backbone clip: {'a' * 12}... there, {'c' * 12}... now"],
    ),
    "patches": ({"patches": (2, 2)}, ["--patches now, not there"]),
    "times": (
        {"attrs": attrs({"clips": "b" * 64})},
        ["the start or end of clips, or which of them have a sound file of their own"],
    ),
    "more videos": (
        {
            "video_ids": ["new 1", *IDS, "new 2", "new 3", "new 4"], "caption_video": [1, 2, 3, 4, 5, 6, 7, 7],
            "attrs": attrs({"clips": "b" * 64}), "shard_rows": 4, "chunk_rows": 4,
        },
        ["4 videos not in the store: new 1, new 2, new 3 and 1 more"],
    ),
    "renamed": (
        {"video_ids": [*IDS[:6], "new"]},
        ["1 video not in the store: new", "1 video of the store not in the data set now: clip 6 ä"],
    ),
    "order": ({"video_ids": [IDS[1], IDS[0], *IDS[2:]], "caption_video": [1, 0, 2, 3, 4, 5, 6, 6]}, ["the order of the videos"]),
    "text": (
        {"caption_texts": ["a red box", "a bell", "", "ünïcode", "a bell", "x", "y", "z"]},
        ["1 caption with another text or video: c0"],
    ),
    "captions": (
        {"caption_ids": [*(f"c{n}" for n in range(7)), "c9"]},
        ["1 caption not in the store: c9", "1 caption of the store not in the data set now: c7"],
    ),
    "split": (
        {"splits": {"9k": {"train": [0, 1, 2], "val": [3, 4], "test": [5, 6, 7]}, "all": {"test": list(range(8))}}},
        ["the captions of the split 9k train, 9k val"],
    ),
    "two at once": (
        {"frames": 8, "attrs": attrs({"frames": 8, "decoder": "ffmpeg"})},
        ["--frames 3 there, 8 now", "--decoder pyav there, ffmpeg now"],
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "words"), CASES.values(), ids=CASES)
def test_only_what_differs_is_named_with_both_values(tmp_path, changes, words):
    store = fill(tmp_path / "s.zarr", make_plan(attrs=attrs()))
    assert differences(store, make_plan(attrs=attrs())) == []
    plan = make_plan(**{"attrs": attrs(), **changes})
    assert differences(open_store(store.path), plan) == words
    with pytest.raises(StoresDisagree) as caught:
        StoreWriter.open(store.path, plan)
    assert all(word in str(caught.value) for word in words)
