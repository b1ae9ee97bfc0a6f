"""STP's trials: draws that depend on the seed and on rows alone, once per text or for each pair; and T-MASS's published
evaluation, with noise for each (video, text, trial), the trial chosen by the query's pooling, any pooling scored."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional

from gaid.errors import OptionInvalid
from gaid.heads import build_head
from gaid.heads.scoring import plan

BY = ["query", "own_caption"]


def make(texts, videos, frames=3, dim=8, trials=4, dtype=torch.float64, **parts):
    """A head with weights far from the identity, and features of which a third have no sound."""
    torch.manual_seed(0)
    parts = {"perturbation": "stp", "trials": trials, **parts}
    head = build_head(visual_dim=dim, audio_dim=dim + 1, text_dim=dim, dim=dim, frames=frames, **parts).to(dtype)
    with torch.no_grad():
        for weight in head.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    features = (
        torch.randn(texts, dim, dtype=dtype),
        torch.randn(videos, frames, dim, dtype=dtype),
        torch.randn(videos, frames, dim + 1, dtype=dtype),
        torch.rand(videos, frames) > 0.33,
    )
    return head.eval(), features


def draws(head, text, video, seed):
    """(trials, dim) of a pair."""
    noise = head.perturbation.trial_noise(seed, text + 1, video + 1)
    return noise.of_pairs(torch.tensor([text]), torch.tensor([video]), torch.float64)[0]


def pool(pooling, text, frames):
    """A video as a text pools it (docs/method.md, section 2), from one text and its fused frames."""

    def norm(layer, x):
        return functional.layer_norm(x, x.shape[-1:], layer.weight, layer.bias, layer.eps)

    query = pooling.query(norm(pooling.norm_inputs, text))
    inputs = [norm(pooling.norm_inputs, frame) for frame in frames]
    logits = torch.stack([query @ pooling.key(one) / len(text) ** 0.5 for one in inputs])
    attention = torch.exp(logits) / torch.exp(logits).sum()
    attended = sum(share * pooling.value(one) for share, one in zip(attention, inputs, strict=True))
    attended = norm(pooling.norm_attended, pooling.out(attended))
    return norm(pooling.norm_pooled, attended + pooling.linear(attended))


def cosine(one, two):
    return one @ two / (one.norm() * two.norm())


@torch.no_grad()
def published(head, text, visual, audio, mask, gate_by, pool_by, own, seed):
    """A pair, a trial, a frame at a time."""
    words = head.text_proj(text)
    scores = torch.empty(len(text), len(visual))
    for i, query in enumerate(words):
        for j in range(len(visual)):
            caption = words[own[j]]
            frames = list(head.visual_proj(visual[j]))
            if head.uses_audio:
                gating = query if gate_by == "query" else caption
                for f, seen in enumerate(frames):
                    heard = head.audio_proj(audio[j, f])
                    gate = torch.sigmoid(head.gate.linear(torch.cat([seen, heard, gating])))
                    frames[f] = gate * heard + (1 - gate) * seen if mask[j, f] else seen
            spread = head.perturbation.deviation.linear(torch.stack([cosine(query, frame) for frame in frames])).exp()
            by_query = pool(head.pooling, query, frames)
            compared = by_query if pool_by == "query" else pool(head.pooling, caption, frames)
            moved = [query + noise * spread for noise in draws(head, i, j, seed)]
            chosen = max(moved, key=lambda trial: float(cosine(trial, by_query)))
            scores[i, j] = cosine(chosen, compared)
    return scores


@pytest.mark.slow
@pytest.mark.parametrize("gate_by", BY)
@pytest.mark.parametrize("pool_by", BY)
@pytest.mark.parametrize(
    "parts", [{"fusion": "none"}, {"fusion": "frame"}, {"fusion": "frame", "prior": "normal", "prior_std": 1.0}]
)
def test_scores_are_those_of_a_plain_restatement_under_every_protocol(parts, gate_by, pool_by):
    head, features = make(9, 5, **parts)
    own = torch.tensor([0, 2, 4, 5, 8])  # nine captions of five videos
    expected = published(head, *features, gate_by, pool_by, own, seed=3)
    for algorithm in ("folded", "direct"):
        found = head.score(
            *features, gate_by=gate_by, pool_by=pool_by, own_caption=own, algorithm=algorithm, seed=3, noise="pair"
        )
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("pooling", ["attention", "mean"])
@pytest.mark.parametrize("fusion", ["none", "sample", "frame"])
def test_blocks_memory_and_the_plan_of_a_device_change_no_score(fusion, pooling, gpu, monkeypatch):
    monkeypatch.setattr(plan, "prefers_large_launches", lambda device: gpu)
    head, (text, *videos) = make(70, 40, 4, 16, fusion=fusion, pooling=pooling)
    options = {"noise": "pair", "pool_by": "own_caption", "gate_by": "own_caption"}
    own = torch.arange(40)
    whole = head.score(text, *videos, own_caption=own, **options, algorithm="direct")
    for memory in (2**30, 2**17, 2**14):
        found = head.score(text, *videos, own_caption=own, **options, algorithm="folded", memory=memory)
        torch.testing.assert_close(found, whole, atol=1e-6, rtol=0)
    some = slice(20, 35)
    asking = torch.arange(0, 70, 2)  # of which the videos' own captions are some
    part = head.score(
        text[asking], *(of[some] for of in videos), own_caption=own[:15], text_rows=asking,
        video_rows=torch.arange(20, 35), **options,
    )  # fmt: skip
    again = head.score(text, *videos, own_caption=torch.cat([own[:20], asking[:15], own[35:]]), **options)
    torch.testing.assert_close(part, again[asking][:, some], atol=1e-6, rtol=0)


def test_of_a_texts_shared_draws_the_best_score_counts_and_of_a_pairs_own_that_of_the_chosen_trial():
    """Under the query's pooling choosing and scoring are one, so more trials never score less; by an own caption they may."""
    scores = {}
    for trials in (1, 20):
        head, features = make(40, 40, dim=16, trials=trials, fusion="none")
        for pool_by in BY:
            scores[trials, pool_by] = head.score(*features, noise="pair", pool_by=pool_by)
    assert (scores[20, "query"] >= scores[1, "query"] - 1e-6).all()
    assert (scores[20, "own_caption"] < scores[1, "own_caption"] - 1e-3).any()


