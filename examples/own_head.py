"""A head of one's own, whole: `gaid train-head --store STORE --preset examples/own_head.py:OwnHead --set head.sound=0.2`."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from gaid.heads import HeadBase, LossParts


class OwnHead(HeadBase):
    """Mean picture plus a share of the mean sound, both moved to where texts are."""

    def __init__(self, visual_dim, audio_dim, text_dim, dim, frames, sound=0.1):
        super().__init__(
            visual_dim=visual_dim, audio_dim=audio_dim, text_dim=text_dim, dim=dim, frames=frames, sound=sound
        )
        self.text, self.visual, self.audio = (
            nn.Linear(text_dim, dim),
            nn.Linear(visual_dim, dim),
            nn.Linear(audio_dim, dim),
        )

    def score(self, text, visual, audio, audio_mask=None, **_):
        heard = self.audio(audio.float()) if audio_mask is None else self.audio(audio.float()) * audio_mask[..., None]
        videos = (self.visual(visual.float()) + self.config["sound"] * heard).mean(1)
        return normalize(self.text(text.float()), dim=-1) @ normalize(videos, dim=-1).T

    def loss(self, text, visual, audio, audio_mask, same=None):
        logits = 20 * self.score(text, visual, audio, audio_mask)
        logits = logits if same is None else logits.masked_fill(same, -torch.inf)
        pairs = torch.arange(len(text), device=logits.device)
        return LossParts((cross_entropy(logits, pairs) + cross_entropy(logits.T, pairs)) / 2)
