"""Scoring all (text, video) pairs the plain way, every intermediate tensor made, in blocks of bounded memory.

It is what `folded` is held to, and the faster way for very few texts.
"""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from gaid.heads.base import By
from gaid.heads.perturbation import PlainBlock
from gaid.heads.scoring.blocks import VideoSource
from gaid.heads.scoring.parts import Parts
from gaid.heads.scoring.plan import pairs_at_once, prefers_large_launches
from gaid.heads.trial_noise import TrialNoise

TEXTS = 64


def fuse(
    parts: Parts,
    text: Float[Tensor, "texts dim"],
    visual: Float[Tensor, "videos frames *patches dim"],
    audio: Float[Tensor, "videos frames dim"],
    mask: Tensor,
    gated_by: Float[Tensor, "videos dim"] | None = None,
) -> tuple[Float[Tensor, "#texts videos frames dim"], Float[Tensor, "#texts videos frames"]]:
    """The fused frames and the audio's share in each, of all pairs; one text's where they don't depend on the text.

    `gated_by`: the videos' own captions, where these gate them and not the text that asks.
    """
    of_text = parts.gate.of_text(text)[:, None] if gated_by is None else parts.gate.of_text(gated_by)[None]
    return parts.gate.fuse(of_text, visual, audio, mask)


def fuse_own(
    parts: Parts, text: Float[Tensor, "videos dim"], visual: Tensor, audio: Tensor, mask: Tensor
) -> Float[Tensor, "videos frames dim"]:
    """Each video's frames as its own text fuses them; text i is video i's."""
    return parts.gate.fuse(parts.gate.of_text(text), visual, audio, mask)[0]


def score(
    parts: Parts,
    text: Float[Tensor, "texts dim"],
    source: VideoSource,
    own_caption: Int[Tensor, " videos"],
    pool_caption: Int[Tensor, " videos"],
    gate_by: By,
    pool_by: By,
    memory: int,
    noise: TrialNoise | None,
) -> Float[Tensor, "texts videos"]:
    """Scores of all pairs: about a dozen tensors of (texts, videos, frames, dim) per block."""
    videos, frames, dim = len(own_caption), source.frames, text.shape[1]
    trials, at_once = parts.perturbation.trials, 0
    if noise is not None and noise.per_pair:
        trials = 1
        at_once = pairs_at_once(noise.trials * noise.dim, memory, cached=not prefers_large_launches(text.device))
    pair = text.element_size() * (dim * max(12 * frames, 4 * trials) + 4 * frames * source.tokens_per_frame)
    rows = max(1, min(len(text), TEXTS))
    step = max(1, min(videos, memory // (pair * rows + source.bytes_per_video)))
    rows = max(1, min(rows, memory // pair))
    scores = text.new_empty(len(text), videos)
    for start in range(0, videos, step):
        run = slice(start, min(start + step, videos))
        features = source(run.start, run.stop)
        gated_by = text[own_caption[run]] if gate_by == "own_caption" else None
        pooled_by = text[pool_caption[run]][None] if pool_by == "own_caption" else None
        for first in range(0, len(text), rows):
            some = text[first : first + rows]
            scores[first : first + rows, run] = score_block(
                parts, some, features, gated_by, pooled_by, first, start, noise, at_once
            )
    return scores


def score_block(
    parts: Parts,
    text: Float[Tensor, "texts dim"],
    features: tuple[Tensor, Tensor, Tensor],
    gated_by: Float[Tensor, "videos dim"] | None = None,
    pooled_by: Float[Tensor, "1 videos dim"] | None = None,
    first_text: int = 0,
    first_video: int = 0,
    noise: TrialNoise | None = None,
    pairs_at_once: int = 0,
) -> Float[Tensor, "texts videos"]:
    """Scores of one block; `features` after their projections, `gated_by` and `pooled_by` the videos' own captions."""
    fused, _ = fuse(parts, text, *features, gated_by)
    pooled = functional.normalize(parts.pooling(text[:, None] if pooled_by is None else pooled_by, fused), dim=-1)
    pooled = pooled.expand(len(text), fused.shape[1], text.shape[1])

    def by_query() -> Tensor:
        return pooled if pooled_by is None else parts.pooling(text[:, None], fused)

    comparison = parts.perturbation.of_texts(text, first_text, noise)
    return comparison.plain(PlainBlock(fused, pooled, by_query, first_video, pairs_at_once))
