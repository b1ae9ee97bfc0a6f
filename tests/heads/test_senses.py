"""Heads that compare each sense in its own space: their scores restated in numpy, and that no clip gains by having no sound."""

import numpy as np
import pytest
import torch

from gaid.errors import HeadMismatch, OptionInvalid
from gaid.heads import SensesHead, build_head
from gaid.heads.senses import KEPT, SHARPNESS

VISUAL, AUDIO, FRAMES = 6, 5, 4


def features(texts=7, videos=9, seed=0, offset=0.0):
    """Sentences (both vectors), pictures, sounds with `offset` in common, and a mask in which clip 0 has no sound and clip 1 one frame."""
    draw = torch.Generator().manual_seed(seed)
    text = torch.randn(texts, VISUAL + AUDIO, generator=draw)
    visual = torch.randn(videos, FRAMES, VISUAL, generator=draw)
    audio = torch.randn(videos, FRAMES, AUDIO, generator=draw) + offset
    mask = torch.ones(videos, FRAMES, dtype=torch.bool)
    mask[0] = False
    mask[1, 1:] = False
    return text, visual, audio, mask


def make(preset="av-sum", library=None, **options):
    head = build_head(preset, visual_dim=VISUAL, audio_dim=AUDIO, text_dim=VISUAL, frames=FRAMES, **options)
    if library is not None:
        head.meet_library([library])
    return head.eval()


def unit(values):
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-12)


def pooled_cosine(sentence, frames, temperature):
    """The cosine of one sentence with one clip's frames, written out."""
    frames, sentence = unit(np.asarray(frames, np.float64)), unit(np.asarray(sentence, np.float64))
    weights = np.ones(len(frames))
    if temperature:
        weights = np.exp((frames @ sentence) / temperature)
    return float(unit(weights @ frames / weights.sum()) @ sentence)


def expected(text, visual, audio, mask, temperature=0.0, weights=(1.0, 1.0)):
    """Scores of all pairs, one after the other; the library is these clips."""
    sounding = [v for v in range(len(visual)) if mask[v].any()]
    scores = np.zeros((len(text), len(visual)))
    for t, both in enumerate(text.numpy()):
        of_picture, of_sound = both[:VISUAL], both[VISUAL:]
        heard = {v: pooled_cosine(of_sound, audio[v][mask[v]].numpy(), temperature) for v in sounding}
        others = sorted(heard.values())[:-1]  # but for the nearest
        level = np.log(np.mean([np.exp(SHARPNESS * one) for one in others])) / SHARPNESS
        for v in range(len(visual)):
            scores[t, v] = weights[0] * pooled_cosine(of_picture, visual[v].numpy(), temperature)
            if v in heard:
                scores[t, v] += weights[1] * (heard[v] - level)
    return scores


@pytest.mark.parametrize("algorithm", ["folded", "direct"])
@pytest.mark.parametrize("temperature", [0.0, 0.1])
def test_scores_are_the_picture_s_cosine_and_what_the_sound_has_above_its_level(algorithm, temperature):
    text, visual, audio, mask = features(offset=0.7)
    head = make(library=(audio, mask), temperature=temperature, audio_weight=0.5)
    found = head.score(text, visual, audio, mask, algorithm=algorithm).numpy()
    wanted = expected(text, visual, audio, mask, temperature, (1.0, 0.5))
    np.testing.assert_allclose(found, wanted, atol=5e-4)  # the library's sounds are kept in half precision


@pytest.mark.parametrize("preset", ["sound", "av-sum", "av-weighted"])
@pytest.mark.parametrize("memory", [1, 20_000])
def test_blocks_do_not_change_scores(preset, memory, monkeypatch):
    monkeypatch.setattr("gaid.heads.senses.CPU_TEXTS", 3)
    text, visual, audio, mask = features()
    head = make(preset, (audio, mask))
    small = head.score(text, visual, audio, mask, memory=memory)
    torch.testing.assert_close(small, head.score(text, visual, audio, mask))


def test_a_clip_without_sound_has_the_score_of_its_picture():
    text, visual, audio, mask = features(offset=2.0)
    head, of_picture = make(library=(audio, mask)), make(audio_weight=0.0)
    found, alone = head.score(text, visual, audio, mask), of_picture.score(text, visual, audio, mask)
    torch.testing.assert_close(found[:, 0], alone[:, 0])
    assert not torch.allclose(found[:, 1], alone[:, 1])
    assert not make("sound", (audio, mask)).score(text, visual, audio, mask)[:, 0].any()


def test_sounds_but_for_the_nearest_have_a_likelihood_of_1_on_average():
    text, visual, audio, mask = features(videos=40, offset=2.0)
    evidence = make(library=(audio, mask)).evidence(text, visual, audio, mask)["sound"][:, mask.any(1)]
    likelihood = (SHARPNESS * evidence.sort(1).values[:, :-1]).exp().mean(1)
    torch.testing.assert_close(likelihood, torch.ones(len(text)), atol=5e-3, rtol=0)


