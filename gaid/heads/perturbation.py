"""Perturbation of the text embedding: how far a text may lie from its caption's point, given the frames it is compared with.

Each perturbation states how it moves a text in training (`perturb`) and, for an evaluation, how moved texts are compared with
pooled embeddings (`of_texts`): a `Comparison` has a plain form, with the frames of all pairs, and a folded one, in which a
pair's log_std is one product of its cosines with the frames (docs/method.md, sections 3 and 8).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from gaid.heads.scoring.algebra import Pairs, Pooled, products_with, with_one
from gaid.heads.scoring.plan import Plan
from gaid.heads.scoring.sides import TextSide, VideoSide
from gaid.heads.trial_noise import Law, TrialNoise, normal, uniform

PerturbationName = Literal["none", "stp", "dasp"]
Prior = Literal["uniform", "normal"]


@dataclass
class Block:
    """A run of texts and of videos, folded: where its videos begin, where its frames lie, and what they are pooled to."""

    texts: TextSide
    videos: VideoSide
    first_video: int
    shares: Tensor
    pooled: Pooled | Pairs
    pooled_by_query: Callable[[], Pooled | Pairs]
    plan: Plan

    def cosines(self) -> Float[Tensor, "videos frames_and_one texts"]:
        """Of each text with each fused frame of each video, and a row of ones for the bias of log_std's layer."""
        directions = functional.normalize(self.texts.text, dim=-1)
        products = self.videos.gate.at(products_with(self.videos.ends, directions), self.shares)
        return with_one(products * self.videos.lengths.plain.at(self.shares).clamp(min=1e-24).rsqrt())


@dataclass
class PlainBlock:
    """A run of texts and of videos as tensors of pairs: fused frames, and unit embeddings by whichever pooling."""

    fused: Float[Tensor, "#texts #videos frames dim"]
    pooled: Float[Tensor, "texts videos dim"]
    pooled_by_query: Callable[[], Float[Tensor, "#texts #videos dim"]]
    first_video: int
    pairs_at_once: int


class Comparison:
    """A run of texts in an evaluation, and what is computed of them once for all videos."""

    def plain(self, block: PlainBlock) -> Float[Tensor, "texts videos"]:
        """Their scores, from the frames of all pairs."""
        raise NotImplementedError

    def folded(self, block: Block) -> Float[Tensor, "videos texts"]:
        """Their scores, from products and lengths."""
        raise NotImplementedError


class Deviation(nn.Module):
    """log of a text's standard deviation, per dimension, from its cosines with the frames (T-MASS; docs/method.md, section 3)."""

    def __init__(self, dim: int, frames: int) -> None:
        super().__init__()
        self.linear = nn.Linear(frames, dim)
        nn.init.eye_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(
        self, text: Float[Tensor, "... dim"], fused: Float[Tensor, "... frames dim"]
    ) -> Float[Tensor, "... dim"]:
        """log_std of each pair; leading dimensions of the two broadcast."""
        sims = torch.einsum("...d,...fd->...f", functional.normalize(text, dim=-1), functional.normalize(fused, dim=-1))
        return self.linear(sims)

    def with_bias(self) -> Float[Tensor, "frames_and_one dim"]:
        """The layer as one matrix, for cosines with a row of ones."""
        return torch.cat([self.linear.weight, self.linear.bias[:, None]], 1).t()


