"""Changes to a trained head itself: its gate forced, DASP's alpha set, its direction replaced. Features are not changed.

A probe applies to heads that have the part in question; `has_gate` and `has_dasp` ask.
"""

import math

import numpy as np
import torch

from gaid.evaluation.sound import explain_own
from gaid.heads import GatedHead, Head
from gaid.heads.features import Features
from gaid.heads.gate import FrameGate
from gaid.heads.perturbation import DirectionalPerturbation, StochasticPerturbation
from gaid.heads.scoring import direct
from gaid.heads.trial_noise import Law

ALPHAS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)


class TurnedPerturbation(StochasticPerturbation):
    """DASP as trained but for its direction: each text's std gets random signs, which keep its length and not its direction.

    One draw per text, the same for all videos, as STP draws its trials.
    """

    def __init__(self, like: DirectionalPerturbation, frames: int) -> None:
        linear = like.deviation.linear
        super().__init__(linear.out_features, frames, trials=1)
        self.deviation = like.deviation
        self.alpha = float(like.alpha.detach())

    @property
    def law(self) -> Law:
        """alpha or -alpha for each number of a text."""
        return lambda whole: torch.where(whole < 0, -self.alpha, self.alpha).to(whole.dtype)


def has_gate(head: Head) -> bool:
    """Whether the head has a gate that can be forced."""
    return isinstance(head, GatedHead) and head.uses_audio


def has_dasp(head: Head) -> bool:
    """Whether the head moves its texts as DASP does."""
    return isinstance(head, GatedHead) and isinstance(head.perturbation, DirectionalPerturbation)


def _dasp(head: Head) -> DirectionalPerturbation:
    assert isinstance(head, GatedHead)
    assert isinstance(head.perturbation, DirectionalPerturbation)
    return head.perturbation


def alpha(head: Head) -> float:
    """The alpha of the trained head."""
    return float(_dasp(head).alpha.detach())


def force_gate(head: Head, value: float) -> None:
    """Sets the gate of all frames, from 0 (picture only) to 1 (sound only)."""
    assert isinstance(head, GatedHead)
    assert isinstance(head.gate, FrameGate)
    logit = math.inf if value >= 1 else -math.inf if value <= 0 else math.log(value / (1 - value))
    with torch.no_grad():
        head.gate.linear.weight.zero_()
        head.gate.linear.bias.fill_(logit)


def set_alpha(head: Head, value: float) -> None:
    """Sets alpha."""
    with torch.no_grad():
        _dasp(head).alpha.fill_(value)


def turn_direction(head: Head) -> None:
    """Replaces DASP's direction by a random one per text, at the same distance from the text."""
    head.perturbation = TurnedPerturbation(_dasp(head), head.config["frames"])


def mean_gate(head: Head, features: Features, caption_video: np.ndarray) -> float:
    """Mean gate of the frames that have sound, over all captions with their own videos; 0.5 where there is no sound."""
    explained = explain_own(head, features, caption_video)
    sounding = features.audio_mask.cpu().numpy()[caption_video]
    return float(explained["gate"][sounding].mean()) if explained is not None and sounding.any() else 0.5


@torch.inference_mode()
def own_deviation(head: Head, features: Features, caption_video: np.ndarray) -> np.ndarray:
    """(captions) length of std of each caption with its own video: how far one unit of alpha moves the text."""
    assert isinstance(head, GatedHead)
    found = np.empty(len(caption_video), np.float32)
    for start in range(0, len(caption_video), 64):
        rows = slice(start, start + 64)
        text = head.embed_text(features.text[rows])
        own = torch.from_numpy(caption_video[rows])
        fused = direct.fuse_own(head.parts, text, *head.project_videos(*features.videos(own)))
        found[rows] = _dasp(head).deviation(text, fused).exp().norm(dim=-1).float().cpu().numpy()
    return found
