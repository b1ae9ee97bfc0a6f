"""Pooling: from the fused frames of a (text, video) pair to one video embedding.

Each pooling states its plain form (`attend`, `forward`) and its folded form: `ask` is the texts' part, and what `fold`
returns goes from weights of frames to the embeddings of all pairs (docs/method.md, section 8).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gaid.heads.scoring.algebra import Form, Pairs, Pooled, centre, join, products_with, with_one
from gaid.heads.scoring.sides import FoldedPooling, TextSide, VideoSide

PoolingName = Literal["mean", "attention"]


class Pooling(nn.Module):
    """What heads ask of a pooling. Leading dimensions of text and frames broadcast.

    `attends`: whether it weighs the frames, with layers that folding joins first.
    """

    attends = False

    @property
    def drops(self) -> bool:
        """Whether training drops something on the way, so that pairs can't be folded to the end."""
        return False

    def attend(
        self, text: Float[Tensor, "... dim"], fused: Float[Tensor, "... frames dim"]
    ) -> tuple[Float[Tensor, "... frames"], Float[Tensor, "... frames dim"]]:
        """Weights of the frames of each pair, adding up to 1, and the frames as they are weighed."""
        raise NotImplementedError

    def forward(
        self, text: Float[Tensor, "... dim"], fused: Float[Tensor, "... frames dim"], drop: bool = False
    ) -> Float[Tensor, "... dim"]:
        """Video embedding of each pair; `drop`: with dropout. Evaluations have none, whatever mode the module is in."""
        raise NotImplementedError

    def ask(self, text: Float[Tensor, "texts dim"]) -> Float[Tensor, "texts asked"]:
        """What a text is multiplied with the ends of frames by; (texts, 0) where it asks nothing."""
        raise NotImplementedError

    def fold(self) -> FoldedPooling:
        """The folded form, for one call."""
        raise NotImplementedError


class AttentionPooling(Pooling):
    """Text-conditioned pooling by cross-attention (X-Pool, used unchanged by T-MASS and GAID; docs/method.md, section 2).

    One head, one LayerNorm shared by texts and frames. Weights start as the identity and biases as 0, so an untrained one
    takes a softmax-weighted mean of the normalised frames.
    """

    attends = True

    def __init__(self, dim: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.linear = nn.Linear(dim, dim)
        self.norm_inputs = nn.LayerNorm(dim)
        self.norm_attended = nn.LayerNorm(dim)
        self.norm_pooled = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.query, self.key, self.value, self.out, self.linear):
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)

    @property
    def drops(self) -> bool:
        """Whether training drops numbers of the residual layer."""
        return self.training and self.dropout.p > 0

    def attend(
        self, text: Float[Tensor, "... dim"], fused: Float[Tensor, "... frames dim"]
    ) -> tuple[Float[Tensor, "... frames"], Float[Tensor, "... frames dim"]]:
        """Attention of each text over the frames of its own pair, and the frames' normalised inputs.

        The key's weights are taken to the text's side (a frame's key is never made), and its bias, which moves all of a
        pair's logits alike, falls away.
        """
        inputs = self.norm_inputs(fused)
        query = self.query(self.norm_inputs(text)) @ self.key.weight / fused.shape[-1] ** 0.5
        return torch.einsum("...d,...fd->...f", query, inputs).softmax(-1), inputs

    def finish(self, attended: Float[Tensor, "... dim"], drop: bool = False) -> Float[Tensor, "... dim"]:
        """From the attended mean of the frames (before LN2) to the video embedding."""
        attended = self.norm_attended(attended)
        added = self.linear(attended)
        return self.norm_pooled(attended + (self.dropout(added) if drop else added))

    def forward(
        self, text: Float[Tensor, "... dim"], fused: Float[Tensor, "... frames dim"], drop: bool = False
    ) -> Float[Tensor, "... dim"]:
        """Video embedding of each pair.

        Weights add up to 1, so the mean of the frames' values is the value of their mean: one product per pair, not one
        per frame.
        """
        attention, inputs = self.attend(text, fused)
        mean = torch.einsum("...f,...fd->...d", attention, inputs)
        return self.finish(self.out(self.value(mean)), drop)

    def ask(self, text: Float[Tensor, "texts dim"]) -> Float[Tensor, "texts dim"]:
        """The query through the key's weights; LN1's centring and weights, which stand between these and the frames, are
        taken to the texts' side too."""
        query = self.query(self.norm_inputs(text)) @ self.key.weight / text.shape[-1] ** 0.5
        return centre(query * self.norm_inputs.weight)

    def fold(self) -> "FoldedAttention":
        return FoldedAttention(self, Weights.of(self))