def law_of(prior, std=3e-3):
    """The distribution that a prior states."""
    return stats.uniform() if prior == "uniform" else stats.norm(scale=std)


def drawn(kind, texts=30, videos=30, seed=0, **parts):
    """(draws, trials, dim) of all texts, or of all their pairs."""
    head, _ = make(1, 1, dim=64, trials=20, **parts)
    if kind == "text":
        return head.perturbation.trial_noise(seed, texts, None).of_texts(0, texts, torch.float32)
    rows = torch.arange(texts).repeat_interleave(videos), torch.arange(videos).repeat(texts)
    return head.perturbation.trial_noise(seed, texts, videos).of_pairs(*rows, torch.float32)


@pytest.mark.parametrize("prior", ["uniform", "normal"])
@pytest.mark.parametrize(("kind", "texts", "videos"), [("text", 900, 0), ("pair", 30, 30)])
def test_noise_has_its_law_and_nothing_of_other_draws_trials_or_dimensions(kind, texts, videos, prior):
    noise = drawn(kind, texts, videos, prior=prior)
    law = law_of(prior)
    assert noise.shape == (900, 20, 64)
    assert noise.isfinite().all()
    assert law.cdf(float(noise.min())) < 1e-4
    assert law.sf(float(noise.max())) < 1e-4
    if prior == "uniform":
        assert 0 <= float(noise.min()) < float(noise.max()) < 1
    assert stats.kstest(noise.flatten().numpy(), law.cdf).pvalue > 0.01
    # Mean and variance of n numbers are normal around the law's, with these standard deviations.
    n, kurtosis = noise.numel(), float(law.stats("k"))
    assert abs(float(noise.mean()) - law.mean()) < 4 * law.std() / n**0.5
    assert abs(float(noise.var()) / law.var() - 1) < 4 * ((kurtosis + 2) / n) ** 0.5
    centred = noise.flatten(1).numpy() - law.mean()
    of_draws = np.corrcoef(centred)[~np.eye(900, dtype=bool)]
    of_numbers = np.corrcoef(centred.T)[~np.eye(20 * 64, dtype=bool)]
    # Correlations of n independent numbers are about normal with a standard deviation of 1 / sqrt(n).
    assert of_draws.std() == pytest.approx(1280**-0.5, rel=0.02)
    assert of_numbers.std() == pytest.approx(900**-0.5, rel=0.02)
    assert abs(of_draws).max() < 6 * 1280**-0.5
    assert abs(of_numbers).max() < 6 * 900**-0.5


def mixed(x):
    """The 32-bit hash of the module in whole numbers of Python."""
    x = (x ^ x >> 16) * 0x7FEB352D % 2**32
    x = (x ^ x >> 15) * (2**32 - 0x7B935975) % 2**32
    return x ^ x >> 16


