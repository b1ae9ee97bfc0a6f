"""What a store's features look like: figures against a restatement, and accidents of encoders planted one by one.

The planted world: a picture (8 x 8 x 3) is a few of 40 things, each a pattern of light of its own in a colour of its own. A
caption's vector is the sum of its things' vectors, and the encoder of pictures finds these vectors in pictures given as
(height, width, channel).
"""

from itertools import permutations

import numpy as np
import pytest

from gaid.stores import examine_features
from gaid.stores import features as module
from tests.stores.vectors import FRAMES, write_vectors

CLIPS, DIM = 120, 64


@pytest.fixture(scope="module")
def world():
    """(pictures, captions' vectors, the encoder of pictures)."""
    random = np.random.default_rng(0)
    light = random.normal(size=(40, 8, 8, 1)) * np.array([1.0, 1.1, 0.9])  # almost grey
    vectors = random.normal(size=(40, DIM))
    holds = np.stack([np.isin(np.arange(40), random.choice(40, 4, replace=False)) for _ in range(CLIPS)]).astype(float)
    pictures = np.einsum("ct,thwk->chwk", holds, light) + 0.1 * random.normal(size=(CLIPS, 8, 8, 3))
    encoder = np.linalg.pinv(light.reshape(40, -1)) @ vectors
    return pictures, holds @ vectors, lambda some: some.reshape(len(some), -1) @ encoder


def summary(report, kind):
    return next(one for one in report.summaries if one.kind == kind)


# Figures


def test_the_figures_of_a_few_vectors_are_those_of_their_definitions(tmp_path):
    random = np.random.default_rng(1)
    vectors = random.normal(size=(20, 6)).astype(np.float16).astype(float)
    vectors[7] = vectors[3]
    store = write_vectors(tmp_path / "store.zarr", vectors, random.normal(size=(20, 6)))
    found = summary(examine_features(store), "visual")
    unit = [vector / np.linalg.norm(vector) for vector in vectors]
    assert found.vectors == 20
    assert found.cosine == pytest.approx(np.mean([a @ b for a, b in permutations(unit, 2)]), abs=1e-5)
    assert found.norm == pytest.approx(np.percentile([np.linalg.norm(vector) for vector in vectors], [5, 50, 95]))
    assert found.equal == pytest.approx(2 / 20)
    assert found.most_rank == 6


def test_the_effective_rank_is_the_number_of_equally_strong_directions(tmp_path):
    vectors = np.concatenate([np.eye(8)[:5], -np.eye(8)[:5]]) * 3
    found = summary(examine_features(write_vectors(tmp_path / "store.zarr", vectors, vectors)), "visual")
    assert found.rank == pytest.approx(5)
    assert found.cosine == pytest.approx(-1 / 9)
    assert found.norm == pytest.approx((3, 3, 3))


def test_the_pairing_compares_a_caption_with_its_own_clip_and_with_the_others(tmp_path):
    random = np.random.default_rng(2)
    visual, text = random.normal(size=(20, FRAMES, DIM)), random.normal(size=(20, DIM))
    text += visual.mean(1)
    found = examine_features(write_vectors(tmp_path / "store.zarr", visual, text)).pairings
    unit = np.array([[frame / np.linalg.norm(frame) for frame in clip] for clip in visual]).mean(1)

    def cosine(n, m):
        return text[n] @ unit[m] / np.linalg.norm(text[n]) / np.linalg.norm(unit[m])

    own = [cosine(n, n) for n in range(20)]
    pairs = list(permutations(range(20), 2))
    assert [one.kind for one in found] == ["visual"]
    assert found[0].own == pytest.approx(np.mean(own), abs=2e-3)
    assert found[0].other == pytest.approx(np.mean([cosine(n, m) for n, m in pairs]), abs=2e-3)
    assert found[0].nearer == pytest.approx(np.mean([own[n] > cosine(n, m) for n, m in pairs]), abs=5e-3)


