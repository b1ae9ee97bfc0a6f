"""Faults of features and captions: nothing at strength 0, all of it at full strength, the same every time."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from gaid.errors import OptionInvalid
from gaid.stores.split import Split
from gaid.stress.captions import CAPTION_FAULTS, misspell, negate, nouns, swap_nouns, words
from gaid.stress.faults import FAULTS, INF, amplitudes, partners

VIDEOS, FRAMES, DIM = 9, 12, 16
ARRAYS = ("visual", "audio", "audio_mask", "audio_state", "time", "duration", "text")


@pytest.fixture(scope="module")
def split():
    """Clips of 6 s; the first has no sound, the second none in its second half."""
    rng = np.random.default_rng(1)
    heard = np.ones((VIDEOS, FRAMES), bool)
    heard[0], heard[1, 6:] = False, False
    audio = rng.normal(size=(VIDEOS, FRAMES, DIM)).astype(np.float16)
    return Split(
        part="test",
        protocol="main",
        video_ids=[f"clip {n}" for n in range(VIDEOS)],
        visual=rng.normal(size=(VIDEOS, FRAMES, DIM)).astype(np.float16),
        audio=np.where(heard[..., None], audio, np.float16(0)),
        audio_mask=heard,
        audio_state=np.where(heard.any(1), 0, 2).astype(np.uint8),
        time=np.tile((np.arange(FRAMES, dtype=np.float32) + 0.5) / 2, (VIDEOS, 1)),
        duration=np.full(VIDEOS, 6, np.float32),
        caption_ids=[str(n) for n in range(VIDEOS)],
        caption_texts=[f"A dog number {n}." for n in range(VIDEOS)],
        text=rng.normal(size=(VIDEOS, DIM)).astype(np.float16),
        caption_video=np.arange(VIDEOS),
        store_fingerprint="",
    )


def same(first, second):
    return [
        name
        for name in ARRAYS
        if getattr(first, name).dtype == getattr(second, name).dtype
        and getattr(first, name).tobytes() == getattr(second, name).tobytes()
    ]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_at_its_clean_strength_a_fault_changes_no_bit(split, fault):
    assert same(fault(split, fault.clean, seed=0), split) == list(ARRAYS)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_touches_its_own_sense_alone_and_is_the_same_every_time(split, fault):
    before = {name: getattr(split, name).copy() for name in ARRAYS}
    worst = fault.strengths[-1]
    spoilt = fault(split, worst, seed=3)
    kept = {"visual", "time", "duration", "text"} if fault.touches == "audio" else set(ARRAYS) - {"visual"}
    assert kept <= set(same(spoilt, split))
    assert {"audio": "audio", "visual": "visual"}[fault.touches] not in same(spoilt, split)
    assert same(fault(split, worst, seed=3), spoilt) == list(ARRAYS)
    if fault.name not in ("late", "turned", "missing"):  # at their last strength these draw nothing
        assert same(fault(split, fault.strengths[-2], seed=4), fault(split, fault.strengths[-2], seed=3)) != list(
            ARRAYS
        )
    assert all((getattr(split, name) == values).all() for name, values in before.items())


def test_noise_keeps_the_length_of_each_vector_and_leaves_silence_silent(split):
    for name in ("noise", "other"):
        for snr in (20.0, 0.0, -INF):
            spoilt = FAULTS[name](split, snr, seed=0)
            heard = split.audio_mask
            assert not spoilt.audio[~heard].any()
            lengths = np.linalg.norm(spoilt.audio[heard].astype(float), axis=1)
            own = np.linalg.norm(split.audio[heard].astype(float), axis=1)
            assert np.mean(lengths / own) == pytest.approx(1, abs=0.1)
    alone = FAULTS["noise"](split, -INF, seed=0).audio.astype(float)
    cosines = (alone * split.audio).sum(-1)[split.audio_mask] / np.square(lengths)
    assert abs(np.mean(cosines)) < 0.1


def test_the_ratio_of_signal_to_noise_is_the_one_that_was_asked_for():
    for snr in (20.0, 3.0, -10.0):
        signal, noise = amplitudes(snr)
        assert 20 * np.log10(signal / noise) == pytest.approx(snr)
        assert signal**2 + noise**2 == pytest.approx(1)
    assert amplitudes(INF) == (1, 0)
    assert amplitudes(-INF) == (0, 1)


def test_strengths_are_told_as_an_axis_shows_them():
    assert [FAULTS["noise"].label(one) for one in (INF, 5.0, -10.0, -INF)] == ["clean", "5 dB", "−10 dB", "noise alone"]
    assert FAULTS["other"].label(-INF) == "other alone"
    assert FAULTS["late"].label(0.25) == "0.25 s"
    assert FAULTS["dropped"].label(0.75) == "75 %"


def test_another_clips_sound_alone_is_a_sounding_frame_of_another_clip(split):
    spoilt = FAULTS["other"](split, -INF, seed=0)
    directions = (
        split.audio.astype(float) / np.maximum(np.linalg.norm(split.audio.astype(float), axis=-1), 1e-9)[..., None]
    )
    for video, frame in np.argwhere(split.audio_mask)[::7]:
        vector = spoilt.audio[video, frame].astype(float)
        cosines = directions @ (vector / np.linalg.norm(vector))
        found, at = np.unravel_index(cosines.argmax(), cosines.shape)
        assert cosines.max() > 0.999
        assert found != video
        assert split.audio_mask[found, at]


def test_no_clip_is_its_own_partner_and_few_clips_are_refused(split):
    for seed in range(20):
        partner = partners(split.audio_mask, np.random.default_rng(seed))
        assert (partner[1:] != np.arange(1, VIDEOS)).all()
        assert sorted(partner[1:]) == list(range(1, VIDEOS))
    with pytest.raises(OptionInvalid, match="fewer than two"):
        partners(split.audio_mask[:2], np.random.default_rng(0))


@pytest.mark.parametrize("name", ["noise-frames", "other-frames"])
def test_shares_of_frames_grow_and_hold_what_was_spoilt_before(split, name):
    fault = FAULTS[name]
    spoilt = [(fault(split, share, seed=0).audio != split.audio).any(-1) for share in fault.strengths]
    for smaller, larger in pairwise(spoilt):
        assert (larger[smaller]).all()
    counts = [one.sum(1).tolist() for one in spoilt]
    assert counts[1] == [0, 2, 3, 3, 3, 3, 3, 3, 3]  # 6 / 4 frames, rounded to the even number
    assert counts[-1] == split.audio_mask.sum(1).tolist()


def test_a_late_sound_is_that_of_an_earlier_frame_or_lies_between_two(split):
    spoilt = FAULTS["late"](split, 1.0, seed=0)  # two frames
    np.testing.assert_array_equal(spoilt.audio[2:, 2:], split.audio[2:, :-2])
    assert not spoilt.audio_mask[:, :2].any()
    np.testing.assert_array_equal(spoilt.audio_mask[1], [False] * 2 + [True] * 6 + [False] * 4)
    between = FAULTS["late"](split, 0.25, seed=0)
    middle = (split.audio[2, 4].astype(float) + split.audio[2, 3]) / 2
    np.testing.assert_allclose(between.audio[2, 4], middle, atol=2e-3)
    assert between.audio_mask[2].all()  # the first window is still inside the clip
    assert between.audio_mask[1].sum() == 7  # the edge of the silence: as near to sound as to none
    assert not between.audio_mask[0].any()


def test_a_sound_that_is_shifted_round_loses_nothing(split):
    spoilt = FAULTS["turned"](split, 2.0, seed=0)
    np.testing.assert_array_equal(spoilt.audio[2:], np.roll(split.audio, 4, axis=1)[2:])
    np.testing.assert_array_equal(spoilt.audio_mask.sum(1), split.audio_mask.sum(1))


def test_sound_missing_everywhere_is_a_mask_that_is_false_everywhere(split):
    spoilt = FAULTS["missing"](split, 1.0, seed=0)
    assert not spoilt.audio_mask.any()
    assert not spoilt.audio.any()
    assert (spoilt.audio_state == 2).all()
    half = FAULTS["missing"](split, 0.5, seed=0)
    assert half.audio_mask.any(1).sum() == 4  # of the eight that have any


def test_frames_that_are_dropped_repeated_or_black_are_what_they_are_called(split):
    dropped = FAULTS["dropped"](split, 1.0, seed=0).visual
    assert all((clip == clip[0]).all() for clip in dropped)
    assert all((clip[0] == own).all(1).any() for clip, own in zip(dropped, split.visual, strict=True))
    half = FAULTS["dropped"](split, 0.5, seed=0).visual
    assert all(len(np.unique(clip, axis=0)) == 6 for clip in half)
    repeated = FAULTS["repeated"](split, 1.0, seed=0).visual
    np.testing.assert_array_equal(repeated, np.repeat(split.visual[:, :1], FRAMES, axis=1))
    black = FAULTS["black"](split, 1.0, seed=0).visual
    mean = split.visual.astype(float).mean((0, 1)).astype(np.float16)
    np.testing.assert_array_equal(black, np.broadcast_to(mean, black.shape))
    assert (FAULTS["black"](split, 0.25, seed=0).visual != split.visual).any(-1).sum(1).tolist() == [3] * VIDEOS


def test_patch_tokens_suffer_with_their_frames(split):
    tokens = np.stack([split.visual, -split.visual], axis=2)
    with_patches = dataclasses.replace(split, read_patches=lambda: tokens)
    for name in ("dropped", "repeated", "black"):
        spoilt = FAULTS[name](with_patches, 0.5, seed=0)
        found = spoilt.visual_as("patches")
        np.testing.assert_array_equal(found[:, :, 0], spoilt.visual)
        np.testing.assert_array_equal(found[:, :, 1], -spoilt.visual)
    assert FAULTS["noise"](with_patches, 0.0, seed=0).visual_as("patches") is tokens


def test_audio_tokens_suffer_as_the_embeddings_of_their_frames(split):
    tokens = np.stack([split.audio, -split.audio], axis=2)
    both = dataclasses.replace(split, read_audio_tokens=lambda: tokens)
    for name, fault in FAULTS.items():
        for strength in (fault.clean, fault.strengths[2], fault.strengths[-1]):
            spoilt = fault(both, strength, seed=0)
            found = spoilt.audio_as("tokens")
            assert found.dtype == tokens.dtype
            assert same(spoilt, fault(split, strength, seed=0)) == list(ARRAYS)
            if not name.startswith("noise") or strength == fault.clean:
                np.testing.assert_array_equal(found, np.stack([spoilt.audio, -spoilt.audio], axis=2), err_msg=name)
                continue
            # Noise is drawn for each token; the frames that it takes and the lengths that it keeps are the embeddings'.
            np.testing.assert_array_equal((found != tokens).any(axis=(2, 3)), (spoilt.audio != split.audio).any(axis=2))
            lengths, own = (np.linalg.norm(one[split.audio_mask].astype(float), axis=-1) for one in (found, tokens))
            assert np.mean(lengths / own) == pytest.approx(1, abs=0.1)
            assert not (found[:, :, 0] == -found[:, :, 1]).all()
            np.testing.assert_array_equal(found, spoilt.audio_as("tokens"))


# Captions

TEXTS = [
    "A man rides a horse over the hill.",
    "Two dogs bark, while the sea can be heard.",
    "Rain!",
    "A yellow moon falling",
]


@pytest.mark.parametrize("fault", CAPTION_FAULTS.values(), ids=CAPTION_FAULTS)
def test_a_fault_of_captions_leaves_them_at_strength_0_and_is_the_same_every_time(fault):
    assert fault(TEXTS, 0.0, seed=0) == TEXTS
    spoilt = fault(TEXTS, fault.strengths[-1], seed=0)
    assert len(spoilt) == len(TEXTS)
    assert spoilt != TEXTS
    assert spoilt == fault(TEXTS, fault.strengths[-1], seed=0)
    assert all(spoilt)


def test_every_word_gets_a_slip_or_none_and_a_share_in_between():
    long = ["one morning seven people were walking along the river with their old dogs"] * 3
    spoilt = CAPTION_FAULTS["typos"](long, 1.0, seed=0)
    assert all(new != old for new, old in zip(spoilt[0].split(), long[0].split(), strict=True))
    assert spoilt[0] != spoilt[1]
    half = CAPTION_FAULTS["typos"](long, 0.5, seed=0)
    changed = [new != old for new, old in zip(half[0].split(), long[0].split(), strict=True)]
    assert sum(changed) == round(0.5 * 13)
    assert all(new == all_ for new, all_, hit in zip(half[0].split(), spoilt[0].split(), changed, strict=True) if hit)


def test_a_slip_is_never_the_word_itself():
    rng = np.random.default_rng(0)
    for word in ("a", "ee", "eel", "horse", "Zoo", "aaaa"):
        assert all(misspell(word, rng) != word for _ in range(200))


def test_words_are_left_out_but_never_all():
    spoilt = CAPTION_FAULTS["words"](TEXTS, 0.9, seed=0)
    assert [len(words(text)) for text in spoilt] == [1, 1, 1, 1]
    assert spoilt[2] == "Rain!"


def test_nouns_are_found_where_an_article_opens_and_grammar_ends_them():
    def found(text):
        return [text[a:b] for a, b in nouns(text)]

    assert found("A yellow moon falling down, then a tangerine box still near the lower edge") == [
        "moon",
        "box",
        "edge",
    ]
    assert found("a puttering motor and drumbeats can be heard") == ["motor"]
    assert found("Two dogs, a cat") == ["dogs", "cat"]
    assert found("Rain!") == []


def test_nouns_change_places_within_their_caption_or_come_from_others():
    assert swap_nouns("a horse") == "a horse"
    assert swap_nouns("the man on a horse under the tree") == "the horse on a tree under the man"
    (alone, other) = CAPTION_FAULTS["foreign-nouns"](["the man on a horse", "a tree"], 1.0, seed=0)
    assert alone == "the tree on a tree"
    assert other in ("a man", "a horse")


def test_a_caption_is_denied_at_its_first_article():
    assert negate("A man on the moon") == "No man on the moon"
    assert negate("then a man") == "then no man"
    assert negate("Rain!") == "No rain!"


def test_shares_of_captions_count_those_that_can_change():
    texts = ["a man on a horse", "Rain!"] * 10
    spoilt = CAPTION_FAULTS["swapped-nouns"](texts, 0.5, seed=0)
    assert sum(new != old for new, old in zip(spoilt, texts, strict=True)) == 5
