"""Scores of all (text, video) pairs from their folded parts, block by block, within a bound on memory."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gaid.heads.gate import TokenGate
from gaid.heads.pair_noise import PairNoise
from gaid.heads.perturbation import DirectionalPerturbation, StochasticPerturbation
from gaid.heads.pooling import AttentionPooling
from gaid.heads.scoring import folded
from gaid.heads.scoring.algebra import Pairs, Pooled, Weights, products_with, with_one
from gaid.heads.scoring.folded import TextSide, VideoSide
from gaid.heads.scoring.plan import Plan, Work, make_plan

if TYPE_CHECKING:
    from gaid.heads.gated import GatedHead


def _text_side_in_blocks(head: "GatedHead", text: Float[Tensor, "texts dim"], size: int = 1024) -> TextSide:
    """`text_side` without its intermediate tensors of all texts: what is held of a text is itself and its query."""
    first = folded.text_side(head, text[:size])
    if len(text) <= size:
        return first
    gate = None if first.gate is None else text.new_empty(len(text))
    query = None if first.query is None else torch.empty_like(text)
    for start in range(0, len(text), size):
        rows = slice(start, start + size)
        side = folded.text_side(head, text[rows])
        for whole, part in ((gate, side.gate), (query, side.query)):
            if whole is not None and part is not None:
                whole[rows] = part
    return TextSide(text, gate, query)


def _cosines_with_frames(texts: TextSide, videos: VideoSide, share: Tensor) -> Float[Tensor, "videos frames texts"]:
    """Cosine of each text with each fused frame of each video."""
    products = folded.at(products_with(videos.parts, nn.functional.normalize(texts.text, dim=-1)), share)
    return products * videos.squares.at(share).clamp(min=1e-24).rsqrt()


@dataclass
class Trials:
    """A run of texts' draws, and what is computed of them once for all videos: |t + n std|² is |t|² + std·moving + std²·squares."""

    noise: Float[Tensor, "texts trials dim"]
    moving: Float[Tensor, "texts trials dim"]
    squares: Float[Tensor, "texts trials dim"]

    @classmethod
    def draw(
        cls, perturbation: StochasticPerturbation, text: Float[Tensor, "texts dim"], first: int, seed: int
    ) -> "Trials":
        """Those of the texts from row `first` on."""
        noise = perturbation.noise(first, first + len(text), text, seed)
        return cls(noise, 2 * noise * text[:, None], noise.square())


@dataclass
class OwnTrials:
    """Noise of each pair's own, for a block whose first text and first video have these rows."""

    noise: PairNoise
    text: int
    video: int


def score_block(
    head: "GatedHead",
    texts: TextSide,
    videos: VideoSide,
    gate_own: TextSide | None,
    pool_own: TextSide | None,
    trials: Trials | OwnTrials | None,
    plan: Plan,
) -> Float[Tensor, "videos texts"]:
    """Scores of one block; `trials`: those of its texts or of its pairs, where the head makes some."""
    pooled, share = folded.pool_and_shares(head, texts, videos, gate_own, pool_own)
    text, perturbation = texts.text, head.perturbation
    lengths = pooled.lengths()
    if perturbation is None:
        return pooled.products(text).t() / (text.norm(dim=-1) * lengths).clamp(min=1e-12)
    sims = _cosines_with_frames(texts, videos, share)
    # The bias as one more column of the layer, for one more row of ones.
    linear = perturbation.deviation.linear
    weight = torch.cat([linear.weight, linear.bias[:, None]], 1).t()
    sims = with_one(sims)
    if isinstance(trials, Trials):
        return _best_of_trials(trials, text, pooled, sims, weight, plan.tried_texts) / lengths.clamp(min=1e-12)
    if isinstance(trials, OwnTrials):
        choosing = pooled if pool_own is None else folded.pool(head, texts, videos, gate_own)
        return _best_of_own_trials(trials, text, pooled, choosing, sims, weight, plan) / lengths.clamp(min=1e-12)
    assert isinstance(perturbation, DirectionalPerturbation)
    if plan.together:
        moved = torch.matmul(sims.transpose(1, 2), weight).exp_()
        torch.addcmul(text, moved, perturbation.alpha, out=moved)
        products, moved_lengths = pooled.products_with_own(moved), torch.linalg.vector_norm(moved, dim=-1)
    else:
        products, moved_lengths = _each_video_by_itself(text, perturbation.alpha, pooled, sims, weight)
    return products / (moved_lengths * lengths).clamp_(min=1e-12)


