"""The published way of evaluating and training, re-stated from its description (docs/method.md, sections 1 to 4 and 7).

Every tensor of all pairs is made and kept; the gallery is gated and pooled by its own captions; the last step multiplies each
video's texts with all videos and keeps one. Written for comparison only; nothing of the published code is in it.
"""

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from gaid.heads.gated import GatedHead
from gaid.heads.losses import info_nce, positive_weights
from gaid.heads.perturbation import DirectionalPerturbation
from gaid.heads.pooling import AttentionPooling


class PlainPooling(AttentionPooling):
    """Attention pooling in the published order: the key and the value of every pair's every frame are made."""

    def forward(self, text: Tensor, fused: Tensor, drop: bool = False) -> Tensor:
        inputs = self.norm_inputs(fused)
        logits = torch.einsum("...d,...fd->...f", self.query(self.norm_inputs(text)), self.key(inputs))
        attention = (logits / fused.shape[-1] ** 0.5).softmax(-1)
        return self.finish(self.out(torch.einsum("...f,...fd->...d", attention, self.value(inputs))), drop)


def plainly(head: GatedHead) -> GatedHead:
    """A head with the same weights (the very ones) that pools in the published order."""
    plain = copy.copy(head)
    plain._modules = dict(head._modules)
    if isinstance(head.pooling, AttentionPooling):
        pooling = copy.copy(head.pooling)
        pooling.__class__ = PlainPooling
        plain._modules["pooling"] = pooling
    return plain


@torch.inference_mode()
def evaluate(head: GatedHead, text: Tensor, visual: Tensor, audio: Tensor, mask: Tensor) -> Tensor:
    """Scores (texts, videos) of GAID's evaluation; text i is video i's own caption.

    Equal to `head.score(..., gate_by="own_caption", pool_by="own_caption")`. Holds four tensors of (videos, texts, dim).
    """
    assert isinstance(head.perturbation, DirectionalPerturbation)
    words = head.embed_text(text)
    seen, heard, mask = head.project_videos(visual, audio, mask)
    of_text, of_frames = head.gate.of_text(words), head.gate.of_frames(seen, heard, mask)
    gate = torch.sigmoid(of_text[:, None] + of_frames) * mask
    fused = torch.lerp(seen, heard, gate[..., None])
    # All videos under all texts, although the diagonal alone is used further on.
    pooled = plainly(head).pooling(words[None], fused[:, None])
    sims = torch.einsum("td,vfd->tvf", functional.normalize(words, dim=-1), functional.normalize(fused, dim=-1))
    moved = words[:, None] + head.perturbation.alpha * head.perturbation.deviation.linear(sims).exp()
    moved = functional.normalize(moved, dim=-1).transpose(0, 1).contiguous()
    directions = functional.normalize(pooled, dim=-1)
    own = directions.diagonal(dim1=0, dim2=1).contiguous()
    everything = torch.bmm(moved, own.expand(len(moved), -1, -1))
    return everything.diagonal(dim1=0, dim2=2).contiguous()


class ClipByClip(Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """A data set that opens a clip's features when it is asked for the clip, from a store on disk."""

    def __init__(self, store: Any, captions: list[int]) -> None:
        self.store, self.captions = store, captions
        self.names = ("videos/visual", "videos/audio", "videos/audio_mask")

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, video: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        text = torch.from_numpy(self.store["captions/embedding"][self.captions[video]]).float()
        visual, audio, mask = (torch.from_numpy(self.store[name][video]) for name in self.names)
        return text, visual.float(), audio.float(), mask


def load(store: Any, captions: list[int], batch: int, seed: int) -> DataLoader[Any]:
    """Shuffled batches of clips that are read one by one."""
    return DataLoader(
        ClipByClip(store, captions), batch, shuffle=True, drop_last=True, generator=torch.Generator().manual_seed(seed)
    )


def loss(
    head: GatedHead, text: Tensor, visual: Tensor, audio: Tensor, mask: Tensor, noise: Tensor | None = None
) -> Tensor:
    """The loss of a batch with every pair's fused frames and embedding made; `noise`: DASP's draw, if not one of its own."""
    assert isinstance(head.perturbation, DirectionalPerturbation)
    words = head.embed_text(text)
    seen, heard, mask = head.project_videos(visual, audio, mask)
    logits = head.gate.of_text(words)[:, None, None] + head.gate.of_frames(seen, heard, mask)
    fused = torch.lerp(seen, heard, (torch.sigmoid(logits) * mask)[..., None])
    pooled = plainly(head).pooling(words[:, None], fused)
    own = fused.diagonal(dim1=0, dim2=1).permute(2, 0, 1)
    std = head.perturbation.deviation(words, own).exp()
    perturbed = head.perturbation.perturb(words, std) if noise is None else head.perturbation.perturb(words, std, noise)
    sims = torch.einsum("td,tvd->tv", functional.normalize(perturbed, dim=-1), functional.normalize(pooled, dim=-1))
    weights = positive_weights(sims, head.positive_weights) if head.weighted_loss else None
    return info_nce(sims, head.logit_scale, weights)


def step(head: GatedHead, optimiser: torch.optim.Optimizer, batch: tuple[Tensor, ...]) -> float:
    """One step of training as published: loss, gradient norm clipped at 1, AdamW."""
    optimiser.zero_grad()
    found = loss(head, *batch)
    found.backward()
    torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
    optimiser.step()
    return float(found.detach())
