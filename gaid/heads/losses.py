"""Losses of a batch from its (text, video) similarities."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

PositiveWeights = Literal["clipped", "published"]


def positive_weights(sims: Float[Tensor, "batch batch"], form: PositiveWeights = "clipped") -> Float[Tensor, " batch"]:
    """Each positive's share of all positives' similarity, without gradient (GAID's weighted loss; docs/method.md, section 4).

    `clipped`: a positive whose similarity is not above 0 has no share; where none is above 0, all count equally. No share is
    negative, so the loss is at least 0 and never pushes a text and its own video apart.
    `published`: the plain quotient. A positive of negative similarity has a negative share: the loss has no lower bound and
    pushes that pair apart. The quotient is not finite where the similarities add up to 0.
    """
    positives = torch.diag(sims).detach()
    if form == "published":
        return positives / positives.sum()
    positives = positives.clamp(min=0)
    total = positives.sum()
    equal = torch.full_like(positives, 1 / len(positives))
    return torch.where(total >= torch.finfo(total.dtype).tiny, positives / total, equal)


def info_nce(
    sims: Float[Tensor, "batch batch"],
    logit_scale: float,
    weights: Float[Tensor, " batch"] | None = None,
    same: Bool[Tensor, "batch batch"] | None = None,
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE (docs/method.md, section 4); text i belongs to video i. `same[i, k]`: they are not negatives of each other.

    `weights`: how much each positive counts, adding up to 1; equally without them.
    """
    logits = sims * logit_scale
    if same is not None:
        others = ~torch.eye(len(sims), dtype=torch.bool, device=sims.device)
        logits = logits.masked_fill(same & others, -torch.inf)
    of_texts = torch.diag(logits.log_softmax(1))
    of_videos = torch.diag(logits.log_softmax(0))
    if weights is None:
        return -(of_texts.mean() + of_videos.mean()) / 2
    return -((of_texts * weights).sum() + (of_videos * weights).sum()) / 2


def support_embedding(
    text: Float[Tensor, "batch dim"], mean_pooled: Float[Tensor, "batch dim"], std: Float[Tensor, "batch dim"]
) -> Float[Tensor, "batch dim"]:
    """The text moved toward its video's mean embedding by its own std in each dimension (T-MASS; docs/method.md, section 4)."""
    toward = mean_pooled - text
    return text + toward / toward.norm(dim=-1, keepdim=True) * std