def _each_video_by_itself(
    text: Tensor,
    alpha: Tensor,
    pooled: Pooled | Pairs,
    sims: Float[Tensor, "videos frames_and_one texts"],
    weight: Tensor,
) -> tuple[Float[Tensor, "videos texts"], Float[Tensor, "videos texts"]]:
    """Products and lengths of the moved texts (T, D), which stay in the cache from the product that makes them to the last that
    reads them."""
    products = torch.empty_like(sims[:, 0])
    lengths = torch.empty_like(products)
    moved = torch.empty_like(text)
    for video in range(len(sims)):
        torch.mm(sims[video].t(), weight, out=moved)
        torch.addcmul(text, moved.exp_(), alpha, out=moved)
        products[video] = pooled.products_of(video, moved)
        torch.linalg.vector_norm(moved, dim=1, out=lengths[video])
    return products, lengths


def _best_of_trials(
    trials: Trials,
    text: Tensor,
    pooled: Pooled | Pairs,
    sims: Float[Tensor, "videos frames_and_one texts"],
    weight: Tensor,
    size: int,
) -> Float[Tensor, "videos texts"]:
    """A text's trials with a run of videos are three products with its noise; `size` texts are tried at once.

    Tensors are (texts, videos, dim) here: each text's products then read whole rows, and none of their strides is a power of
    two, by which the rows of a block would share a few lines of the cache (measured: 20 times slower).
    """
    plain = pooled.products(text)
    square = text.square().sum(-1)[:, None, None]
    sims = sims.permute(2, 0, 1)
    scores = torch.empty_like(plain)
    for first in range(0, len(text), size):
        t = slice(first, first + size)
        std = torch.matmul(sims[t].contiguous(), weight).exp_()
        embedding = pooled.embeddings(t)
        # (texts, trials, dim) @ (texts, dim, videos)
        products = torch.bmm(trials.noise[t], (embedding.transpose(0, 1) * std).mT).add_(plain[t, None])
        squares = torch.bmm(trials.moving[t], std.mT)
        squares = squares.baddbmm_(trials.squares[t], std.square_().mT).add_(square[t])
        products *= squares.clamp_(min=1e-24).rsqrt_()
        torch.amax(products, 1, out=scores[t])
    return scores.t()


def _best_of_own_trials(
    trials: OwnTrials,
    text: Tensor,
    pooled: Pooled | Pairs,
    choosing: Pooled | Pairs,
    sims: Float[Tensor, "videos frames_and_one texts"],
    weight: Tensor,
    plan: Plan,
) -> Float[Tensor, "videos texts"]:
    """`PairNoise.best` by some texts at a time: `choosing` says which trial counts, `pooled` what it scores."""
    sims = sims.permute(2, 0, 1)
    scores = text.new_empty(sims.shape[:2])
    for first in range(0, len(text), plan.tried_texts):
        t = slice(first, first + plan.tried_texts)
        std = torch.matmul(sims[t].contiguous(), weight).exp_()
        chosen_by, scored = (of.embeddings(t).transpose(0, 1).expand_as(std) for of in (choosing, pooled))
        scores[t] = trials.noise.best(
            trials.text + first, trials.video, text[t], std, chosen_by, scored, plan.tried_pairs
        )
    return scores.t()


