"""The demo's encoders: the same every time, one clip at a time, and able to tell apart what they are for."""

import numpy as np
import pytest

from gaid.backbones import load_backbones

RATE = 16_000


def disc(colour: tuple[int, int, int], x: float, y: float = 0.5, size: int = 64) -> np.ndarray:
    """A picture (size, size, 3) of a disc at (x, y) on grey."""
    across, down = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2)
    inside = (across - x) ** 2 + (down - y) ** 2 < 0.02
    return np.where(inside[..., None], np.array(colour), 120).astype(np.uint8)


def nearness(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_a_clips_features_do_not_depend_on_its_neighbours() -> None:
    tiny = load_backbones("tiny", "tiny")
    clips = np.random.default_rng(0).integers(0, 256, (3, 4, 64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(tiny.visual.encode_frames(clips)[1:2], tiny.visual.encode_frames(clips[1:2]))


def test_the_same_colour_is_nearer_than_another() -> None:
    visual = load_backbones("tiny", "tiny").visual
    red, red_elsewhere, blue = (
        visual.encode_frames(np.stack([disc(colour, x)] * 2)[None])[0, 0]
        for colour, x in (((220, 30, 30), 0.45), ((220, 30, 30), 0.55), ((30, 60, 220), 0.45))
    )
    assert nearness(red, red_elsewhere) > nearness(red, blue) + 0.1


def test_patches_are_the_quarters_of_a_frame() -> None:
    visual = load_backbones("tiny", "tiny", patches=True).visual
    frames = np.stack([disc((220, 30, 30), 0.25, 0.25)] * 3)[None]
    pooled, patches = visual.encode_patches(frames)
    assert patches.shape == (1, 3, *visual.patch_shape)
    np.testing.assert_array_equal(pooled, visual.encode_frames(frames))
    empty = patches[0, 0, 1:]
    np.testing.assert_array_equal(empty, empty[[0, 0, 0]])
    assert nearness(patches[0, 0, 0], empty[0]) < 0.95


def test_a_high_tone_is_nearer_to_a_high_tone_and_what_is_not_heard_is_zero() -> None:
    audio = load_backbones("tiny", "tiny").audio
    time = np.arange(RATE // 2) / RATE
    windows = np.stack([0.3 * np.sin(2 * np.pi * pitch * time) for pitch in (2000, 2050, 200, 200)]).astype(np.float32)
    features = audio.encode_audio([windows], np.array([[True, True, True, False]]))[0]
    assert nearness(features[0], features[1]) > nearness(features[0], features[2]) + 0.1
    assert not features[3].any()


def test_audio_tokens_are_the_quarters_of_a_window_and_come_with_the_windows_own_embedding() -> None:
    audio = load_backbones("tiny", "tiny", audio_tokens=True).audio
    time = np.arange(RATE // 8) / RATE
    high, low = (0.3 * np.sin(2 * np.pi * pitch * time) for pitch in (2000, 200))
    windows = np.concatenate([high, low, high, low])[None].astype(np.float32).repeat(3, axis=0)
    mask = np.array([[True, False, True]])
    embedding, tokens = audio.encode_audio_tokens([windows], mask)
    np.testing.assert_array_equal(embedding, audio.encode_audio([windows], mask))
    assert tokens.shape == (1, 3, *audio.token_shape)
    assert not tokens[0, 1].any()
    np.testing.assert_allclose(tokens[0, 0], tokens[0, 2], atol=1e-5)
    first, second, third, _ = tokens[0, 0]
    alone = audio.encode_audio([high[None].astype(np.float32)], np.ones((1, 1), bool))[0, 0]
    np.testing.assert_allclose(first, alone, atol=1e-5)
    assert nearness(first, third) > nearness(first, second) + 0.1


def test_a_sentence_has_a_vector_beside_sounds_by_its_words() -> None:
    audio = load_backbones("tiny", "tiny").audio
    first, again, other = audio.encode_text(["a bell rings", "the bell is ringing", "a drum"])
    assert first.shape == (audio.dim,)
    assert nearness(first, again) > nearness(first, other) + 0.5


@pytest.mark.parametrize("samples", [3, 100, 900])
def test_a_window_too_short_for_quarters_has_tokens_all_the_same(samples: int) -> None:
    audio = load_backbones("tiny", "tiny").audio
    windows = np.random.default_rng(0).standard_normal((2, samples)).astype(np.float32)
    _, tokens = audio.encode_audio_tokens([np.pad(windows, ((0, 0), (0, 1000)))[:, :samples]], np.ones((1, 2), bool))
    assert np.isfinite(tokens).all()


def test_words_count_whatever_their_order_and_ending() -> None:
    text = load_backbones("tiny", "tiny").text
    found = text.encode_text(["A bell rings.", "the bell is ringing", "a drum beats", ""])
    assert nearness(found.embedding[0], found.embedding[1]) > 0.99
    assert nearness(found.embedding[0], found.embedding[2]) < 0.5
    assert [len(tokens) for tokens in found.tokens] == text.count_tokens(
        ["A bell rings.", "the bell is ringing", "a drum beats", ""]
    )
