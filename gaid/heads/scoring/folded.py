"""Scoring all (text, video) pairs without ever making a pair's features (method, section 8).

Every fused frame lies on the line between its picture and its sound, and the gate says where. So its mean, norm and
products are numbers that the gate combines, and the pooled embedding of a pair is a combination of a few vectors that
depend on the video alone. What is left a pair are those few coefficients; norms come from Gram matrices of the vectors.
The same functions serve training (they are differentiable); with dropout between the layers they go as far as it.

Held to `direct` by tests.

Inside a block tensors are (videos, ..., texts): products with a video's vectors come out so, every sum over frames or
vectors then runs along whole rows of texts, and no tensor is ever turned.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gaid.heads.gate import TokenGate
from gaid.heads.pooling import AttentionPooling
from gaid.heads.scoring.algebra import Form, Hull, Line, Pairs, Pooled, Weights, centre, join, products_with, with_one

if TYPE_CHECKING:
    from gaid.heads.gated import GatedHead


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
    """What a head needs of the videos. `parts` are the frames' ends, pictures and sounds (or the pictures alone); where tokens are
    fused, a frame's tokens and its sound.

    What is computed of them is computed when it is first asked for: training with dropout stops before the basis.
    """

    parts: Float[Tensor, "videos parts frames dim"]
    mask: Bool[Tensor, "videos frames"]
    gate: Float[Tensor, "videos frames *tokens"] | None
    weights: Weights | None

    @property
    def centred(self) -> Float[Tensor, "videos parts frames dim"]:
        """The parts as LN1 centres them."""
        return centre(self.parts)

    @property
    def fuses_tokens(self) -> bool:
        """Whether a frame has more parts than a line's two ends."""
        return self.gate is not None and self.gate.ndim == 3

    @cached_property
    def squares(self) -> Line | Hull:
        """Of the frames themselves; attention in training asks for centred ones only."""
        return self._hulls[0] if self.fuses_tokens else Line.between(self.parts)

    @cached_property
    def centred_squares(self) -> Line | Hull:
        """Of the frames as LN1 centres them."""
        return self._hulls[1] if self.fuses_tokens else Line.between(self.centred)

    @cached_property
    def _hulls(self) -> tuple[Hull, Hull]:
        return Hull.plain_and_centred(self.parts)

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


def video_side(
    head: "GatedHead",
    visual: Float[Tensor, "videos frames *tokens dim"],
    audio: Float[Tensor, "videos frames dim"],
    mask: Bool[Tensor, "videos frames"],
    weights: Weights | None = None,
) -> VideoSide:
    """The videos' part: everything that is computed once a video; features after their projections.

    `weights`: those of the head's attention pooling, where they are at hand.
    """
    gate, parts = None, visual[:, None]
    if head.gate is not None:
        gate = head.gate.of_frames(visual, audio, mask)
        if isinstance(head.gate, TokenGate):
            parts = torch.cat([visual.transpose(1, 2), audio[:, None]], dim=1)
        else:
            # Sound that is not there has a share of 0; the picture in its place keeps its sums finite and harmless.
            parts = torch.stack([visual, torch.where(mask[..., None], audio, visual)], dim=1)
    if weights is None and isinstance(head.pooling, AttentionPooling):
        weights = Weights.of(head.pooling)
    return VideoSide(parts, mask, gate, weights)


def _shares(texts: TextSide, videos: VideoSide, own: TextSide | None) -> Float[Tensor, "videos *parts frames texts"]:
    """Where each pair's frames lie: the gates, which are shares of the sound; where tokens are fused, the share of each part.

    One text's where they don't depend on the text (`own`: each video's own caption).
    """
    if videos.gate is None:
        return videos.parts.new_zeros((*videos.mask.shape, 1))
    if own is not None and own.gate is not None:
        of_text = own.gate[(slice(None), *[None] * videos.gate.ndim)]
    else:
        assert texts.gate is not None
        of_text = texts.gate
    gates = torch.sigmoid(videos.gate[..., None] + of_text)
    if not videos.fuses_tokens:
        return gates * videos.mask[..., None]
    gates = gates.transpose(1, 2) * videos.mask[:, None, :, None]
    return torch.cat([(1 - gates) / gates.shape[1], gates.mean(1, keepdim=True)], 1)


def at(
    ends: Float[Tensor, "videos parts frames #texts"], share: Float[Tensor, "videos *parts frames #texts"]
) -> Float[Tensor, "videos frames #texts"]:
    """What the ends of each frame have at its share; either may be the same for all texts."""
    if share.ndim == 4:
        return (ends * share).sum(1)
    return ends[:, 0] if ends.shape[1] == 1 else torch.lerp(ends[:, 0], ends[:, 1], share)