class MeanPooling(Pooling):
    """The mean of the frames' directions, whatever the text (CLIP4Clip, meanP: frames are normalised first)."""

    def __init__(self, dim: int, dropout: float = 0.0) -> None:
        super().__init__()

    def attend(
        self, text: Float[Tensor, "... dim"], fused: Float[Tensor, "... frames dim"]
    ) -> tuple[Float[Tensor, "... frames"], Float[Tensor, "... frames dim"]]:
        """The same weight for each frame, and the frames' directions."""
        return fused.new_full(fused.shape[:-1], 1 / fused.shape[-2]), functional.normalize(fused, dim=-1)

    def forward(
        self, text: Float[Tensor, "... dim"], fused: Float[Tensor, "... frames dim"], drop: bool = False
    ) -> Float[Tensor, "... dim"]:
        return functional.normalize(fused, dim=-1).mean(-2)

    def ask(self, text: Float[Tensor, "texts dim"]) -> Float[Tensor, "texts 0"]:
        return text[:, :0]

    def fold(self) -> "FoldedMean":
        return FoldedMean()


class FoldedMean(FoldedPooling):
    """The mean of directions in terms of the ends of frames."""

    def attention(
        self, texts: TextSide, videos: VideoSide, shares: Tensor, own: bool
    ) -> tuple[Float[Tensor, "videos frames 1"], Float[Tensor, "videos frames #texts"]]:
        """The same weight for each frame, and one over its length."""
        weights = shares.new_full((*videos.mask.shape, 1), 1 / videos.mask.shape[1])
        return weights, videos.lengths.plain.at(shares).clamp(min=1e-24).rsqrt()

    def basis(self, videos: VideoSide) -> tuple[Float[Tensor, "videos vectors dim"], tuple[Form, ...]]:
        """The ends themselves."""
        basis = videos.ends.flatten(1, 2)
        return basis, (Form.of(basis),)

    def pool(self, videos: VideoSide, coefficients: Float[Tensor, "videos n #texts"], drop: bool) -> Pooled:
        basis, (form,) = videos.basis
        return Pooled(coefficients, basis, form)

    def pool_tokens(self, videos: VideoSide, coefficients: Float[Tensor, "videos n #texts"], drop: bool) -> Pairs:
        return Pairs(torch.bmm(coefficients.transpose(1, 2), videos.ends.flatten(1, 2)))


@dataclass
class Weights:
    """An attention pooling's layers from LN1's centred inputs on as two maps: to LN2's centred input and to LN3's.

    Nothing but LN2's division by one number per pair stands between the first layers and the last, so their products are
    taken once. `constants` are what the biases add before LN2, before LN3 and after it, centred as LN centres.
    """

    to_second: Float[Tensor, "dim dim"]
    from_second: Float[Tensor, "dim dim"]
    constants: Float[Tensor, "three dim"]
    last: Float[Tensor, " dim"]

    @classmethod
    def of(cls, pooling: AttentionPooling) -> "Weights":
        first = centre((pooling.out.weight @ pooling.value.weight).t()) * pooling.norm_inputs.weight[:, None]
        linear, second = pooling.linear, pooling.norm_attended
        # x + linear(x) after LN2's weights, as a map of LN2's centred input.
        onward = centre(torch.diag(second.weight) + second.weight[:, None] * linear.weight.t())
        biases = [pooling.out(pooling.value(pooling.norm_inputs.bias)), second.bias + linear(second.bias)]
        constants = torch.cat([centre(torch.stack(biases)), pooling.norm_pooled.bias[None]])
        return cls(first, onward, constants, pooling.norm_pooled.weight)

    @cached_property
    def maps(self) -> Float[Tensor, "dim two_dims"]:
        """Both maps side by side, for one product."""
        return torch.cat([self.to_second, self.to_second @ self.from_second], 1)

    def before_second(self, centred: Float[Tensor, "videos n dim"]) -> Float[Tensor, "videos vectors dim"]:
        """The vectors that LN2's centred input combines: those of the frames' ends, and the constant before LN2."""
        return join(centred @ self.to_second, self.constants[0])

    def basis(self, centred: Float[Tensor, "videos n dim"]) -> tuple[Tensor, tuple[Form, ...]]:
        """The vectors that pooled embeddings combine, and the forms that LN2, LN3 and the last norm need.

        Vectors: those of the frames' ends; the constant before LN2; the constant before LN3; LN3's bias.
        """
        before_second, before_third = (centred @ self.maps).chunk(2, -1)
        before_second = join(before_second, self.constants[0])
        before_third = join(before_third, self.constants[0] @ self.from_second, self.constants[1])
        last = join(before_third * self.last, self.constants[2])
        return last, (Form.of(before_second), Form.of(before_third), Form.of(last))


