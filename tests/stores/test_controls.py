"""Controls keep everything but what they are about."""

import dataclasses

import numpy as np
import pytest

from gaid.stores import Split, derangement, with_audio, with_noise


@pytest.fixture
def split():
    rng = np.random.default_rng(0)
    mask = np.ones((30, 4), bool)
    mask[-5:] = False
    audio = np.where(mask[..., None], rng.normal(3, 0.5, (30, 4, 8)), 0).astype(np.float16)
    return Split(
        part="test", protocol="main", video_ids=[str(n) for n in range(30)],
        visual=rng.normal(-2, 2, (30, 4, 8)).astype(np.float16), audio=audio, audio_mask=mask,
        audio_state=np.zeros(30, np.uint8), time=np.zeros((30, 4), np.float32), duration=np.ones(30, np.float32),
        caption_ids=[], caption_texts=[], text=np.empty((0, 8), np.float16), caption_video=np.empty(0, np.int64),
        store_fingerprint="",
    )  # fmt: skip


def test_a_derangement_leaves_nothing_in_its_place():
    for count in (2, 3, 50):
        order = derangement(count, seed=count)
        assert sorted(order) == list(range(count))
        assert (order != np.arange(count)).all()


def test_another_clips_sound_comes_with_its_mask(split):
    other = with_audio(split, "shuffled")
    assert sorted(other.audio_mask.any(1)) == sorted(split.audio_mask.any(1))
    assert not (other.audio == split.audio).all(axis=(1, 2))[:25].any()
    np.testing.assert_array_equal(other.visual, split.visual)
    assert (other.audio[~other.audio_mask] == 0).all()


def test_moved_sound_is_the_clips_own_at_another_moment(split):
    moved = with_audio(split, "moved")
    for before, after in zip(split.audio, moved.audio, strict=True):
        np.testing.assert_array_equal(np.sort(before, axis=0), np.sort(after, axis=0))
    assert not (moved.audio == split.audio).all(axis=2)[:25].any()


def test_silence_is_heard_and_no_sound_is_not(split):
    silence, none = with_audio(split, "silence"), with_audio(split, "none")
    assert silence.audio_mask.all()
    assert not none.audio_mask.any()
    assert not silence.audio.any()
    assert not none.audio.any()


def test_tokens_of_sound_change_as_their_frames_do(split):
    tokens = np.stack([split.audio, -split.audio], axis=2)
    reads = []
    both = dataclasses.replace(split, read_audio_tokens=lambda: reads.append(1) or tokens)
    for name in ("shuffled", "moved", "silence", "none"):
        changed = with_audio(both, name, seed=2)
        assert not reads  # only when they are asked for
        found = changed.audio_as("tokens")
        np.testing.assert_array_equal(found, np.stack([changed.audio, -changed.audio], axis=2))
        np.testing.assert_array_equal(changed.audio, with_audio(split, name, seed=2).audio)
        reads.clear()
    assert with_audio(split, "shuffled").read_audio_tokens is None


def test_noise_takes_the_place_of_tokens_too(split):
    tokens = np.stack([split.audio, -split.audio], axis=2)
    noise = with_noise(dataclasses.replace(split, read_audio_tokens=lambda: tokens), seed=1)
    found, heard = noise.audio_as("tokens"), split.audio_mask
    assert (found[~heard] == 0).all()
    np.testing.assert_allclose(found[heard].std(dtype=np.float64), tokens[heard].std(dtype=np.float64), rtol=0.1)
    assert abs(np.corrcoef(found[heard].ravel().astype(float), tokens[heard].ravel().astype(float))[0, 1]) < 0.1
    np.testing.assert_array_equal(noise.audio_as("tokens"), found)
    np.testing.assert_array_equal(noise.audio, with_noise(split, seed=1).audio)


def test_own_sound_is_untouched_and_other_words_are_refused(split):
    assert with_audio(split, "own") is split
    with pytest.raises(ValueError, match="audio 'loud' is none of own"):
        with_audio(split, "loud")


def test_noise_has_the_moments_of_what_it_replaces_and_nothing_of_its_content(split):
    noise = with_noise(split, seed=1)
    np.testing.assert_allclose(noise.visual.mean(), split.visual.mean(dtype=np.float64), atol=0.3)
    np.testing.assert_allclose(noise.visual.std(), split.visual.std(dtype=np.float64), rtol=0.1)
    heard = split.audio_mask
    np.testing.assert_allclose(noise.audio[heard].mean(dtype=np.float64), 3, atol=0.1)
    np.testing.assert_array_equal(noise.audio_mask, heard)
    assert (noise.audio[~heard] == 0).all()
    assert abs(np.corrcoef(noise.visual.ravel().astype(float), split.visual.ravel().astype(float))[0, 1]) < 0.1