def _of_parts(weights: Float[Tensor, "videos frames texts"], share: Tensor, parts: int) -> Tensor:
    """Weights of frames as weights of their parts, (videos, parts * frames, texts)."""
    if share.ndim == 4:
        return (weights[:, None] * share).flatten(1, 2)
    if parts == 1:
        return weights
    of_sound = weights * share
    return torch.cat([weights - of_sound, of_sound], 1)


def explain(
    head: "GatedHead", texts: TextSide, videos: VideoSide
) -> tuple[Float[Tensor, "texts videos frames"], Float[Tensor, "texts videos frames"]]:
    """Gate and attention of all pairs' frames. A frame's gate is the mean of its tokens' where tokens are fused: the share of the
    sound in the frame all the same."""
    share = _shares(texts, videos, None)
    weights, _ = _attention(head, texts, videos, share, None)
    shape = (len(texts.text), *videos.mask.shape)
    gate = share[:, -1] if videos.fuses_tokens else share
    return gate.permute(2, 0, 1).expand(shape), weights.permute(2, 0, 1).expand(shape)


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
    return (at(ends, share) * inverse).softmax(1), inverse


def pool(
    head: "GatedHead",
    texts: TextSide,
    videos: VideoSide,
    gate_own: TextSide | None = None,
    pool_own: TextSide | None = None,
) -> Pooled | Pairs:
    """Pooled embeddings of all pairs; `gate_own`, `pool_own`: by each video's own caption. Dropout is not applied."""
    return pool_and_shares(head, texts, videos, gate_own, pool_own)[0]


def pool_and_shares(
    head: "GatedHead", texts: TextSide, videos: VideoSide, gate_own: TextSide | None, pool_own: TextSide | None
) -> tuple[Pooled | Pairs, Tensor]:
    """Pooled embeddings, and the shares that made them."""
    share, coefficients = _attended(head, texts, videos, gate_own, pool_own)
    if videos.fuses_tokens:
        return _pool_parts(head, videos, coefficients), share
    basis, forms = videos.pooled
    if isinstance(head.pooling, AttentionPooling):
        dim = videos.parts.shape[-1]
        coefficients = with_one(coefficients)
        for norm, form in zip((head.pooling.norm_attended, head.pooling.norm_pooled), forms[:2], strict=True):
            coefficients = with_one(coefficients * (form(coefficients) / dim + norm.eps).rsqrt()[:, None])
    return Pooled(coefficients, basis, forms[-1]), share


def _pool_parts(head: "GatedHead", videos: VideoSide, coefficients: Float[Tensor, "videos n texts"]) -> Pairs:
    """Where tokens are fused: a frame has many parts, so folding goes no further than the attended mean of the frames.

    What is saved is every tensor of (texts, videos, frames, dim). The pooling's dropout is applied where it is in training.
    """
    pooling = head.pooling
    if not isinstance(pooling, AttentionPooling):
        return Pairs(torch.bmm(coefficients.transpose(1, 2), videos.parts.flatten(1, 2)))
    centred = videos.centred.flatten(1, 2) * pooling.norm_inputs.weight
    mean = torch.bmm(coefficients.transpose(1, 2), centred) + pooling.norm_inputs.bias
    return Pairs(pooling.finish(pooling.out(pooling.value(mean))))


def _attended(
    head: "GatedHead", texts: TextSide, videos: VideoSide, gate_own: TextSide | None, pool_own: TextSide | None
) -> tuple[Tensor, Float[Tensor, "videos n texts"]]:
    """The shares, and the attended mean of the frames as coefficients of their parts."""
    share = _shares(texts, videos, gate_own)
    weights, inverse = _attention(head, texts, videos, share, pool_own)
    if inverse is None:
        inverse = videos.squares.at(share).clamp(min=1e-24).rsqrt()
    return share, _of_parts(weights * inverse, share, videos.parts.shape[1])


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
    _, coefficients = _attended(head, texts, videos, gate_own, pool_own)
    if videos.fuses_tokens:
        return _pool_parts(head, videos, coefficients)
    coefficients = with_one(coefficients)
    before = videos.weights.before_second(videos.centred.flatten(1, 2))
    inverse = (Form.of(before)(coefficients) / videos.parts.shape[-1] + norm.eps).rsqrt()
    coefficients = with_one(coefficients * inverse[:, None]).transpose(1, 2)
    vectors = before * norm.weight
    attended = join(vectors, norm.bias)
    dropped = pooling.dropout(torch.bmm(coefficients, join(vectors @ linear.weight.t(), linear(norm.bias))))
    return Pairs(pooling.norm_pooled(torch.baddbmm(dropped, coefficients, attended)))
