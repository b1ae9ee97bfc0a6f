"""Folded scoring is direct scoring; heads behave as the method says where it can be said without numbers."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gaid.errors import HeadMismatch, OptionInvalid
from gaid.heads import build_head, gated
from gaid.heads.gate import FrameGate
from gaid.heads.perturbation import StochasticPerturbation
from gaid.heads.scoring import direct, folded, plan
from gaid.heads.scoring.algebra import Pairs

FUSIONS, POOLINGS, PERTURBATIONS = ("none", "sample", "frame", "token"), ("mean", "attention"), ("none", "stp", "dasp")


def make(texts=5, videos=4, frames=3, dim=8, seed=0, dtype=torch.float32, weights=0.3, **parts):
    """A head with weights far from the identity, and features for it."""
    torch.manual_seed(seed)
    head = build_head(visual_dim=dim, audio_dim=dim + 1, text_dim=dim, dim=dim, frames=frames, **parts).to(dtype)
    with torch.no_grad():
        for weight in head.parameters():
            weight.add_(torch.randn_like(weight) * weights)
    patches = (5,) if parts.get("fusion") == "token" else ()
    features = (
        torch.randn(texts, dim, dtype=dtype),
        torch.randn(videos, frames, *patches, dim, dtype=dtype),
        torch.randn(videos, frames, dim + 1, dtype=dtype),
        torch.rand(videos, frames) > 0.3,
    )
    return head.eval(), features


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    fusion=st.sampled_from(FUSIONS), pooling=st.sampled_from(POOLINGS), perturbation=st.sampled_from(PERTURBATIONS),
    texts=st.integers(1, 70), videos=st.integers(1, 6), frames=st.integers(1, 13), dim=st.sampled_from([7, 16, 64]),
    gate_by=st.sampled_from(["query", "own_caption"]), pool_by=st.sampled_from(["query", "own_caption"]),
    seed=st.integers(0, 2**16), double=st.booleans(), scale=st.sampled_from([0.01, 1.0, 20.0]), gpu=st.booleans(),
    noise=st.sampled_from(["text", "pair"]),
)  # fmt: skip
def test_folded_scores_are_the_direct_ones_by_the_plan_of_either_device(
    fusion, pooling, perturbation, texts, videos, frames, dim, gate_by, pool_by, seed, double, scale, gpu, noise
):
    dtype = torch.float64 if double else torch.float32
    head, (text, visual, audio, mask) = make(
        texts, videos, frames, dim, seed, dtype, fusion=fusion, pooling=pooling, perturbation=perturbation, trials=3
    )
    own, pooling_own = torch.randint(texts, (2, videos))
    if not double and pool_by == "own_caption":
        noise = "text"  # of two trials that are equally near within float32's rounding each way may take another
    options = {
        "gate_by": gate_by, "pool_by": pool_by, "own_caption": own, "pool_caption": pooling_own, "seed": seed,
        "noise": noise,
    }  # fmt: skip
    features = (text * scale, visual * scale, audio * scale, mask)
    direct = head.score(*features, **options, algorithm="direct")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "prefers_large_launches", lambda device: gpu)
        folded = head.score(*features, **options, algorithm="folded")
    # Scores are float32 whatever they were computed in: in double precision only that rounding is left between the two.
    torch.testing.assert_close(folded, direct, atol=1e-6 if double else 2e-5, rtol=0)


@pytest.mark.parametrize("gate", [-40.0, 40.0])
@pytest.mark.parametrize("case", ["equal frames", "sound equals picture", "constant features", "sound opposes picture"])
def test_folding_holds_where_its_algebra_cancels(case, gate):
    head, (text, visual, audio, mask) = make(texts=9, videos=6, frames=4, dim=16)
    audio = audio[..., :16].clone()
    if case == "equal frames":
        visual, audio = visual[:, :1].expand(-1, 4, -1), audio[:, :1].expand(-1, 4, -1)
    elif case == "sound equals picture":
        audio = visual.clone()
    elif case == "constant features":
        visual, audio = torch.full_like(visual, 0.7), torch.full_like(audio, -0.2)
    else:
        audio = -visual
    head = build_head(visual_dim=16, audio_dim=16, text_dim=16, frames=4).eval()
    for bias in (0.0, gate):
        torch.nn.init.constant_(head.gate.linear.bias, bias)
        direct = head.score(text, visual, audio, mask, algorithm="direct")
        folded = head.score(text, visual, audio, mask, algorithm="folded")
        torch.testing.assert_close(folded, direct, atol=2e-5, rtol=0)


def directly(head):
    """In the place of the folded pooling: every pair's embedding made the plain way."""

    def pool(texts, videos, gate_own=None, pool_own=None, drop=False):
        visual, audio = videos.ends[:, 0], videos.ends[:, -1]
        if videos.gate.fuses_tokens:
            visual = videos.ends[:, :-1].transpose(1, 2)
        gated_by = None if gate_own is None else gate_own.text
        fused, _ = direct.fuse(head.parts, texts.text, visual, audio, videos.mask, gated_by)
        asking = texts.text[:, None] if pool_own is None else pool_own.text[None]
        return Pairs(head.pooling(asking, fused, drop).expand(len(texts.text), -1, -1).transpose(0, 1))

    return pool


