"""Which videos and captions meet in a batch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gaid.errors import DataMissing
from gaid.heads.features import Features
from gaid.stores import Split
from gaid.training.batches import Batches, on_device
from gaid.training.data import hold_out


def split(owner, texts=None, videos=None):
    owner = np.asarray(owner)
    videos = int(owner.max()) + 1 if videos is None else videos
    rng = np.random.default_rng(0)
    return Split(
        part="train", protocol="main", video_ids=[f"v{n}" for n in range(videos)],
        visual=rng.normal(size=(videos, 2, 3)).astype(np.float16),
        audio=rng.normal(size=(videos, 2, 4)).astype(np.float16),
        audio_mask=np.ones((videos, 2), bool), audio_state=np.zeros(videos, np.uint8),
        time=np.zeros((videos, 2), np.float32), duration=np.ones(videos, np.float32),
        caption_ids=[str(n) for n in range(len(owner))],
        caption_texts=[f"text {n}" for n in range(len(owner))] if texts is None else texts,
        text=rng.normal(size=(len(owner), 5)).astype(np.float16), caption_video=owner, store_fingerprint="",
    )  # fmt: skip


owners = st.lists(st.integers(0, 7), min_size=2, max_size=30).filter(lambda owner: len(set(owner)) > 1)


@settings(deadline=None)
@given(owners, st.integers(2, 9), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_visits_each_video_with_a_caption_once_with_a_caption_of_its_own(owner, size, number, seed):
    data = split(owner, videos=9)
    batches = Batches(data, size, seed).epoch(number)
    rows = np.concatenate([batch.videos for batch in batches])
    assert sorted(rows) == sorted(set(owner))
    for batch in batches:
        assert len(set(batch.videos)) == len(batch.videos) <= size
        np.testing.assert_array_equal(data.caption_video[batch.captions], batch.videos)
    assert max(len(b.videos) for b in batches) - min(len(b.videos) for b in batches) <= 1


def test_every_caption_of_a_video_is_drawn_once_in_as_many_epochs_as_it_has_captions():
    batches = Batches(split([0, 1, 0, 0, 1, 0]), 2, seed=3)
    drawn = [batch.captions[batch.videos == 0][0] for number in range(4) for batch in batches.epoch(number)]
    assert sorted(drawn) == [0, 2, 3, 5]


def test_batches_follow_from_seed_and_epoch_alone():
    owner = np.repeat(np.arange(20), 2)

    def rows(seed, number):
        return [batch.captions.tolist() for batch in Batches(split(owner), 8, seed).epoch(number)]

    assert rows(1, 4) == rows(1, 4)
    assert rows(1, 4) != rows(1, 5)
    assert rows(1, 4) != rows(2, 4)


@settings(deadline=None)
@given(owners, st.randoms(use_true_random=False), st.integers(0, 3))
def test_a_caption_is_masked_where_it_also_describes_the_other_video_word_for_word(owner, random, number):
    texts = [random.choice(["A dog", "a  dog ", "a cat", "a cow", f"thing {n}"]) for n in range(len(owner))]
    data = split(owner, texts)
    plain = [" ".join(text.lower().split()) for text in texts]
    said = {(plain[n], v) for n, v in enumerate(owner)}
    for batch in Batches(data, 8, 0).epoch(number):
        expected = [
            [i != k and (plain[batch.captions[i]], v) in said for k, v in enumerate(batch.videos)]
            for i in range(len(batch.videos))
        ]
        found = np.zeros_like(expected) if batch.same is None else batch.same
        np.testing.assert_array_equal(found, expected)


def test_without_repeated_captions_nothing_is_masked():
    assert all(batch.same is None for batch in Batches(split([0, 1, 2, 3]), 2, 0).epoch(0))


@settings(deadline=None)
@given(owners, st.integers(2, 9), st.integers(0, 5))
def test_an_epoch_of_pairs_visits_every_caption_once_with_its_video_and_masks_nothing(owner, size, number):
    data = split(owner, ["the same"] * len(owner))
    batches = Batches(data, size, 0, "pairs")
    epoch = batches.epoch(number)
    rows = np.concatenate([batch.captions for batch in epoch])
    assert sorted(rows) == list(range(len(owner)))
    assert len(epoch) == batches.batches_per_epoch
    for batch in epoch:
        assert batch.same is None
        assert len(batch.videos) <= size
        np.testing.assert_array_equal(data.caption_video[batch.captions], batch.videos)
    if len(owner) > 9:
        assert rows.tolist() != np.concatenate([batch.captions for batch in batches.epoch(number + 1)]).tolist()


def test_features_reach_the_head_widened_and_in_the_order_of_the_batch():
    data = split([1, 0, 2, 2], ["a", "a", "b", "c"])
    planned = Batches(data, 2, 0).epoch(1)
    for start in (0, 1):
        given = list(on_device(Features.of(data, "cpu"), planned, start))
        assert len(given) == len(planned) - start
        for batch, ((text, visual, audio, mask), same) in zip(planned[start:], given, strict=True):
            np.testing.assert_array_equal(text.numpy(), data.text[batch.captions].astype(np.float32))
            np.testing.assert_array_equal(visual.numpy(), data.visual[batch.videos].astype(np.float32))
            np.testing.assert_array_equal(audio.numpy(), data.audio[batch.videos].astype(np.float32))
            assert (text.dtype, mask.dtype) == (torch.float32, torch.bool)
            assert (same is None) == (batch.same is None)


def test_sound_dropout_leaves_out_the_sound_of_its_share_of_clips_and_nothing_else():
    data = split(np.arange(200))
    data.audio_mask[:, 1] = False  # a frame without sound stays without
    batches = Batches(data, 50, 0, sound_dropout=0.25)
    plain = list(on_device(Features.of(data, "cpu"), Batches(data, 50, 0).epoch(3)))
    planned = batches.epoch(3)
    given = list(on_device(Features.of(data, "cpu"), planned))
    for batch, (features, _), (whole, _) in zip(planned, given, plain, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(features[:3], whole[:3], strict=True))
        expected = data.audio_mask[batch.videos] & ~batch.unheard[:, None]
        np.testing.assert_array_equal(features[3].numpy(), expected)
    unheard = np.concatenate([batch.unheard for batch in planned])
    assert 30 <= unheard.sum() <= 70  # 50 of 200 expected, standard deviation 6
    assert data.audio_mask[:, 0].all()  # the split itself is as it was
    (rest,) = list(on_device(Features.of(data, "cpu"), planned, 3))
    assert torch.equal(rest[0][3], given[3][0][3])


def test_whose_sound_is_left_out_follows_from_seed_and_epoch_alone():
    def unheard(seed, number, epoch_of="videos"):
        batches = Batches(split(np.arange(64)), 16, seed, epoch_of, 0.5).epoch(number)
        return np.concatenate([batch.unheard for batch in batches]).tolist()

    assert unheard(1, 4) == unheard(1, 4) == unheard(1, 4, "pairs")
    assert unheard(1, 4) != unheard(1, 5)
    assert unheard(1, 4) != unheard(2, 4)


@pytest.mark.parametrize(("share", "heard"), [(0.0, True), (1.0, False)])
def test_of_no_clip_or_of_every_clip_the_sound_is_left_out(share, heard):
    data = split([0, 1, 2, 3])
    for (_, _, _, mask), _ in on_device(Features.of(data, "cpu"), Batches(data, 2, 0, sound_dropout=share).epoch(0)):
        assert bool(mask.all()) is heard
        assert bool(mask.any()) is heard


def test_read_only_features_are_taken_too():
    data = split([0, 1])
    data.visual.flags.writeable = False
    assert Features.of(data, "cpu").visual.shape == (2, 2, 3)


def test_one_video_is_too_few_to_contrast():
    with pytest.raises(DataMissing, match="1 training videos"):
        Batches(split([0, 0]), 2, 0)


def test_videos_held_out_are_a_fixed_share_and_take_their_captions_along():
    data = split(np.repeat(np.arange(30), 2))
    kept, held = hold_out(data, 0.1)
    assert (len(kept.video_ids), len(held.video_ids)) == (23, 7)  # a quarter of few, where a tenth would be three
    assert set(kept.video_ids).isdisjoint(held.video_ids)
    assert held.video_ids == hold_out(data, 0.1)[1].video_ids
    for part in (kept, held):
        assert len(part.text) == 2 * len(part.video_ids)
        for text, features, video in zip(part.caption_texts, part.text, part.caption_video, strict=True):
            before = int(text.split()[1])
            assert data.video_ids[data.caption_video[before]] == part.video_ids[video]
            np.testing.assert_array_equal(features, data.text[before])


def test_a_handful_of_videos_cannot_spare_any():
    with pytest.raises(DataMissing, match="too few to hold some out"):
        hold_out(split([0, 1, 2]), 0.1)