def test_there_is_no_pairing_where_text_and_picture_share_no_space(tmp_path, world):
    pictures, text, encode = world
    for n, names in enumerate((("one", "two"), ("tiny", "tiny"))):
        backbones = dict(zip(("visual", "text"), ({"name": name} for name in names), strict=True))
        store = write_vectors(tmp_path / f"{n}.zarr", encode(pictures), text, backbones=backbones)
        assert examine_features(store).pairings == []
    assert examine_features(write_vectors(tmp_path / "sizes.zarr", encode(pictures)[:, 1:], text)).pairings == []


def test_clips_without_features_and_frames_without_sound_are_left_out(tmp_path, world):
    pictures, text, encode = world
    valid = np.arange(CLIPS) % 4 > 0
    mask = np.zeros((CLIPS, FRAMES), bool)
    mask[::3, 2] = True
    audio = np.where(mask[..., None], np.random.default_rng(3).normal(size=(CLIPS, FRAMES, DIM)), 0)
    visual = encode(pictures) * valid[:, None]
    store = write_vectors(tmp_path / "store.zarr", visual, text, audio=audio, mask=mask, valid=valid, patches=(4, DIM))
    report = examine_features(store)
    counts = {one.kind: one.vectors for one in report.summaries}
    assert counts == {"text": 90, "text tokens": 90, "visual": 90, "patches": 90, "audio": 30}
    assert {one.equal for one in report.summaries} == {0}
    assert report.warnings == []


