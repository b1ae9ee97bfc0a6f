"""Losses over a batch's (text, video) similarities."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def positive_weights(sims: Float[Tensor, "batch batch"]) -> Float[Tensor, " batch"]:
    """Each positive's share of all positives' similarity, without gradient (GAID's weighted loss; method, section 4).

    The published division has no meaning where the shares would change sign: before training, positives may be as often
    negative as not. There all count alike.
    """
    positives = torch.diag(sims).detach()
    total = positives.sum()
    alike = torch.full_like(positives, 1 / len(positives))
    return torch.where(total > positives.abs().sum() / 2, positives / total, alike)


def info_nce(
    sims: Float[Tensor, "batch batch"],
    logit_scale: float,
    weights: Float[Tensor, " batch"] | None = None,
    same: Bool[Tensor, "batch batch"] | None = None,
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE; text i belongs to video i. `same[i, k]`: neither is a negative of the other's.

    weights: how much each positive counts, adding up to 1; all alike without. Method, section 4.
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
    """The text moved toward its video's mean embedding by its own std in each dimension (T-MASS; method, section 4)."""
    toward = mean_pooled - text
    return text + toward / toward.norm(dim=-1, keepdim=True) * std
