"""Scoring all (text, video) pairs without ever making a pair's features (docs/method.md, section 8).

Every fused frame lies on the line between its picture and its audio, and the gate says where. So its mean, norm and
products are numbers that the gate combines, and the pooled embedding of a pair is a combination of a few vectors that
depend on the video alone. What is left per pair are those few coefficients; norms come from Gram matrices of the vectors.
The same functions serve training (they are differentiable); with dropout between the layers they go as far as it.

How ends, weights and embeddings are computed is each part's own; here they are put together. Held to `direct` by tests.

Inside a block tensors are (videos, ..., texts): products with a video's vectors come out so, every sum over frames or
vectors then runs along whole rows of texts, and no tensor is ever turned.
"""

from jaxtyping import Bool, Float
from torch import Tensor

from gaid.heads.scoring.algebra import Pairs, Pooled
from gaid.heads.scoring.parts import Parts
from gaid.heads.scoring.sides import FoldedPooling, TextSide, VideoSide


def text_side(parts: Parts, text: Float[Tensor, "texts dim"]) -> TextSide:
    """The texts' part of gates and attention; `text` after its projection."""
    return TextSide(text, parts.gate.of_text(text), parts.pooling.ask(text))


def text_side_in_blocks(parts: Parts, text: Float[Tensor, "texts dim"], size: int = 1024) -> TextSide:
    """`text_side` without its intermediate tensors of all texts: what is held of a text is itself and its query."""
    first = text_side(parts, text[:size])
    if len(text) <= size:
        return first
    whole = TextSide(text, text.new_empty(len(text)), text.new_empty(len(text), first.query.shape[1]))
    for start in range(0, len(text), size):
        rows = slice(start, start + size)
        side = text_side(parts, text[rows])
        whole.gate[rows], whole.query[rows] = side.gate, side.query
    return whole


def video_side(
    parts: Parts,
    visual: Float[Tensor, "videos frames *patches dim"],
    audio: Float[Tensor, "videos frames dim"],
    mask: Bool[Tensor, "videos frames"],
    pooling: FoldedPooling | None = None,
) -> VideoSide:
    """The videos' part: everything that is computed once per video; features after their projections.

    `pooling`: the head's pooling folded, where that is at hand.
    """
    of_frames, ends = parts.gate.of_frames(visual, audio, mask), parts.gate.ends(visual, audio, mask)
    return VideoSide(ends, mask, of_frames, parts.gate, parts.pooling.fold() if pooling is None else pooling)


def explain(
    texts: TextSide, videos: VideoSide
) -> tuple[Float[Tensor, "texts videos frames"], Float[Tensor, "texts videos frames"]]:
    """The audio's share and the attention of all pairs' frames."""
    shares = _shares(texts, videos, None)
    weights, _ = videos.pooling.attention(texts, videos, shares, own=False)
    shape = (len(texts.text), *videos.mask.shape)
    of_audio = videos.gate.audio_share(shares)
    return of_audio.permute(2, 0, 1).expand(shape), weights.permute(2, 0, 1).expand(shape)


def pool(
    texts: TextSide,
    videos: VideoSide,
    gate_own: TextSide | None = None,
    pool_own: TextSide | None = None,
    drop: bool = False,
) -> Pooled | Pairs:
    """Pooled embeddings of all pairs; `gate_own`, `pool_own`: by each video's own caption. `drop`: with dropout."""
    return pool_and_shares(texts, videos, gate_own, pool_own, drop)[0]


def pool_and_shares(
    texts: TextSide, videos: VideoSide, gate_own: TextSide | None, pool_own: TextSide | None, drop: bool = False
) -> tuple[Pooled | Pairs, Tensor]:
    """Pooled embeddings, and the shares that made them."""
    shares = _shares(texts, videos, gate_own)
    asking = texts if pool_own is None else pool_own
    weights, scale = videos.pooling.attention(asking, videos, shares, own=pool_own is not None)
    coefficients = videos.gate.of_ends(weights * scale, shares)
    of_frames = videos.pooling.pool_tokens if videos.gate.fuses_tokens else videos.pooling.pool
    return of_frames(videos, coefficients, drop), shares


def _shares(texts: TextSide, videos: VideoSide, own: TextSide | None) -> Float[Tensor, "videos *ends frames #texts"]:
    """Where each pair's frames lie; one text's where that does not depend on the text (`own`: each video's own caption)."""
    of_text = texts.gate if own is None else own.gate[(slice(None), *[None] * videos.of_frames.ndim)]
    return videos.gate.shares(of_text, videos.of_frames, videos.mask)
