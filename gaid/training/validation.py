"""How a head is evaluated on validation videos, and when one set of weights is better than another.

Text-to-video R@1 decides. On a hundred videos it moves in whole points, so ties are broken by the mean R@1 of both
directions, then by the mean rank of both. Only a strictly better evaluation replaces the best, so the earliest of equal
ones is kept.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from gaid import metrics
from gaid.heads import Head
from gaid.heads.features import Features
from gaid.stores.split import Split, first_captions

# With fewer validation clips each is more than two points of R@1, and most differences between epochs are chance.
ENOUGH_TO_CHOOSE = 50


class Validation:
    """Scores a head on validation clips under the protocol that it is trained by; scoring takes up to `memory` bytes."""

    def __init__(self, split: Split, head: Head, device: str, protocol: str = "query", *, memory: int = 2**30) -> None:
        self.clips = len(split.video_ids)
        self.data = Features.of(split, device, head)
        self.video_of_caption = split.caption_video
        self.options: dict[str, Any] = {"memory": memory}
        if protocol == "published":
            own = torch.from_numpy(first_captions(split.caption_video, self.clips)).to(device)
            self.options |= {"gate_by": "own_caption", "pool_by": "own_caption", "own_caption": own}

    def fit(self, head: Head) -> None:
        """Lets a head that asks for it choose its numbers on the validation clips."""
        if head.fits_validation:
            data = self.data
            owner = torch.from_numpy(self.video_of_caption)
            head.fit(data.text, data.visual, data.audio, data.audio_mask, owner)

    def evaluate(self, head: Head) -> dict[str, Any] | None:
        """{"t2v": metrics, "v2t": metrics} of the head in evaluation mode; None where a score is NaN."""
        training = head.training
        head.eval()
        try:
            with torch.inference_mode():
                data = self.data
                options = self.options
                if "own_caption" in options and head.has_trials:
                    options = options | {"noise": "pair"}  # as the published evaluation draws it
                scores = head.score(data.text, data.visual, data.audio, data.audio_mask, **options)
        finally:
            head.train(training)
        table = scores.float().cpu().numpy()
        if np.isnan(table).any():
            return None
        return {way: metrics.retrieval_metrics(table, self.video_of_caption, way) for way in metrics.DIRECTIONS}


def merit(found: dict[str, Any]) -> tuple[float, float, float]:
    """What evaluations are compared by, the larger the better."""
    t2v, v2t = found["t2v"], found["v2t"]
    return t2v["R@1"], (t2v["R@1"] + v2t["R@1"]) / 2, -(t2v["MnR"] + v2t["MnR"]) / 2


def kept_untrained(best: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
    """Whether a head that was trained for some steps is kept as it was before the first."""
    return last["step"] > 0 and best["step"] == 0


def notes_on_choice(clips: int, best: Mapping[str, Any], last: Mapping[str, Any]) -> list[str]:
    """What a reader must know of how the kept head was chosen: sentences, none where validation could choose well.

    `clips` is the number of validation clips, `best` and `last` are evaluations ("step", "epoch"). A head without
    anything to train, whose only evaluation is that before the first step, has no choice to doubt.
    """
    if not last["step"]:
        return []
    notes = []
    if kept_untrained(best, last):
        notes.append(f"the untrained head was kept: none of the {last['epoch']} epochs was better on validation")
    if clips < ENOUGH_TO_CHOOSE:
        count = f"{clips} validation clips are" if clips > 1 else "1 validation clip is"
        notes.append(
            f"{count} too few to choose among epochs: each is {100 / clips:.1f} points of validation R@1, so the choice is "
            "largely chance"
        )
    return notes
