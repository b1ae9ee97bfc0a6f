"""Scoring all (text, video) pairs without ever making a pair's features (method, section 8).

Every fused frame lies on the line between its picture and its sound, and the gate says where. So its mean, norm and
products are numbers that the gate combines, and the pooled embedding of a pair is a combination of a few vectors that
depend on the video alone. What is left a pair are those few coefficients; norms come from Gram matrices of the vectors.
The same functions serve training (they are differentiable); with dropout between the layers they go as far as it.

Held to `direct` by tests.

Inside a block tensors are (videos, ..., texts): products with a video's vectors come out so, every sum over frames or
vectors then runs along whole rows of texts, and no tensor is ever turned.
"""

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gaid.heads.algebra import Form, Line, Pairs, Pooled, Weights, centre, join, products_with, with_one
from gaid.heads.perturbation import NOISE_ROWS, DirectionalPerturbation, StochasticPerturbation
from gaid.heads.pooling import AttentionPooling

if TYPE_CHECKING:
    from gaid.heads.gated import GatedHead

VIDEOS = 32
# Texts whose trials are tried at once.
TRIED_TEXTS = 16


def texts_of_block(dim: int) -> int:
    """Texts of one block: (texts, dim) floats, gone through again and again, fill half of the cores' second-level cache.

    The cache is the machine's own as the C library tells it; 1 MiB where it does not. Between 256 and 1,024 texts the
    measured time differs by a tenth, outside it grows (docs/performance.md).
    """
    try:
        cache = os.sysconf("SC_LEVEL2_CACHE_SIZE")
    except (AttributeError, ValueError, OSError):
        cache = 0
    held = (cache if cache > 0 else 2**20) * torch.get_num_threads() // 2
    return max(128, min(1024, held // (4 * dim) // 64 * 64))


@dataclass
class TextSide:
    """What a head needs of the texts: gate logits (T), attention queries through the key's weights and LN1 (T, D)."""

    text: Float[Tensor, "texts dim"]
    gate: Float[Tensor, " texts"] | None
    query: Float[Tensor, "texts dim"] | None

    def rows(self, rows: "slice | Tensor") -> "TextSide":
        """Some of the texts."""
        return TextSide(
            self.text[rows],
            None if self.gate is None else self.gate[rows],
            None if self.query is None else self.query[rows],
        )


@dataclass
class VideoSide:
    """What a head needs of the videos. `parts` are the frames' ends, pictures and sounds (or the pictures alone).

    What is computed of them is computed when it is first asked for: training with dropout stops before the basis.
    """

    parts: Float[Tensor, "videos parts frames dim"]
    mask: Bool[Tensor, "videos frames"]
    gate: Float[Tensor, "videos frames"] | None
    weights: Weights | None

    @property
    def centred(self) -> Float[Tensor, "videos parts frames dim"]:
        """The parts as LN1 centres them."""
        return centre(self.parts)

    @cached_property
    def squares(self) -> Line:
        """Of the frames themselves; attention in training asks for centred ones only."""
        return Line.between(self.parts)

    @cached_property
    def centred_squares(self) -> Line:
        """Of the frames as LN1 centres them."""
        return Line.between(self.centred)

    @cached_property
    def pooled(self) -> tuple[Float[Tensor, "videos vectors dim"], tuple[Form, ...]]:
        """The vectors that pooled embeddings combine, and the forms of their lengths on the way."""
        if self.weights is not None:
            return self.weights.basis(self.centred.flatten(1, 2))
        basis = self.parts.flatten(1, 2)
        return basis, (Form.of(basis),)


def text_side(head: "GatedHead", text: Float[Tensor, "texts dim"]) -> TextSide:
    """The texts' part of gates and attention; `text` after its projection.

    LN1's centring and weights stand between the frames and the key's weights; they are taken to the texts' side.
    """
    gate = head.gate.of_text(text) if head.gate is not None else None
    query = None
    if isinstance(head.pooling, AttentionPooling):
        pooling = head.pooling
        query = pooling.query(pooling.norm_inputs(text)) @ pooling.key.weight / text.shape[-1] ** 0.5
        query = centre(query * pooling.norm_inputs.weight)
    return TextSide(text, gate, query)


def _text_side_in_blocks(head: "GatedHead", text: Float[Tensor, "texts dim"], size: int = 1024) -> TextSide:
    """`text_side` without its intermediate tensors of all texts: what is held of a text is itself and its query."""
    first = text_side(head, text[:size])
    if len(text) <= size:
        return first
    gate = None if first.gate is None else text.new_empty(len(text))
    query = None if first.query is None else torch.empty_like(text)
    for start in range(0, len(text), size):
        rows = slice(start, start + size)
        side = text_side(head, text[rows])
        for whole, part in ((gate, side.gate), (query, side.query)):
            if whole is not None and part is not None:
                whole[rows] = part
    return TextSide(text, gate, query)


def video_side(
    head: "GatedHead",
    visual: Float[Tensor, "videos frames dim"],
    audio: Float[Tensor, "videos frames dim"],
    mask: Bool[Tensor, "videos frames"],
    weights: Weights | None = None,
) -> VideoSide:
    """The videos' part: everything that is computed once a video; features after their projections.

    `weights`: those of the head's attention pooling, where they are at hand.
    """
    gate = None
    parts = visual[:, None]
    if head.gate is not None:
        gate = head.gate.of_frames(visual, audio, mask)
        # Sound that is not there has a share of 0; the picture in its place keeps its sums finite and harmless.
        parts = torch.stack([visual, torch.where(mask[..., None], audio, visual)], dim=1)
    if weights is None and isinstance(head.pooling, AttentionPooling):
        weights = Weights.of(head.pooling)
    return VideoSide(parts, mask, gate, weights)


def shares(
    head: "GatedHead", texts: TextSide, videos: VideoSide, own: TextSide | None = None
) -> Float[Tensor, "texts videos frames"]:
    """The gates of all pairs; of shape (1, V, F) where they don't depend on the text (`own`: each video's own caption)."""
    return _shares(texts, videos, own).permute(2, 0, 1)


def _shares(texts: TextSide, videos: VideoSide, own: TextSide | None) -> Float[Tensor, "videos frames texts"]:
    if videos.gate is None:
        return videos.parts.new_zeros((*videos.mask.shape, 1))
    if own is not None and own.gate is not None:
        logits = (own.gate[:, None] + videos.gate)[..., None]
    else:
        assert texts.gate is not None
        logits = videos.gate[..., None] + texts.gate
    return torch.sigmoid(logits) * videos.mask[..., None]


def _at(ends: Float[Tensor, "videos parts frames texts"], share: Float[Tensor, "videos frames texts"]) -> Tensor:
    """What the two ends of each frame's line have at its share."""
    return ends[:, 0] if ends.shape[1] == 1 else torch.lerp(ends[:, 0], ends[:, 1], share)


def _of_parts(weights: Float[Tensor, "videos frames texts"], share: Tensor, parts: int) -> Tensor:
    """Weights of frames as weights of their ends, (videos, parts * frames, texts)."""
    if parts == 1:
        return weights
    of_sound = weights * share
    return torch.cat([weights - of_sound, of_sound], 1)


def attention(
    head: "GatedHead", texts: TextSide, videos: VideoSide, share: Tensor, own: TextSide | None = None
) -> tuple[Tensor, Tensor | None]:
    """Weight of each frame in each pair's embedding (T or 1, V, F), and one over LN1's deviation of each fused frame."""
    weights, inverse = _attention(head, texts, videos, share.permute(1, 2, 0), own)
    return weights.permute(2, 0, 1), None if inverse is None else inverse.permute(2, 0, 1)


def _attention(
    head: "GatedHead", texts: TextSide, videos: VideoSide, share: Tensor, own: TextSide | None
) -> tuple[Tensor, Tensor | None]:
    if not isinstance(head.pooling, AttentionPooling):
        return share.new_full((*videos.mask.shape, 1), 1 / videos.mask.shape[1]), None
    norm = head.pooling.norm_inputs
    inverse = (videos.centred_squares.at(share) / videos.parts.shape[-1] + norm.eps).rsqrt()
    if own is not None:
        ends = torch.einsum("vd,vsfd->vsf", own.query, videos.parts)[..., None]
    else:
        assert texts.query is not None
        ends = products_with(videos.parts, texts.query)
    return (_at(ends, share) * inverse).softmax(1), inverse


def pool(
    head: "GatedHead",
    texts: TextSide,
    videos: VideoSide,
    gate_own: TextSide | None = None,
    pool_own: TextSide | None = None,
) -> tuple[Pooled, Tensor, Tensor]:
    """Pooled embeddings of all pairs, with the gates and attentions that made them. Dropout is not applied."""
    pooled, share, weights = _pool(head, texts, videos, gate_own, pool_own)
    return pooled, share.permute(2, 0, 1), weights.permute(2, 0, 1)


def _pool(
    head: "GatedHead", texts: TextSide, videos: VideoSide, gate_own: TextSide | None, pool_own: TextSide | None
) -> tuple[Pooled, Tensor, Tensor]:
    share, weights, coefficients = _attended(head, texts, videos, gate_own, pool_own)
    basis, forms = videos.pooled
    if isinstance(head.pooling, AttentionPooling):
        dim = videos.parts.shape[-1]
        for norm, form in zip((head.pooling.norm_attended, head.pooling.norm_pooled), forms[:2], strict=True):
            coefficients = with_one(coefficients * (form(coefficients) / dim + norm.eps).rsqrt()[:, None])
    return Pooled(coefficients, basis, forms[-1]), share, weights


def _attended(
    head: "GatedHead", texts: TextSide, videos: VideoSide, gate_own: TextSide | None, pool_own: TextSide | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gates, attentions, and the attended mean of the frames as coefficients of their parts (and of LN2's constant)."""
    share = _shares(texts, videos, gate_own)
    weights, inverse = _attention(head, texts, videos, share, pool_own)
    parts = videos.parts.shape[1]
    if inverse is None:
        inverse = videos.squares.at(share).clamp(min=1e-24).rsqrt()
        return share, weights, _of_parts(weights * inverse, share, parts)
    return share, weights, with_one(_of_parts(weights * inverse, share, parts))


def pool_dropping(
    head: "GatedHead",
    texts: TextSide,
    videos: VideoSide,
    gate_own: TextSide | None = None,
    pool_own: TextSide | None = None,
) -> Pairs:
    """Pooled embeddings of all pairs with attention pooling's dropout, as training needs them.

    The residual layer is linear, so what dropout drops is a combination of a video's vectors too, and only from the dropout on
    there is a tensor of (videos, texts, dim), where the direct way has several of (texts, videos, frames, dim).
    """
    pooling = head.pooling
    assert isinstance(pooling, AttentionPooling)
    assert videos.weights is not None
    norm, linear = pooling.norm_attended, pooling.linear
    coefficients = _attended(head, texts, videos, gate_own, pool_own)[2]
    before = videos.weights.before_second(videos.centred.flatten(1, 2))
    inverse = (Form.of(before)(coefficients) / videos.parts.shape[-1] + norm.eps).rsqrt()
    coefficients = with_one(coefficients * inverse[:, None]).transpose(1, 2)
    vectors = before * norm.weight
    attended = join(vectors, norm.bias)
    dropped = pooling.dropout(torch.bmm(coefficients, join(vectors @ linear.weight.t(), linear(norm.bias))))
    return Pairs(pooling.norm_pooled(torch.baddbmm(dropped, coefficients, attended)))


def _cosines_with_frames(texts: TextSide, videos: VideoSide, share: Tensor) -> Float[Tensor, "videos frames texts"]:
    """Cosine of each text with each fused frame of each video."""
    products = _at(products_with(videos.parts, nn.functional.normalize(texts.text, dim=-1)), share)
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


def score_block(
    head: "GatedHead",
    texts: TextSide,
    videos: VideoSide,
    gate_own: TextSide | None,
    pool_own: TextSide | None,
    trials: Trials | None,
) -> Float[Tensor, "videos texts"]:
    """Scores of one block; `trials`: those of its texts, where the head makes some."""
    pooled, share, _ = _pool(head, texts, videos, gate_own, pool_own)
    text, perturbation = texts.text, head.perturbation
    lengths = pooled.lengths()
    if perturbation is None:
        return pooled.products(text).t() / (text.norm(dim=-1) * lengths).clamp(min=1e-12)
    sims = _cosines_with_frames(texts, videos, share)
    # The bias as one more column of the layer, for one more row of ones.
    linear = perturbation.deviation.linear
    weight = torch.cat([linear.weight, linear.bias[:, None]], 1).t()
    sims = with_one(sims)
    if trials is not None:
        return _best_of_trials(trials, text, pooled, sims, weight) / lengths.clamp(min=1e-12)
    assert isinstance(perturbation, DirectionalPerturbation)
    coefficients = pooled.coefficients.expand(-1, -1, len(text))
    products = torch.empty_like(sims[:, 0])
    moved_lengths = torch.empty_like(products)
    # A video at a time: the moved texts (T, D) stay in the cache from the product that makes them to the last that reads them.
    moved = torch.empty_like(text)
    for video, basis in enumerate(pooled.basis):
        torch.mm(sims[video].t(), weight, out=moved)
        torch.addcmul(text, moved.exp_(), perturbation.alpha, out=moved)
        torch.sum((basis @ moved.t()).mul_(coefficients[video]), 0, out=products[video])
        torch.linalg.vector_norm(moved, dim=1, out=moved_lengths[video])
    return products / (moved_lengths * lengths).clamp_(min=1e-12)


def _best_of_trials(
    trials: Trials, text: Tensor, pooled: Pooled, sims: Float[Tensor, "videos frames_and_one texts"], weight: Tensor
) -> Float[Tensor, "videos texts"]:
    """A text's trials with a run of videos are three products with its noise.

    Tensors are (texts, videos, dim) here: each text's products then read whole rows, and none of their strides is a power of
    two, by which the rows of a block would share a few lines of the cache (measured: 20 times slower).
    """
    plain = pooled.products(text)
    square = text.square().sum(-1)[:, None, None]
    coefficients = pooled.coefficients.expand(-1, -1, len(text)).transpose(1, 2)
    sims = sims.permute(2, 0, 1)
    scores = torch.empty_like(plain)
    for first in range(0, len(text), TRIED_TEXTS):
        t = slice(first, first + TRIED_TEXTS)
        std = torch.matmul(sims[t].contiguous(), weight).exp_()
        embedding = torch.bmm(coefficients[:, t], pooled.basis)
        # (texts, trials, dim) @ (texts, dim, videos)
        products = torch.bmm(trials.noise[t], (embedding.transpose(0, 1) * std).mT).add_(plain[t, None])
        squares = torch.bmm(trials.moving[t], std.mT)
        squares = squares.baddbmm_(trials.squares[t], std.square_().mT).add_(square[t])
        products *= squares.clamp_(min=1e-24).rsqrt_()
        torch.amax(products, 1, out=scores[t])
    return scores.t()


def score(
    head: "GatedHead",
    text: Float[Tensor, "texts dim"],
    videos_at: "VideoSource",
    own: Int[Tensor, " videos"],
    gate_own: bool,
    pool_own: bool,
    memory: int,
    seed: int,
) -> Float[Tensor, "texts videos"]:
    """Scores of all pairs, block by block; `videos_at(start, stop)` gives the projected features of those videos."""
    everything = _text_side_in_blocks(head, text)
    count, dim, frames = len(own), text.shape[1], videos_at.frames
    scores = text.new_empty(len(text), count)
    perturbation = head.perturbation if isinstance(head.perturbation, StochasticPerturbation) else None
    size = NOISE_ROWS if perturbation is not None else texts_of_block(dim)
    weights = Weights.of(head.pooling) if isinstance(head.pooling, AttentionPooling) else None
    parts = 1 if head.gate is None else 2
    # A block holds about six tensors of (videos, vectors, texts) and, a video, its vectors a few times over.
    per_video = 4 * (parts * frames + 3) * (6 * min(size, max(len(text), 1)) + 8 * dim)
    step = max(1, min(VIDEOS, memory // (2 * per_video)))
    # Drawing a text's trials costs as much as scoring it with some videos, so many videos are held beside them.
    held = step if perturbation is None else step * max(1, memory // (2 * step * per_video))
    for begin in range(0, count, held):
        runs = [
            slice(start, min(start + step, begin + held, count))
            for start in range(begin, min(begin + held, count), step)
        ]
        sides = [video_side(head, *videos_at(run.start, run.stop), weights) for run in runs]
        owning = [everything.rows(own[run]) if gate_own or pool_own else None for run in runs]
        for first in range(0, len(text), size):
            rows = slice(first, first + size)
            some = everything.rows(rows)
            trials = None if perturbation is None else Trials.draw(perturbation, some.text, first, seed)
            for run, side, owner in zip(runs, sides, owning, strict=True):
                scores[rows, run] = score_block(
                    head, some, side, owner if gate_own else None, owner if pool_own else None, trials
                ).t()
    return scores


class VideoSource:
    """Projected features of runs of videos, projected when asked for, so that the whole gallery is never held twice."""

    def __init__(self, head: "GatedHead", visual: Tensor, audio: Tensor, mask: Tensor) -> None:
        self.head, self.visual, self.audio, self.mask = head, visual, audio, mask
        self.frames = visual.shape[1]
        self.tokens = visual[0, ..., 0].numel() if len(visual) else 0

    @property
    def bytes_per_video(self) -> int:
        """Of one video's projected features."""
        return 4 * int(self.head.config["dim"]) * (self.tokens + self.frames)

    def __call__(self, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
        return self.head.project_videos(self.visual[start:stop], self.audio[start:stop], self.mask[start:stop])