def number_of(seed, text, video, trial, dimension, trials=20, dim=64):
    """A uniform number on [0, 1) from its five coordinates; `video` None for noise that all videos share."""
    one, two = (int(word) for word in np.random.SeedSequence(seed).generate_state(2))
    keys = [mixed(mixed((text + word) % 2**32) ^ (2**32 - 1 if video is None else video)) for word in (one, two)]
    bits = ((mixed(trial * dim + dimension) ^ keys[0]) + keys[1]) % 2**32 * 0x7FEB352D % 2**32
    bits = (bits ^ bits >> 15) * (2**32 - 0x7B935975) % 2**32
    return (bits >> 8 ^ 1 << 23) / 2**24  # the upper 24 bits as a signed number, moved to 0 and above


@pytest.mark.parametrize(("text", "trial", "dimension"), [(0, 0, 0), (7, 3, 63), (29, 19, 5)])
def test_a_number_is_a_hash_in_whole_numbers_of_its_coordinates_so_that_every_device_has_it(text, trial, dimension):
    shared = drawn("text", seed=3)[text, trial, dimension]
    assert float(shared) == number_of(3, text, None, trial, dimension)
    of_pair = drawn("pair", seed=3)[text * 30 + 11, trial, dimension]
    assert float(of_pair) == number_of(3, text, 11, trial, dimension)


def test_the_draws_of_a_text_depend_on_its_seed_and_row_and_not_on_the_run_that_it_is_drawn_in():
    whole = drawn("text")
    head, _ = make(1, 1, dim=64, trials=20)
    noise = head.perturbation.trial_noise(0, 30, None)
    assert torch.equal(noise.of_texts(7, 5, torch.float32), whole[7:12])
    part = head.perturbation.trial_noise(0, torch.tensor([21, 4]), None)  # where the texts of a part stand in the whole
    assert torch.equal(part.of_texts(0, 2, torch.float32), whole[[21, 4]])
    for other in (whole[8], drawn("text", seed=1)[7], drawn("pair")[7 * 30]):
        assert abs(np.corrcoef(whole[7].flatten(), other.flatten())[0, 1]) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("algorithm", ["folded", "direct"])
def test_with_draws_of_each_text_neither_blocks_nor_the_other_texts_of_a_call_change_a_score(
    algorithm, gpu, monkeypatch
):
    monkeypatch.setattr(plan, "prefers_large_launches", lambda device: gpu)
    head, (text, *videos) = make(150, 40, 4, 16)
    whole = head.score(text, *videos, algorithm="direct")
    for memory in (2**30, 2**19):
        found = head.score(text, *videos, algorithm=algorithm, memory=memory)
        torch.testing.assert_close(found, whole, atol=1e-6, rtol=0)
    some = torch.tensor([149, 3, 64, 63, 100])
    part = head.score(text[some], *(of[20:35] for of in videos), algorithm=algorithm, text_rows=some)
    torch.testing.assert_close(part, whole[some][:, 20:35], atol=1e-6, rtol=0)


def test_a_draw_depends_on_seed_text_and_video_and_on_no_other_pair_of_the_call():
    head, _ = make(1, 1, dim=64, trials=20)

    def of(texts, videos, seed=0, places=(30, 30)):
        rows = torch.tensor(texts), torch.tensor(videos)
        return head.perturbation.trial_noise(seed, *places).of_pairs(*rows, torch.float32)

    three = of([5, 6, 5], [7, 7, 8])
    assert torch.equal(of([6], [7])[0], three[1])
    places = (torch.tensor([5]), torch.tensor([4, 7]))  # where the texts and videos of a part stand in the whole
    assert torch.equal(of([0], [1], places=places)[0], three[0])
    for one, two in ((three[0], three[1]), (three[0], three[2]), (three[1], three[2]), (three[0], of([5], [7], 1)[0])):
        assert abs(np.corrcoef(one.flatten(), two.flatten())[0, 1]) < 0.15


def test_noise_changes_nothing_for_a_head_without_trials():
    head, features = make(6, 6, fusion="frame", perturbation="dasp")
    assert torch.equal(head.score(*features, noise="pair"), head.score(*features))


def test_a_noise_that_does_not_exist_is_refused(unchecked):
    head, features = make(6, 6, fusion="none")
    with pytest.raises(OptionInvalid, match="noise 'video' does not exist; choose one of text, pair"):
        head.score(*features, noise="video")