def test_captions_of_one_wording_count_once(tmp_path, world):
    pictures, text, encode = world
    texts = [f"caption {n // 4}" for n in range(CLIPS)]
    report = examine_features(
        write_vectors(tmp_path / "store.zarr", encode(pictures), text[np.arange(CLIPS) // 4], texts=texts)
    )
    assert (summary(report, "text").vectors, summary(report, "text").equal) == (30, 0)


def test_of_an_unfinished_store_what_is_there_is_examined(tmp_path, world):
    pictures, text, encode = world
    report = examine_features(write_vectors(tmp_path / "store.zarr", encode(pictures), text, captions=False))
    assert [one.kind for one in report.summaries] == ["visual"]
    assert report.pairings == []


@pytest.mark.slow
def test_hdf5_and_a_second_call_give_the_same(tmp_path, world):
    pictures, text, encode = world
    stores = [write_vectors(tmp_path / name, encode(pictures), text) for name in ("store.zarr", "store.h5")]
    first = examine_features(stores[0])
    assert first == examine_features(stores[0]) == examine_features(stores[1])


def test_few_chunks_of_a_large_array_are_read_and_few_clips_are_kept(tmp_path, world, monkeypatch):
    pictures, text, encode = world
    store = write_vectors(tmp_path / "store.zarr", encode(pictures), text, patches=(4, DIM))
    of_patches = 10 * FRAMES * 4 * DIM * 2
    monkeypatch.setattr(module, "_READ_BYTES", 5 * of_patches)
    monkeypatch.setattr(module, "SAMPLE", 30)
    read = []
    rows = store.rows
    monkeypatch.setattr(store, "rows", lambda name, some: read.append((name, set(some // 10))) or rows(name, some))
    counts = {one.kind: one.vectors for one in examine_features(store).summaries}
    assert set(counts.values()) == {30}
    assert len(set().union(*(chunks for name, chunks in read if name == "videos/patches"))) == 5
    assert max(len(chunks) for name, chunks in read if name == "videos/patches") == 1
    assert len(set().union(*(chunks for name, chunks in read if name == "videos/visual"))) == 12


# Accidents


def test_an_encoder_that_works_is_not_warned_of(tmp_path, world):
    pictures, text, encode = world
    report = examine_features(write_vectors(tmp_path / "store.zarr", encode(pictures), text))
    assert report.pairings[0].nearer > 0.95
    assert report.warnings == []


def test_a_dead_text_tower_is_seen_by_equal_vectors_and_by_the_pairing(tmp_path, world):
    pictures, text, encode = world
    report = examine_features(write_vectors(tmp_path / "store.zarr", encode(pictures), np.repeat(text[:1], CLIPS, 0)))
    of_text, tokens, pairing = report.warnings
    assert of_text.startswith("text: the features look collapsed: 100% of the vectors are equal to another clip's, ")
    assert "the mean cosine between clips is 1.000, the effective rank is 0.0" in of_text
    assert tokens.startswith("text tokens: ")
    assert pairing.startswith(
        "visual and text: captions do not fit their clips: their own clip is nearer than another in 50%"
    )


def test_channels_first_are_seen_by_the_pairing_alone(tmp_path, world):
    """Frames (channel, height, width) that are read as (height, width, channel): the vectors differ as much as before."""
    pictures, text, encode = world
    scrambled = pictures.transpose(0, 3, 1, 2).reshape(pictures.shape)
    report = examine_features(write_vectors(tmp_path / "store.zarr", encode(scrambled), text))
    assert summary(report, "visual").warning == ""
    assert len(report.warnings) == 1
    assert report.warnings[0].startswith("visual and text: captions do not fit their clips")


def test_swapped_colours_cannot_be_seen(tmp_path, world):
    """Blue for red: what counts is mostly light, so captions fit a little less well, and no figure says why."""
    pictures, text, encode = world
    right = examine_features(write_vectors(tmp_path / "right.zarr", encode(pictures), text))
    wrong = examine_features(write_vectors(tmp_path / "wrong.zarr", encode(pictures[..., ::-1]), text))
    assert wrong.warnings == []
    assert wrong.pairings[0].own < right.pairings[0].own


@pytest.mark.parametrize(("length", "seen"), [(80.0, True), (5.0, False)])
def test_pooling_before_the_last_norm_is_seen_where_a_few_numbers_dominate(tmp_path, world, length, seen):
    """Before its last norm a transformer may hold a few very large numbers that are the same for every input, and that the norm's
    weights take out. Where they are large the vectors point one way; where they are not, the vectors look sound."""
    pictures, _, encode = world
    normed = encode(pictures) / np.linalg.norm(encode(pictures), axis=1, keepdims=True) * 8
    before = normed.copy()
    before[:, [3, 17]] += length
    backbones = {"visual": {"name": "one"}, "text": {"name": "two"}}
    report = examine_features(write_vectors(tmp_path / "store.zarr", before, normed, backbones=backbones))
    assert summary(report, "text").warning == ""
    assert bool(summary(report, "visual").warning) == seen
    assert ("the mean cosine between clips is 0.9" in summary(report, "visual").warning) == seen


def test_a_handful_of_clips_is_not_judged(tmp_path, world):
    pictures, text, encode = world
    few = module.FEWEST - 1
    report = examine_features(
        write_vectors(tmp_path / "store.zarr", encode(pictures[:few]), np.repeat(text[:1], few, 0))
    )
    assert summary(report, "text").equal == 1
    assert report.warnings == []


def test_sentences_in_the_sounds_own_space_are_compared_with_the_sounds_and_not_judged(tmp_path, world):
    """A caption need not mention the sound, so that one that fits no better than chance is no fault."""
    pictures, text, encode = world
    random = np.random.default_rng(4)
    mask = np.ones((CLIPS, FRAMES), bool)
    audio = random.normal(size=(CLIPS, FRAMES, DIM))
    fitting = audio.mean(1) + 0.1 * random.normal(size=(CLIPS, DIM))
    for sentences, nearer in ((fitting, 1.0), (text, 0.5)):
        store = write_vectors(
            tmp_path / f"{nearer}.zarr",
            encode(pictures),
            text,
            audio=audio,
            mask=mask,
            sentences=sentences,
            audio_text=True,
        )
        report = examine_features(store)
        assert [one.kind for one in report.pairings] == ["visual", "audio"]
        assert report.pairings[1].nearer == pytest.approx(nearer, abs=0.05)
        assert summary(report, "text for sound").vectors == CLIPS
        assert report.warnings == []
