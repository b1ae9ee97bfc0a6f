"""A complete head of your own: `gaid train-head --store STORE --preset examples/own_head.py:OwnHead --set head.sound=0.2`."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from gaid.heads import HeadBase, LossParts


class OwnHead(HeadBase):
    """The mean of the frames plus a share of their sound, both projected into the space of the texts."""

    def __init__(self, visual_dim, audio_dim, text_dim, dim, frames, sound=0.1):
        sizes = {"visual_dim": visual_dim, "audio_dim": audio_dim, "text_dim": text_dim, "dim": dim, "frames": frames}
        super().__init__(**sizes, sound=sound)
        self.text = nn.Linear(text_dim, dim)
        self.visual = nn.Linear(visual_dim, dim)
        self.audio = nn.Linear(audio_dim, dim)

    def score(self, text, visual, audio, audio_mask=None, **_):
        """Cosines (texts, videos) of text (T, text_dim) with visual (V, F, visual_dim) and audio (V, F, audio_dim)."""
        sound = self.audio(audio.float())
        if audio_mask is not None:
            sound = sound * audio_mask[..., None]
        videos = (self.visual(visual.float()) + self.config["sound"] * sound).mean(1)
        return normalize(self.text(text.float()), dim=-1) @ normalize(videos, dim=-1).T

    def loss(self, text, visual, audio, audio_mask, same=None):
        """Contrastive loss of a batch; text i belongs to video i. Where `same`, neither is a negative of the other."""
        logits = 20 * self.score(text, visual, audio, audio_mask)
        if same is not None:
            logits = logits.masked_fill(same, -torch.inf)
        pairs = torch.arange(len(text), device=logits.device)
        return LossParts((cross_entropy(logits, pairs) + cross_entropy(logits.T, pairs)) / 2)