@pytest.mark.slow
@pytest.mark.parametrize("by", [("query", "query"), ("own_caption", "query"), ("own_caption", "own_caption")])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(
    "parts",
    [
        {"fusion": "frame", "perturbation": "dasp"},
        {"fusion": "sample", "perturbation": "stp"},
        {"fusion": "none", "perturbation": "none"},
        {"fusion": "token", "perturbation": "dasp"},
        {"fusion": "token", "perturbation": "dasp", "pooling": "mean"},
    ],
)
def test_training_by_folding_has_the_gradient_of_the_direct_way(parts, dropout, by, monkeypatch):
    noise = torch.full((6, 16), 0.4, dtype=torch.float64)
    monkeypatch.setattr(torch, "rand_like", lambda text: noise)
    monkeypatch.setattr(StochasticPerturbation, "draw", lambda *_: noise)
    # What dropout drops must not depend on the order in which a way holds its pairs: the same dimensions in all of them.
    kept = torch.tensor([1, 0, 1, 1] * 4) / 0.75
    monkeypatch.setattr(torch.nn.Dropout, "forward", lambda self, x: x * kept if self.p else x)
    gradients = []
    for way in ("folded", "direct"):
        head, (text, visual, audio, mask) = make(
            6, 6, 4, 16, dtype=torch.float64, dropout=dropout, support_loss_weight=0.8, **parts
        )
        if way == "direct":
            monkeypatch.setattr(folded, "pool", directly(head))
        head.train()
        loss = head.loss(text, visual, audio, mask, gate_by=by[0], pool_by=by[1]).total
        loss.backward()
        # The key's bias moves all frames alike, so it has no gradient either way; folded it does not even occur.
        of_weights = [torch.zeros_like(w) if w.grad is None else w.grad for w in head.parameters()]
        gradients.append([loss.detach(), *of_weights])
    for of_folded, of_direct in zip(*gradients, strict=True):
        torch.testing.assert_close(of_folded, of_direct, atol=1e-9, rtol=1e-7)


def test_dropout_draws_anew_for_each_pair_and_step_and_not_in_evaluation():
    head, (text, visual, audio, mask) = make(4, 4, 3, 16, dropout=0.5, perturbation="none")
    head.train()
    torch.manual_seed(1)
    first, second = (float(head.loss(text, visual, audio, mask).total.detach()) for _ in range(2))
    torch.manual_seed(1)
    assert float(head.loss(text, visual, audio, mask).total.detach()) == first != second
    head.eval()
    assert head.loss(text, visual, audio, mask).total == head.loss(text, visual, audio, mask).total


def test_a_frame_without_audio_keeps_its_visual_embedding():
    head, (text, visual, audio, mask) = make(fusion="frame")
    mask[0] = False
    assert (head.explain(text, visual, audio, mask).gate[:, 0] == 0).all()
    other = audio.clone()
    other[0] = torch.nan
    assert torch.equal(head.score(text, visual, audio, mask), head.score(text, visual, other, mask))