@pytest.mark.parametrize("temperature", [0.0, 0.1])
@pytest.mark.parametrize("toward", [-0.5, 0.5])
def test_sounds_that_mean_nothing_neither_take_from_clips_without_sound_nor_give_to_them(temperature, toward):
    # All sounds have a direction in common, from or to which the sentences point: their cosines have a level far from 0.
    draw, dim = torch.Generator().manual_seed(3), 256
    text = torch.randn(60, 2 * dim, generator=draw) + toward
    visual = torch.randn(1, FRAMES, dim, generator=draw).expand(200, FRAMES, dim)  # pictures decide nothing
    audio = torch.randn(200, FRAMES, dim, generator=draw) + torch.randn(200, 1, dim, generator=draw) + 2.0
    silent = torch.arange(200) % 2 == 0
    mask = ~silent[:, None].expand(200, FRAMES)
    head = build_head("av-sum", visual_dim=dim, audio_dim=dim, text_dim=dim, frames=FRAMES, temperature=temperature)

    def share_of_silent():
        return (SHARPNESS * head.score(text, visual, audio, mask)).softmax(1)[:, silent].sum(1)

    assert ((share_of_silent() - 0.5).abs() > 0.45).all()
    head.meet_library([(audio, mask)])
    torch.testing.assert_close(share_of_silent(), torch.full((60,), 0.5), atol=0.05, rtol=0)  # half of the clips


def test_frames_without_sound_and_zeros_that_count_as_sound_are_not_heard():
    text, visual, audio, mask = features()
    head = make(library=(audio, mask))
    before = head.score(text, visual, audio, mask)
    audio[1, 1:] = 100.0  # masked
    torch.testing.assert_close(head.score(text, visual, audio, mask), before)
    audio[2] = 0.0
    alone = make(audio_weight=0.0).score(text, visual, audio, mask)
    torch.testing.assert_close(head.score(text, visual, audio, mask)[:, 2], alone[:, 2])


def test_a_library_comes_block_by_block_and_more_of_it_than_is_kept():
    _, _, audio, mask = features(videos=300)
    whole, blocks = make(library=(audio, mask)), make()
    blocks.meet_library([(audio[:70], mask[:70]), (audio[70:], mask[70:])])
    torch.testing.assert_close(whole.mean_sound, blocks.mean_sound)
    torch.testing.assert_close(whole.kept_sounds, blocks.kept_sounds)
    assert KEPT / 2 < int(whole.kept_sounds.flatten(1).any(1).sum()) <= KEPT


def test_vectors_of_an_index_give_the_scores_of_means():
    text, visual, audio, mask = features()
    head = make(library=(audio, mask), audio_weight=0.3)
    product = head.embed_text(text) @ head.embed_videos(visual, audio, mask).T
    torch.testing.assert_close(product, head.score(text, visual, audio, mask))


def planted(naming, count=150, dim=24, seed=1):
    """Clips whose pictures and sounds answer their own caption; the sound only for a share `naming` of them."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(2, count, dim))
    heard = rng.random(count) < naming
    text = np.concatenate([hidden[0], np.where(heard[:, None], hidden[1], rng.normal(size=(count, dim)))], axis=1)
    text += 1.5 * rng.normal(size=text.shape)
    frames = [one[:, None] + 2.0 * rng.normal(size=(count, FRAMES, dim)) for one in hidden]
    tensors = [torch.from_numpy(one.astype(np.float32)) for one in (text, *frames)]
    return *tensors, torch.ones(count, FRAMES, dtype=torch.bool)


def found_first(head, clips):
    scores = head.score(*clips)
    return float((scores.argmax(1) == torch.arange(len(scores))).float().mean())


def test_a_fit_weighs_the_sound_by_what_it_is_worth():
    shares = {}
    for naming in (0.0, 1.0):
        clips = planted(naming)
        head = build_head("av-weighted", visual_dim=24, audio_dim=24, text_dim=24, frames=FRAMES)
        head.meet_library([clips[2:]])
        summed = found_first(head, planted(naming, seed=2))
        head.fit(*clips, torch.arange(150))
        visual, audio = head.numbers[:2].tolist()
        assert visual + audio == pytest.approx(1.0)
        shares[naming] = audio
        assert found_first(head, planted(naming, seed=2)) >= summed - 0.03
    assert shares[0.0] < 0.05
    assert shares[1.0] > 0.3


def test_what_does_not_fit_is_named():
    text, visual, audio, mask = features()
    with pytest.raises(HeadMismatch, match="text has 6 numbers, not 6 and 5"):
        make().score(text[:, :VISUAL], visual, audio, mask)
    other = build_head("av-sum", visual_dim=8, audio_dim=AUDIO, text_dim=VISUAL, frames=FRAMES)
    with pytest.raises(HeadMismatch, match="they share no space"):
        other.score(text, torch.randn(9, FRAMES, 8), audio, mask)
    sound = build_head("sound", visual_dim=8, audio_dim=AUDIO, text_dim=VISUAL, frames=FRAMES)
    assert sound.score(text, torch.randn(9, FRAMES, 8), audio, mask).shape == (7, 9)
    with pytest.raises(OptionInvalid, match="at least 0, and one weight is above 0"):
        make(visual_weight=0.0, audio_weight=0.0)


def test_only_heads_that_say_so_take_the_second_vector():
    assert SensesHead.text_input == "both"
    assert build_head("gaid", visual_dim=4, audio_dim=4, text_dim=4).text_input == "text"