def score(
    head: "GatedHead",
    text: Float[Tensor, "texts dim"],
    videos_at: "VideoSource",
    gate_own: Int[Tensor, " videos"] | None,
    pool_own: Int[Tensor, " videos"] | None,
    memory: int,
    seed: int,
    own_noise: PairNoise | None = None,
) -> Float[Tensor, "texts videos"]:
    """Scores of all pairs, block by block; `videos_at(start, stop)` gives the projected features of those videos.

    `gate_own`, `pool_own`: rows of the captions that gate and pool the videos; None where the text that asks does.
    Which blocks there are is the device's `Plan`. On the CPU each thread has blocks of its own: threads that share a block wait for one another at each of its many short
    steps, which took up to 1.7 times as long (docs/performance.md).
    """
    everything = _text_side_in_blocks(head, text)
    count, dim, frames = len(videos_at), text.shape[1], videos_at.frames
    scores = text.new_empty(len(text), count)
    perturbation = head.perturbation if isinstance(head.perturbation, StochasticPerturbation) else None
    weights = Weights.of(head.pooling) if isinstance(head.pooling, AttentionPooling) else None
    parts = 1 if head.gate is None else 2 if not isinstance(head.gate, TokenGate) else videos_at.tokens // frames + 1
    plan = make_plan(
        Work(
            texts=len(text), videos=count, dim=dim, vectors=parts * frames + 3,
            trials=perturbation.trials if perturbation and own_noise is None else 0,
            own_trials=own_noise.trials if own_noise else 0, moves=head.perturbation is not None, pairs=isinstance(head.gate, TokenGate),
        ),
        memory,
        text.device,
    )  # fmt: skip

    def fill(begin: int) -> None:
        """The scores of the videos from `begin` on, as many as are held at once."""
        end = min(begin + plan.held, count)
        runs = [slice(start, min(start + plan.videos, end)) for start in range(begin, end, plan.videos)]
        sides = [folded.video_side(head, *videos_at(run.start, run.stop), weights) for run in runs]
        gating, pooling = (
            [None if own is None else everything.rows(own[run]) for run in runs] for own in (gate_own, pool_own)
        )
        for first in range(0, len(text), plan.texts):
            rows = slice(first, first + plan.texts)
            some = everything.rows(rows)
            trials: Trials | OwnTrials | None = None
            if perturbation is not None and own_noise is None:
                trials = Trials.draw(perturbation, some.text, first, seed)
            for run, side, gate, pool in zip(runs, sides, gating, pooling, strict=True):
                if own_noise is not None:
                    trials = OwnTrials(own_noise, first, run.start)
                scores[rows, run] = score_block(head, some, side, gate, pool, trials, plan).t()

    _each_in_a_thread(fill, range(0, count, plan.held), plan.threads)
    return scores


def _each_in_a_thread(call: Callable[[int], None], items: Sequence[int], threads: int) -> None:
    """Calls without gradients, side by side in threads that have one core each; one after the other where there is one."""
    threads = min(threads, len(items))
    if threads < 2:
        for item in items:
            call(item)
        return
    inference, before = torch.is_inference_mode_enabled(), torch.get_num_threads()

    def alone(item: int) -> None:
        with torch.inference_mode(inference), torch.no_grad():
            call(item)

    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(alone, items))
    finally:
        torch.set_num_threads(before)  # a thread's number is also that of threads which start later


class VideoSource:
    """Projected features of runs of videos, projected when asked for, so that the whole gallery is never held twice."""

    def __init__(self, head: "GatedHead", visual: Tensor, audio: Tensor, mask: Tensor) -> None:
        self.head, self.visual, self.audio, self.mask = head, visual, audio, mask
        self.frames = visual.shape[1]
        self.tokens = visual[0, ..., 0].numel() if len(visual) else 0

    def __len__(self) -> int:
        return len(self.visual)

    @property
    def bytes_per_video(self) -> int:
        """Of one video's projected features."""
        return 4 * int(self.head.config["dim"]) * (self.tokens + self.frames)

    def __call__(self, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
        return self.head.project_videos(self.visual[start:stop], self.audio[start:stop], self.mask[start:stop])
