"""Scoring all (text, video) pairs without ever making a pair's features (method, section 8).

Every fused frame lies on the line between its picture and its sound, and the gate says where. So its mean, norm and
products are numbers that the gate combines, and the pooled embedding of a pair is a combination of a few vectors that
depend on the video alone. What is left a pair are those few coefficients; norms come from Gram matrices of the vectors.
The same functions serve training (they are differentiable) where no dropout stands between the layers.

Held to `direct` by tests. Small sums that can cancel (norms, Gram forms) are kept in float64: a fused frame or pooled
embedding whose variance is close to 0 then differs from the direct way by rounding alone.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gaid.heads.perturbation import DirectionalPerturbation, StochasticPerturbation
from gaid.heads.pooling import AttentionPooling

if TYPE_CHECKING:
    from gaid.heads.gated import GatedHead

# Texts and videos of one block. The largest tensor that is gone through again and again, texts x dim a video, should stay
# in the second-level cache: 256 x 512 floats are half a MiB (measured: benchmarks/score.py).
TEXTS = 256
VIDEOS = 32


@dataclass
class TextSide:
    """What a head needs of the texts: gate logits (T), attention queries through the key's weights (T, D)."""

    text: Float[Tensor, "texts dim"]
    gate: Float[Tensor, " texts"] | None
    query: Float[Tensor, "texts dim"] | None


@dataclass
class VideoSide:
    """What a head needs of the videos. `parts` are a frame's two ends, picture and sound (or the picture alone)."""

    parts: Float[Tensor, "videos frames parts dim"]
    mask: Bool[Tensor, "videos frames"]
    gate: Float[Tensor, "videos frames"] | None
    squares: "Line"
    centred_squares: "Line | None"
    keys: Float[Tensor, "videos frames parts dim"] | None
    basis: Float[Tensor, "videos vectors dim"]
    grams: tuple[Tensor, ...]


@dataclass
class Line:
    """Squared norm of a point on the line between two vectors: `square * (share - nearest)**2 + rest`, two sums of no sign."""

    square: Float[Tensor, "videos frames"]
    nearest: Float[Tensor, "videos frames"]
    rest: Float[Tensor, "videos frames"]

    @classmethod
    def between(cls, parts: Float[Tensor, "videos frames parts dim"]) -> "Line":
        start = parts[:, :, 0].double()
        along = parts[:, :, -1].double() - start
        square = (along * along).sum(-1)
        safe = torch.where(square > 0, square, 1.0)
        nearest = torch.where(square > 0, -(start * along).sum(-1) / safe, 0.0)
        foot = start + nearest[..., None] * along
        return cls(square.to(parts.dtype), nearest.to(parts.dtype), (foot * foot).sum(-1).to(parts.dtype))

    def at(self, share: Float[Tensor, "texts videos frames"]) -> Float[Tensor, "texts videos frames"]:
        return self.square * (share - self.nearest) ** 2 + self.rest


@dataclass
class Pooled:
    """Pooled embeddings of all pairs: `coefficients @ basis`, with the Gram matrix of the basis for their norms."""

    coefficients: Float[Tensor, "texts videos vectors"]
    basis: Float[Tensor, "videos vectors dim"]
    gram: Float[Tensor, "videos vectors vectors"]

    def norms(self) -> Float[Tensor, "texts videos"]:
        return _form(self.coefficients, self.gram).clamp(min=0).sqrt().to(self.basis.dtype)

    def products(self, text: Float[Tensor, "texts dim"]) -> Float[Tensor, "texts videos"]:
        """Each text with each of its pairs' embeddings."""
        return (torch.einsum("td,vnd->tvn", text, self.basis) * self.coefficients).sum(-1)

    def mean_of_texts(self) -> Float[Tensor, "videos dim"]:
        return torch.einsum("vn,vnd->vd", self.coefficients.mean(0), self.basis)


def _form(coefficients: Float[Tensor, "texts videos n"], gram: Float[Tensor, "videos n n"]) -> Tensor:
    """Quadratic form of each pair's coefficients in its video's Gram matrix, in the matrix's precision."""
    wide = coefficients.to(gram.dtype)
    return (torch.einsum("tvn,vnm->tvm", wide, gram) * wide).sum(-1)


def _gram(basis: Float[Tensor, "videos n dim"]) -> Float[Tensor, "videos n n"]:
    """Products of a video's vectors, float64; in training as the features are, which takes a third less time."""
    wide = basis if torch.is_grad_enabled() and basis.requires_grad else basis.double()
    return wide @ wide.transpose(1, 2)


def _centre(vectors: Tensor) -> Tensor:
    return vectors - vectors.mean(-1, keepdim=True)


def text_side(head: "GatedHead", text: Float[Tensor, "texts dim"]) -> TextSide:
    """The texts' part of gates and attention; `text` after its projection."""
    gate = head.gate.of_text(text) if head.gate is not None else None
    query = None
    if isinstance(head.pooling, AttentionPooling):
        pooling = head.pooling
        query = pooling.query(pooling.norm_inputs(text)) @ pooling.key.weight / text.shape[-1] ** 0.5
    return TextSide(text, gate, query)