class Perturbation(nn.Module):
    """What heads ask of a perturbation, answered as without one: a text stays where it is.

    `moves`: whether texts move, by their `deviation`. `trials`: draws for each text in an evaluation; the best one counts.
    """

    moves = False
    trials = 0
    deviation: Deviation

    def perturb(self, text: Float[Tensor, "batch dim"], std: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Each text moved for a training step, by its own video's std."""
        return text

    def trial_noise(
        self, seed: int, texts: int | Int[Tensor, " texts"], videos: int | Int[Tensor, " videos"] | None
    ) -> TrialNoise | None:
        """The draws of an evaluation of these texts: each pair's own where `videos` are given, else each text's. None where
        nothing is drawn."""
        return None

    def of_texts(self, text: Float[Tensor, "texts dim"], first: int, noise: TrialNoise | None) -> Comparison:
        """The texts from row `first` on, ready to be compared; `noise` where the perturbation draws."""
        return Unmoved(text)


class StochasticPerturbation(Perturbation):
    """STP (T-MASS): the text plus noise times std. In evaluation the best of `trials` draws counts."""

    moves = True

    def __init__(
        self, dim: int, frames: int, prior: Prior = "uniform", prior_std: float = 3e-3, trials: int = 20
    ) -> None:
        super().__init__()
        self.deviation = Deviation(dim, frames)
        self.prior = prior
        self.prior_std = prior_std
        self.trials = trials

    def draw(self, like: Tensor) -> Tensor:
        """Noise of the prior for training, of this shape: uniform on [0, 1), or normal of `prior_std`."""
        return torch.rand_like(like) if self.prior == "uniform" else torch.randn_like(like) * self.prior_std

    @property
    def law(self) -> Law:
        """The prior as trials draw it."""
        return uniform if self.prior == "uniform" else normal(self.prior_std)

    def perturb(self, text: Float[Tensor, "batch dim"], std: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """A training draw for each text from its own video's std."""
        return text + self.draw(text) * std

    def trial_noise(
        self, seed: int, texts: int | Int[Tensor, " texts"], videos: int | Int[Tensor, " videos"] | None
    ) -> TrialNoise:
        weight = self.deviation.linear.weight
        return TrialNoise(self.law, self.trials, len(weight), seed, texts, videos, weight.device)

    def of_texts(self, text: Float[Tensor, "texts dim"], first: int, noise: TrialNoise | None) -> Comparison:
        assert noise is not None
        if noise.per_pair:
            return PairTrials(text, self.deviation, noise, first)
        return TextTrials(text, self.deviation, noise.of_texts(first, len(text), text.dtype))


class DirectionalPerturbation(Perturbation):
    """DASP (GAID; SVSP in the paper's second version): the text moved by a learned share of std, one pass in evaluation."""

    moves = True

    def __init__(self, dim: int, frames: int) -> None:
        super().__init__()
        self.deviation = Deviation(dim, frames)
        self.alpha = nn.Parameter(torch.tensor(0.5))

    def perturb(
        self,
        text: Float[Tensor, "batch dim"],
        std: Float[Tensor, "batch dim"],
        noise: Float[Tensor, "batch dim"] | None = None,
    ) -> Float[Tensor, "batch dim"]:
        """A training draw for each text: noise mixed with 1 by alpha, times its own video's std."""
        noise = torch.rand_like(text) if noise is None else noise
        return text + (self.alpha * noise + (1 - self.alpha)) * std

    def of_texts(self, text: Float[Tensor, "texts dim"], first: int, noise: TrialNoise | None) -> Comparison:
        return Directed(text, self.deviation, self.alpha)


@dataclass
class Unmoved(Comparison):
    """Texts as they are."""

    text: Float[Tensor, "texts dim"]

    def plain(self, block: PlainBlock) -> Float[Tensor, "texts videos"]:
        return torch.einsum("td,tvd->tv", functional.normalize(self.text, dim=-1), block.pooled)

    def folded(self, block: Block) -> Float[Tensor, "videos texts"]:
        lengths = self.text.norm(dim=-1) * block.pooled.lengths()
        return block.pooled.products(self.text).t() / lengths.clamp(min=1e-12)


@dataclass
class Directed(Comparison):
    """Texts moved for each video by alpha times std."""

    text: Float[Tensor, "texts dim"]
    deviation: Deviation
    alpha: Float[Tensor, ""]

    def plain(self, block: PlainBlock) -> Float[Tensor, "texts videos"]:
        std = self.deviation(self.text[:, None], block.fused).exp()
        moved = self.text[:, None] + self.alpha * std
        return (functional.normalize(moved, dim=-1) * block.pooled).sum(-1)

    def folded(self, block: Block) -> Float[Tensor, "videos texts"]:
        sims, weight = block.cosines(), self.deviation.with_bias()
        if block.plan.together:
            moved = torch.matmul(sims.transpose(1, 2), weight).exp_()
            torch.addcmul(self.text, moved, self.alpha, out=moved)
            products, lengths = block.pooled.products_with_own(moved), torch.linalg.vector_norm(moved, dim=-1)
        else:
            products, lengths = self._each_video_by_itself(block.pooled, sims, weight)
        return products / (lengths * block.pooled.lengths()).clamp_(min=1e-12)

    def _each_video_by_itself(
        self, pooled: Pooled | Pairs, sims: Float[Tensor, "videos frames_and_one texts"], weight: Tensor
    ) -> tuple[Float[Tensor, "videos texts"], Float[Tensor, "videos texts"]]:
        """Products and lengths of the moved texts (texts, dim), which stay in the cache from the product that makes them to
        the last that reads them."""
        products = torch.empty_like(sims[:, 0])
        lengths = torch.empty_like(products)
        moved = torch.empty_like(self.text)
        for video in range(len(sims)):
            torch.mm(sims[video].t(), weight, out=moved)
            torch.addcmul(self.text, moved.exp_(), self.alpha, out=moved)
            products[video] = pooled.products_of(video, moved)
            torch.linalg.vector_norm(moved, dim=1, out=lengths[video])
        return products, lengths


@dataclass
class TextTrials(Comparison):
    """Texts with draws that are the same for all videos: |t + n std|² is |t|² + std·moving + std²·squares."""

    text: Float[Tensor, "texts dim"]
    deviation: Deviation
    noise: Float[Tensor, "texts trials dim"]

    @cached_property
    def moving(self) -> Float[Tensor, "texts trials dim"]:
        return 2 * self.noise * self.text[:, None]

    @cached_property
    def squares(self) -> Float[Tensor, "texts trials dim"]:
        return self.noise.square()

    def plain(self, block: PlainBlock) -> Float[Tensor, "texts videos"]:
        std = self.deviation(self.text[:, None], block.fused).exp()
        moved = self.text[:, None, None] + self.noise[:, None] * std[:, :, None]
        return torch.einsum("tvkd,tvd->tvk", functional.normalize(moved, dim=-1), block.pooled).amax(-1)

    def folded(self, block: Block) -> Float[Tensor, "videos texts"]:
        """The best trials' scores. A text's trials with a run of videos are three products with its noise.

        Tensors are (texts, videos, dim) here: each text's products then read whole rows, and none of their strides is a
        power of two, by which the rows of a block would share a few lines of the cache (measured: 20 times slower).
        """
        plain, weight = block.pooled.products(self.text), self.deviation.with_bias()
        square = self.text.square().sum(-1)[:, None, None]
        sims = block.cosines().permute(2, 0, 1)
        scores = torch.empty_like(plain)
        for first in range(0, len(self.text), block.plan.tried_texts):
            t = slice(first, first + block.plan.tried_texts)
            std = torch.matmul(sims[t].contiguous(), weight).exp_()
            embedding = block.pooled.embeddings(t)
            # (texts, trials, dim) @ (texts, dim, videos)
            products = torch.bmm(self.noise[t], (embedding.transpose(0, 1) * std).mT).add_(plain[t, None])
            squares = torch.bmm(self.moving[t], std.mT)
            squares = squares.baddbmm_(self.squares[t], std.square_().mT).add_(square[t])
            products *= squares.clamp_(min=1e-24).rsqrt_()
            torch.amax(products, 1, out=scores[t])
        return scores.t() / block.pooled.lengths().clamp(min=1e-12)


@dataclass
class PairTrials(Comparison):
    """Texts with draws for each pair: the trial that is nearest to the video as the query pools it counts, and its score is
    with the video by whichever pooling. `first`: row of the first text."""

    text: Float[Tensor, "texts dim"]
    deviation: Deviation
    noise: TrialNoise
    first: int

    def plain(self, block: PlainBlock) -> Float[Tensor, "texts videos"]:
        std = self.deviation(self.text[:, None], block.fused).exp().expand(block.pooled.shape)
        choosing = block.pooled_by_query().expand(block.pooled.shape)
        return self.noise.best(
            self.first, block.first_video, self.text, std, choosing, block.pooled, block.pairs_at_once
        )

    def folded(self, block: Block) -> Float[Tensor, "videos texts"]:
        """Some texts at a time."""
        choosing, weight = block.pooled_by_query(), self.deviation.with_bias()
        sims = block.cosines().permute(2, 0, 1)
        scores = self.text.new_empty(sims.shape[:2])
        for first in range(0, len(self.text), block.plan.tried_texts):
            t = slice(first, first + block.plan.tried_texts)
            std = torch.matmul(sims[t].contiguous(), weight).exp_()
            chosen_by, scored = (of.embeddings(t).transpose(0, 1).expand_as(std) for of in (choosing, block.pooled))
            scores[t] = self.noise.best(
                self.first + first, block.first_video, self.text[t], std, chosen_by, scored, block.plan.tried_pairs
            )
        return scores.t() / block.pooled.lengths().clamp(min=1e-12)


def make_perturbation(
    name: PerturbationName, dim: int, frames: int, prior: Prior, prior_std: float, trials: int
) -> Perturbation:
    """The perturbation of a name; the prior and the trials are STP's."""
    if name == "stp":
        return StochasticPerturbation(dim, frames, prior, prior_std, trials)
    return DirectionalPerturbation(dim, frames) if name == "dasp" else Perturbation()
