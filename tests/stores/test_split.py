"""A part of a split is a split: its videos with all their captions, nothing else changed."""

import dataclasses

import numpy as np
import pytest

from gaid.stores import hash_gallery, open_store
from gaid.stores.split import first_captions
from tests.stores.toy import fill, make_plan


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """Six videos; the third, `clip 6`, has two captions."""
    splits = {"9k": {"train": [0, 1, 2, 3], "val": [4], "test": [7, 6, 1, 0, 5, 3, 2]}}
    path = tmp_path_factory.mktemp("stores") / "s.zarr"
    return open_store(fill(path, make_plan(splits=splits), failed=(4,)).path).split("test")


@pytest.mark.parametrize("rows", [[0, 2, 5], [5, 0, 2], [3], []])
def test_videos_come_in_the_order_asked_for_with_all_their_captions(split, rows):
    taken = split.take(np.array(rows, np.int64))
    assert taken.video_ids == [split.video_ids[row] for row in rows]
    for name in ("visual", "audio", "audio_mask", "audio_state", "time", "duration"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(split, name)[rows])
    pairs = {(taken.caption_ids[c], taken.video_ids[v]) for c, v in enumerate(taken.caption_video)}
    assert pairs == {(split.caption_ids[c], split.video_ids[v]) for c, v in enumerate(split.caption_video) if v in rows}
    for caption, text, embedding in zip(taken.caption_ids, taken.caption_texts, taken.text, strict=True):
        before = split.caption_ids.index(caption)
        assert text == split.caption_texts[before]
        np.testing.assert_array_equal(embedding, split.text[before])
    assert taken.gallery_hash == hash_gallery(taken.video_ids)
    assert taken.census == split.census


def test_a_mask_takes_the_videos_that_it_marks(split):
    mask = np.array([True, False, False, True, False, True])
    by_mask, by_rows = split.take(mask), split.take(np.array([0, 3, 5]))
    assert by_mask.video_ids == by_rows.video_ids
    np.testing.assert_array_equal(by_mask.caption_video, by_rows.caption_video)
    assert split.take(np.ones(6, bool)).gallery_hash == split.gallery_hash


def test_tokens_are_read_only_when_asked_for_and_then_of_the_videos_taken(split):
    reads = []
    tokens = np.arange(6 * 3 * 2 * 4, dtype=np.float16).reshape(6, 3, 2, 4)
    whole = dataclasses.replace(split, read_patches=lambda: reads.append(1) or tokens)
    taken = whole.take(np.array([4, 1])).take(np.array([1]))
    assert not reads
    np.testing.assert_array_equal(taken.visual_as("patches"), tokens[[1]])
    assert taken.visual_as("frames") is taken.visual
    assert taken.read_audio_tokens is None


def test_first_captions_are_one_per_video_and_the_videos_stay(split):
    first = split.first_captions()
    assert first.video_ids == split.video_ids
    assert first.caption_video.tolist() == list(range(6))
    assert "c6" in first.caption_ids
    assert "c7" not in first.caption_ids
    assert first_captions(np.array([2, 0, 0, 1, 2]), 3).tolist() == [1, 3, 0]