def test_sound_changes_nothing_for_a_head_that_does_not_listen():
    head, (text, visual, audio, mask) = make(fusion="none")
    assert not head.uses_audio
    assert torch.equal(head.score(text, visual, audio, mask), head.score(text, visual, audio * 7, ~mask))


def test_attention_and_gates_are_shares():
    head, features = make(fusion="frame")
    told = head.explain(*features)
    torch.testing.assert_close(told.attention.sum(-1), torch.ones(5, 4))
    torch.testing.assert_close(told.sound_weight, told.gate * told.attention)
    assert ((told.gate >= 0) & (told.gate <= 1)).all()


def test_a_sample_gate_is_the_same_for_all_frames_that_have_sound():
    head, (text, visual, audio, _) = make(fusion="sample")
    gate = head.explain(text, visual, audio).gate
    torch.testing.assert_close(gate, gate[..., :1].expand_as(gate))


def test_more_texts_than_a_block_holds_score_as_the_direct_way_scores_them():
    head, features = make(1100, 3, fusion="frame", perturbation="dasp")
    torch.testing.assert_close(head.score(*features), head.score(*features, algorithm="direct"), atol=5e-6, rtol=0)


@pytest.mark.parametrize("parts", [{}, {"perturbation": "stp", "fusion": "none"}, {"fusion": "token"}])
def test_few_texts_are_scored_directly_and_many_folded_with_equal_scores(parts, monkeypatch):
    head, (text, *videos) = make(texts=20, videos=30, frames=4, dim=16, **parts)
    whole = head.score(text, *videos)
    ways = []
    for way in ("blocks", "direct"):
        plain = getattr(gated, way).score
        monkeypatch.setattr(
            getattr(gated, way), "score", lambda *a, way=way, plain=plain: ways.append(way) or plain(*a)
        )
    few = head.few_texts(30)
    torch.testing.assert_close(head.score(text[:few], *videos), whole[:few], atol=2e-6, rtol=0)
    torch.testing.assert_close(head.score(text[: few + 1], *videos), whole[: few + 1], atol=5e-6, rtol=0)
    assert ways == ["direct", "blocks"]


@pytest.mark.parametrize("parts", [{}, {"fusion": "none", "perturbation": "none"}, {"perturbation": "stp"}])
def test_the_fewer_the_videos_the_more_texts_are_scored_directly_since_folding_has_its_own_start(parts):
    head = build_head(visual_dim=64, audio_dim=64, text_dim=64, dim=512, **parts)
    few = [head.few_texts(videos) for videos in (1, 8, 100, 10_000)]
    assert few == sorted(few, reverse=True)
    assert few[0] > 60 > 20 >= few[-1] >= 5


def test_scores_do_not_depend_on_blocks_or_memory():
    head, features = make(texts=300, videos=70, frames=4, dim=16, perturbation="stp", trials=3)
    whole = head.score(*features)
    torch.testing.assert_close(head.score(*features, memory=2**18), whole, atol=5e-6, rtol=0)
    torch.testing.assert_close(
        head.score(
            *(f[20:40] if f is features[1] else f for f in features[:1]),
            features[1][20:40],
            features[2][20:40],
            features[3][20:40],
        ),
        whole[:, 20:40],
        atol=5e-6,
        rtol=0,
    )


def test_permuting_videos_permutes_scores():
    head, (text, visual, audio, mask) = make()
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(
        head.score(text, visual[order], audio[order], mask[order]), head.score(text, visual, audio, mask)[:, order]
    )


def test_pure_noise_is_retrieved_by_chance_when_the_query_pools_and_far_better_when_its_own_caption_does():
    torch.manual_seed(0)
    count = 400
    head = build_head("gaid", visual_dim=64, audio_dim=64, text_dim=64)
    features = (torch.randn(count, 64), torch.randn(count, 12, 64), torch.randn(count, 12, 64))
    recall = {}
    for by in ("query", "own_caption"):
        scores = head.score(*features, gate_by=by, pool_by=by)
        recall[by] = float(
            (scores.argsort(1, descending=True)[:, :10] == torch.arange(count)[:, None]).any(1).float().mean()
        )
    assert recall["query"] < 0.06  # chance is 0.025
    assert recall["own_caption"] > 0.2


