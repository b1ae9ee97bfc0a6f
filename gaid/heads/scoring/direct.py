"""Scoring all (text, video) pairs the plain way, every intermediate tensor made, in blocks of bounded memory.

It is what `folded` is held to, and the faster way for very few texts.
"""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from gaid.heads.base import By
from gaid.heads.gate import TokenGate
from gaid.heads.pair_noise import PairNoise
from gaid.heads.perturbation import DirectionalPerturbation, StochasticPerturbation
from gaid.heads.scoring.plan import pairs_at_once, prefers_large_launches

if TYPE_CHECKING:
    from gaid.heads.gated import GatedHead
    from gaid.heads.scoring.blocks import VideoSource

TEXTS = 64


def fuse(
    head: "GatedHead",
    words: Tensor,
    seen: Tensor,
    heard: Tensor,
    mask: Tensor,
    gate_by: By,
    pool_by: By,
    own: Tensor | None = None,
    pool_own: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The text that pools (T or 1, V or 1, D), the fused frames (T or 1, V, F, D) and the gates (T or 1, V, F) of all pairs.

    `own`: the videos' own captions' texts (V, D), by default `words`; `pool_own` those that pool, by default the same. A frame's gate is the mean of its tokens' where
    tokens are fused: the share of the sound in the frame all the same.
    """
    own = words if own is None else own
    pool_own = own if pool_own is None else pool_own
    pooling_text = pool_own[None] if pool_by == "own_caption" else words[:, None]
    if head.gate is None:
        return pooling_text, seen[None], seen.new_zeros((1, *mask.shape))
    of_text = head.gate.of_text(own)[None] if gate_by == "own_caption" else head.gate.of_text(words)[:, None]
    of_frames = head.gate.of_frames(seen, heard, mask)
    if isinstance(head.gate, TokenGate):
        tokens = torch.sigmoid(of_text[..., None, None] + of_frames) * mask[..., None]
        gate = tokens.mean(-1)
        # The mean over tokens of gate * sound + (1 - gate) * token, without the fused tokens.
        given_up = torch.einsum("tvfp,vfpd->tvfd", tokens, seen) / seen.shape[2]
        return pooling_text, gate[..., None] * heard + seen.mean(2) - given_up, gate
    gate = torch.sigmoid(of_text[..., None] + of_frames) * mask
    return pooling_text, torch.lerp(seen, heard, gate[..., None]), gate


def fuse_own(head: "GatedHead", words: Tensor, seen: Tensor, heard: Tensor, mask: Tensor) -> Float[Tensor, "b f d"]:
    """Each video's frames as its own text fuses them; text i is video i's."""
    if head.gate is None:
        return seen
    of_text, of_frames = head.gate.of_text(words)[:, None], head.gate.of_frames(seen, heard, mask)
    if isinstance(head.gate, TokenGate):
        tokens = torch.sigmoid(of_text[..., None] + of_frames) * mask[..., None]
        return torch.lerp(seen, heard[:, :, None], tokens[..., None]).mean(2)
    gate = torch.sigmoid(of_text + of_frames) * mask
    return torch.lerp(seen, heard, gate[..., None])


def score(
    head: "GatedHead",
    words: Float[Tensor, "texts dim"],
    source: "VideoSource",
    own_caption: Tensor,
    pool_caption: Tensor,
    gate_by: By,
    pool_by: By,
    memory: int,
    seed: int,
    own_noise: PairNoise | None = None,
) -> Float[Tensor, "texts videos"]:
    """Scores of all pairs: about a dozen tensors of (texts, videos, frames, dim) a block."""
    videos, frames = len(own_caption), source.frames
    trials = 1
    if isinstance(head.perturbation, StochasticPerturbation) and own_noise is None:
        trials = head.perturbation.trials
    at_once = 0
    if own_noise is not None:
        cached = not prefers_large_launches(words.device)
        at_once = pairs_at_once(own_noise.trials * own_noise.dim, memory, cached)
    pair = words.element_size() * (words.shape[1] * max(12 * frames, 4 * trials) + 4 * source.tokens)
    rows = max(1, min(len(words), TEXTS))
    step = max(1, min(videos, memory // (pair * rows + source.bytes_per_video)))
    rows = max(1, min(rows, memory // pair))
    scores = words.new_empty(len(words), videos)
    for start in range(0, videos, step):
        stop = min(start + step, videos)
        seen, heard, mask = source(start, stop)
        own, pool_own = words[own_caption[start:stop]], words[pool_caption[start:stop]]
        for first in range(0, len(words), rows):
            block = words[first : first + rows]
            pooling_text, fused, _ = fuse(head, block, seen, heard, mask, gate_by, pool_by, own, pool_own)
            shape = (len(block), stop - start, words.shape[1])
            pooled = functional.normalize(head.pooling(pooling_text, fused), dim=-1).expand(shape)
            if own_noise is None:
                scores[first : first + rows, start:stop] = _compare(head, block, fused, pooled, first, seed)
                continue
            assert head.perturbation is not None
            std = head.perturbation.deviation(block[:, None], fused).exp().expand(shape)
            choosing = pooled if pool_by == "query" else head.pooling(block[:, None], fused).expand(shape)
            scores[first : first + rows, start:stop] = own_noise.best(
                first, start, block, std, choosing, pooled, at_once
            )
    return scores


def _compare(head: "GatedHead", words: Tensor, fused: Tensor, pooled: Tensor, first: int, seed: int) -> Tensor:
    if head.perturbation is None:
        return torch.einsum("td,tvd->tv", functional.normalize(words, dim=-1), pooled)
    std = head.perturbation.deviation(words[:, None], fused).exp()
    if isinstance(head.perturbation, DirectionalPerturbation):
        moved = words[:, None] + head.perturbation.alpha * std
        return (functional.normalize(moved, dim=-1) * pooled).sum(-1)
    noise = head.perturbation.noise(first, first + len(words), words, seed)
    moved = words[:, None, None] + noise[:, None] * std[:, :, None]
    return torch.einsum("tvkd,tvd->tvk", functional.normalize(moved, dim=-1), pooled).amax(-1)