def video_side(
    head: "GatedHead",
    visual: Float[Tensor, "videos frames dim"],
    audio: Float[Tensor, "videos frames dim"],
    mask: Bool[Tensor, "videos frames"],
) -> VideoSide:
    """The videos' part: everything that is computed once a video; features after their projections."""
    gate = None
    parts = visual[:, :, None]
    if head.gate is not None:
        gate = head.gate.of_frames(visual, audio, mask)
        # Sound that is not there has a share of 0; the picture in its place keeps its sums finite and harmless.
        parts = torch.stack([visual, torch.where(mask[..., None], audio, visual)], dim=2)
    squares = Line.between(parts)
    if isinstance(head.pooling, AttentionPooling):
        centred = _centre(parts)
        scaled = centred * head.pooling.norm_inputs.weight
        basis, grams = _attention_basis(head.pooling, scaled.flatten(1, 2))
        return VideoSide(parts, mask, gate, squares, Line.between(centred), scaled, basis, grams)
    basis = parts.flatten(1, 2)
    return VideoSide(parts, mask, gate, squares, None, None, basis, (_gram(basis),))


def _attention_basis(
    pooling: AttentionPooling, scaled: Float[Tensor, "videos n dim"]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The vectors that pooled embeddings combine, and the Gram matrices that LN2, LN3 and the last norm need.

    Vectors: those of the frames' parts; the constant before LN2; the constant before LN3; LN3's bias.
    """
    videos = len(scaled)

    def row(vector: Tensor) -> Tensor:
        return vector.expand(videos, 1, -1)

    attended = nn.functional.linear(nn.functional.linear(scaled, pooling.value.weight), pooling.out.weight)
    constant = pooling.out(pooling.value(pooling.norm_inputs.bias))
    before_second = _centre(torch.cat([attended, row(constant)], 1))
    second = before_second * pooling.norm_attended.weight
    second = second + nn.functional.linear(second, pooling.linear.weight)
    bias = pooling.norm_attended.bias
    before_third = _centre(torch.cat([second, row(bias + pooling.linear(bias))], 1))
    last = torch.cat([before_third * pooling.norm_pooled.weight, row(pooling.norm_pooled.bias)], 1)
    return last, (_gram(before_second), _gram(before_third), _gram(last))


def shares(
    head: "GatedHead", texts: TextSide, videos: VideoSide, own: TextSide | None = None
) -> Float[Tensor, "texts videos frames"]:
    """The gates of all pairs; of shape (1, V, F) where they don't depend on the text (`own`: each video's own caption)."""
    if videos.gate is None:
        return videos.parts.new_zeros((1, *videos.mask.shape))
    if own is not None and own.gate is not None:
        logits = (own.gate[:, None] + videos.gate)[None]
    else:
        assert texts.gate is not None
        logits = texts.gate[:, None, None] + videos.gate
    return torch.sigmoid(logits) * videos.mask


def _of_parts(share: Tensor, parts: int) -> Tensor:
    """Weights of a frame's ends (..., parts) from the share of the sound."""
    return torch.stack([1 - share, share], dim=-1) if parts == 2 else torch.ones_like(share)[..., None]


def attention(
    head: "GatedHead", texts: TextSide, videos: VideoSide, share: Tensor, own: TextSide | None = None
) -> tuple[Tensor, Tensor | None]:
    """Weight of each frame in each pair's embedding (T or 1, V, F), and one over LN1's deviation of each fused frame."""
    if not isinstance(head.pooling, AttentionPooling):
        return share.new_full((1, *videos.mask.shape), 1 / videos.mask.shape[1]), None
    assert videos.centred_squares is not None
    assert videos.keys is not None
    norm = head.pooling.norm_inputs
    inverse = (videos.centred_squares.at(share) / videos.parts.shape[-1] + norm.eps).rsqrt()
    if own is not None:
        products = torch.einsum("vd,vfsd->vfs", own.query, videos.keys)[None]
    else:
        products = torch.einsum("td,vfsd->tvfs", texts.query, videos.keys)
    logits = (products * _of_parts(share, videos.parts.shape[2])).sum(-1) * inverse
    return logits.softmax(-1), inverse