def test_mean_pooling_without_fusion_has_exactly_the_vector_that_an_index_holds():
    head, (text, visual, audio, mask) = make(fusion="none", pooling="mean", perturbation="none")
    texts = torch.nn.functional.normalize(head.embed_text(text), dim=-1)
    torch.testing.assert_close(texts @ head.embed_videos(visual, audio, mask).T, head.score(text, visual, audio, mask))


def test_the_same_caption_of_two_videos_is_no_negative():
    head, (text, visual, audio, mask) = make(texts=4, perturbation="none", weighted_loss=False)
    same = torch.zeros(4, 4, dtype=torch.bool)
    plain = head.loss(text, visual, audio, mask, same).total
    same[0, 1] = same[1, 0] = True
    assert head.loss(text, visual, audio, mask, same).total < plain


def test_a_head_is_built_again_from_its_config():
    head, features = make(fusion="sample", perturbation="stp")
    again = build_head(**head.config)
    again.load_state_dict(head.state_dict())
    assert torch.equal(again.score(*features), head.score(*features))


def test_half_precision_features_are_widened():
    head, (text, visual, audio, mask) = make()
    half = head.score(text.half(), visual.half(), audio.half(), mask)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, head.score(text.half().float(), visual.half().float(), audio.half().float(), mask))


def test_what_does_not_fit_is_said(unchecked):
    head, (text, visual, audio, mask) = make(texts=5, videos=4)
    with pytest.raises(HeadMismatch, match="visual has 9, the head takes 8"):
        head.score(text, audio, audio, mask)
    with pytest.raises(HeadMismatch, match="own_caption"):
        head.score(text, visual, audio, mask, pool_by="own_caption")
    with pytest.raises(OptionInvalid, match="did you mean 'gaid'"):
        build_head("giad", visual_dim=8, audio_dim=8, text_dim=8)
    with pytest.raises(OptionInvalid, match="did you mean 'fusion'"):
        build_head(visual_dim=8, audio_dim=8, text_dim=8, fusoin="frame")
    with pytest.raises(OptionInvalid, match="none, sample, frame"):
        build_head(visual_dim=8, audio_dim=8, text_dim=8, fusion="early")


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["folded", "direct"])
@pytest.mark.parametrize("parts", [{}, {"fusion": "token"}, {"perturbation": "stp", "trials": 3}])
def test_a_head_in_training_is_scored_by_several_threads_as_by_one_in_evaluation(parts, algorithm):
    head, features = make(texts=40, videos=30, frames=4, dim=16, dropout=0.5, **parts)
    alone = head.score(*features, algorithm=algorithm)
    head.train()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: head.score(*features, algorithm=algorithm), range(12)))
    assert head.training
    assert head.pooling.dropout.training
    for scores in together:
        torch.testing.assert_close(scores, alone, atol=1e-6, rtol=0)


def test_scoring_leaves_the_mode_of_the_module_alone_even_meanwhile(monkeypatch):
    head, features = make(texts=40, videos=30, frames=4, dim=16, dropout=0.5)
    monkeypatch.setattr(head, "train", lambda mode=True: pytest.fail("the module's mode was changed"))
    head.score(*features)


class Cautious(FrameGate):
    """A gate of one class, which the rest knows nothing of: half as much audio as `FrameGate` lets in."""

    def _gates(self, of_text, of_frames, audio_mask):
        return super()._gates(of_text, of_frames, audio_mask) / 2

    def shares(self, of_text, of_frames, audio_mask):
        return super().shares(of_text, of_frames, audio_mask) / 2


def test_a_new_gate_is_one_class_that_both_algorithms_take_as_it_is():
    head, (text, visual, audio, mask) = make(fusion="frame", perturbation="dasp")
    before, gates = head.score(text, visual, audio, mask), head.explain(text, visual, audio, mask).gate
    head.gate.__class__ = Cautious
    folded, direct = (head.score(text, visual, audio, mask, algorithm=way) for way in ("folded", "direct"))
    torch.testing.assert_close(folded, direct, atol=2e-5, rtol=0)
    torch.testing.assert_close(head.explain(text, visual, audio, mask).gate, gates / 2)
    assert not torch.allclose(folded, before, atol=1e-3)