@dataclass
class FoldedAttention(FoldedPooling):
    """Attention pooling in terms of the ends of frames: from LN1 to the embedding, all is linear but divisions per pair."""

    pooling: AttentionPooling
    weights: Weights

    def attention(
        self, texts: TextSide, videos: VideoSide, shares: Tensor, own: bool
    ) -> tuple[Float[Tensor, "videos frames #texts"], Float[Tensor, "videos frames #texts"]]:
        """Attention of each text over the frames of its own pair, and what LN1 multiplies a fused frame by."""
        norm = self.pooling.norm_inputs
        inverse = (videos.lengths.centred.at(shares) / videos.ends.shape[-1] + norm.eps).rsqrt()
        if own:
            ends = torch.einsum("vd,vsfd->vsf", texts.query, videos.ends)[..., None]
        else:
            ends = products_with(videos.ends, texts.query)
        return (videos.gate.at(ends, shares) * inverse).softmax(1), inverse

    def basis(self, videos: VideoSide) -> tuple[Float[Tensor, "videos vectors dim"], tuple[Form, ...]]:
        """The ends after all layers, and what the biases add."""
        return self.weights.basis(videos.centred.flatten(1, 2))

    def pool(self, videos: VideoSide, coefficients: Float[Tensor, "videos n #texts"], drop: bool) -> Pooled | Pairs:
        if drop:
            return self._pool_dropping(videos, coefficients)
        basis, forms = videos.basis
        dim = videos.ends.shape[-1]
        coefficients = with_one(coefficients)
        for norm, form in zip((self.pooling.norm_attended, self.pooling.norm_pooled), forms[:2], strict=True):
            coefficients = with_one(coefficients * (form(coefficients) / dim + norm.eps).rsqrt()[:, None])
        return Pooled(coefficients, basis, forms[-1])

    def _pool_dropping(self, videos: VideoSide, coefficients: Float[Tensor, "videos n #texts"]) -> Pairs:
        """With dropout, as training needs it. The residual layer is linear, so what dropout drops is a combination of a
        video's vectors too, and only from the dropout on there is a tensor of (videos, texts, dim), where the direct way has
        several of (texts, videos, frames, dim)."""
        norm, linear = self.pooling.norm_attended, self.pooling.linear
        coefficients = with_one(coefficients)
        before = self.weights.before_second(videos.centred.flatten(1, 2))
        inverse = (Form.of(before)(coefficients) / videos.ends.shape[-1] + norm.eps).rsqrt()
        coefficients = with_one(coefficients * inverse[:, None]).transpose(1, 2)
        vectors = before * norm.weight
        attended = join(vectors, norm.bias)
        residual = torch.bmm(coefficients, join(vectors @ linear.weight.t(), linear(norm.bias)))
        return Pairs(self.pooling.norm_pooled(torch.baddbmm(self.pooling.dropout(residual), coefficients, attended)))

    def pool_tokens(self, videos: VideoSide, coefficients: Float[Tensor, "videos n #texts"], drop: bool) -> Pairs:
        """What folding saves here is every tensor of (texts, videos, frames, dim)."""
        norm = self.pooling.norm_inputs
        centred = videos.centred.flatten(1, 2) * norm.weight
        mean = torch.bmm(coefficients.transpose(1, 2), centred) + norm.bias
        return Pairs(self.pooling.finish(self.pooling.out(self.pooling.value(mean)), drop))


POOLINGS: dict[PoolingName, type[Pooling]] = {"mean": MeanPooling, "attention": AttentionPooling}