def pool(
    head: "GatedHead",
    texts: TextSide,
    videos: VideoSide,
    gate_own: TextSide | None = None,
    pool_own: TextSide | None = None,
) -> tuple[Pooled, Tensor, Tensor]:
    """Pooled embeddings of all pairs, with the gates and attentions that made them. Dropout is not applied."""
    share = shares(head, texts, videos, gate_own)
    weights, inverse = attention(head, texts, videos, share, pool_own)
    ends = _of_parts(share, videos.parts.shape[2])
    if inverse is None:
        inverse = videos.squares.at(share).clamp(min=1e-24).rsqrt()
        coefficients = ((weights * inverse)[..., None] * ends).flatten(2)
        return Pooled(coefficients, videos.basis, videos.grams[-1]), share, weights
    assert isinstance(head.pooling, AttentionPooling)
    second, third, last = videos.grams
    dim = videos.parts.shape[-1]
    coefficients = _with_one(((weights * inverse)[..., None] * ends).flatten(2))
    variance = _form(coefficients, second).clamp(min=0) / dim
    coefficients = _with_one(
        coefficients * (variance + head.pooling.norm_attended.eps).rsqrt().to(coefficients.dtype)[..., None]
    )
    variance = _form(coefficients, third).clamp(min=0) / dim
    coefficients = _with_one(
        coefficients * (variance + head.pooling.norm_pooled.eps).rsqrt().to(coefficients.dtype)[..., None]
    )
    return Pooled(coefficients, videos.basis, last), share, weights


def _with_one(coefficients: Tensor) -> Tensor:
    return torch.cat([coefficients, torch.ones_like(coefficients[..., :1])], -1)


def cosines_with_frames(
    texts: TextSide, videos: VideoSide, share: Float[Tensor, "texts videos frames"]
) -> Float[Tensor, "texts videos frames"]:
    """Cosine of each text with each fused frame of each video."""
    products = torch.einsum("td,vfsd->tvfs", nn.functional.normalize(texts.text, dim=-1), videos.parts)
    products = (products * _of_parts(share, videos.parts.shape[2])).sum(-1)
    return products * videos.squares.at(share).clamp(min=1e-24).rsqrt()


def score_block(
    head: "GatedHead",
    texts: TextSide,
    videos: VideoSide,
    gate_own: TextSide | None,
    pool_own: TextSide | None,
    first_text: int,
    seed: int,
) -> Float[Tensor, "texts videos"]:
    """Scores of one block; `first_text` is its first text's row, by which the trials' noise is drawn."""
    pooled, share, _ = pool(head, texts, videos, gate_own, pool_own)
    text = texts.text
    perturbation = head.perturbation
    if perturbation is None:
        return pooled.products(text) / (text.norm(dim=-1)[:, None] * pooled.norms()).clamp(min=1e-12)
    sims = cosines_with_frames(texts, videos, share)
    plain = pooled.products(text)
    square = (text * text).sum(-1)
    norms = pooled.norms().expand_as(plain)
    coefficients = pooled.coefficients.expand(*plain.shape, -1)
    columns = []
    linear = perturbation.deviation.linear
    noise = None
    if isinstance(perturbation, StochasticPerturbation):
        noise = perturbation.noise(first_text, first_text + len(text), text, seed)
    for video in range(plain.shape[1]):
        std = torch.addmm(linear.bias, sims[:, video], linear.weight.t()).exp_()
        basis = pooled.basis[video]
        if noise is None:
            assert isinstance(perturbation, DirectionalPerturbation)
            alpha = perturbation.alpha
            along = (std @ basis.t() * coefficients[:, video]).sum(-1)
            across = torch.einsum("td,td->t", text, std)
            lengths = torch.einsum("td,td->t", std, std)
            products = plain[:, video] + alpha * along
            squares = square + 2 * alpha * across + alpha * alpha * lengths
        else:
            embedding = coefficients[:, video] @ basis
            products = plain[:, video, None] + torch.einsum("tkd,td->tk", noise, std * embedding)
            moved = torch.einsum("tkd,td->tk", noise, std * text)
            lengths = torch.einsum("tkd,td->tk", noise.square(), std.square_())
            squares = square[:, None] + 2 * moved + lengths
        length = squares.clamp(min=1e-24).sqrt()
        if noise is None:
            columns.append(products / (length * norms[:, video]).clamp(min=1e-12))
        else:
            columns.append((products / (length * norms[:, video, None]).clamp(min=1e-12)).amax(-1))
    return torch.stack(columns, 1)


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
    everything = text_side(head, text)
    count, dim, frames = len(own), text.shape[1], videos_at.frames
    scores = text.new_empty(len(text), count)
    parts = 1 if head.gate is None else 2
    # A block holds about eight tensors of (texts, videos, vectors) and, a video, its vectors a few times over.
    per_video = 8 * (parts * frames + 3) * (8 * min(TEXTS, max(len(text), 1)) + 4 * dim)
    step = max(1, min(VIDEOS, memory // (2 * per_video)))
    for start in range(0, count, step):
        stop = min(start + step, count)
        videos = video_side(head, *videos_at(start, stop))
        owners = own[start:stop]
        owning = None
        if gate_own or pool_own:
            owning = TextSide(
                everything.text[owners],
                None if everything.gate is None else everything.gate[owners],
                None if everything.query is None else everything.query[owners],
            )
        for first in range(0, len(text), TEXTS):
            rows = slice(first, first + TEXTS)
            block = TextSide(
                everything.text[rows],
                None if everything.gate is None else everything.gate[rows],
                None if everything.query is None else everything.query[rows],
            )
            scores[rows, start:stop] = score_block(
                head, block, videos, owning if gate_own else None, owning if pool_own else None, first, seed
            )
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
