"""Figures with a second softmax: what its forms are taken over, and ranks and gains beside those of the plain scores.

The formula itself is `scoring.dual_softmax`.
"""

from collections.abc import Sequence

import numpy as np

from gaid import metrics
from gaid.evaluation.conditioning import places_of
from gaid.evaluation.results import DIRECTION, Doubled, Figures, difference_of, figures_of
from gaid.evaluation.scoring import DualSoftmax, Over, dual_softmax, ranks_of


def taken_over(form: DualSoftmax, direction: str) -> Over:
    """What a form of the second softmax is taken over in a direction."""
    return "texts" if form == "published" or direction == "t2v" else "videos"


def groups_of(form: DualSoftmax, caption_video: np.ndarray) -> list[np.ndarray] | None:
    """The texts whose softmax is taken together: as published those of one place, where videos have several captions.

    The published array is (videos, captions per video, videos), and its softmax goes over the first axis.
    """
    places = places_of(caption_video)
    if form != "published" or not places.any():
        return None
    return [np.flatnonzero(places == place) for place in range(int(places.max()) + 1)]


class SecondSoftmax:
    """Collects ranks with a second softmax, seed by seed; `caption_video` (captions) is the row of each caption's video."""

    def __init__(
        self, form: DualSoftmax, caption_video: np.ndarray, directions: Sequence[str], *, memory: int, seed: int
    ) -> None:
        self.form, self.owner, self.memory, self.seed = form, caption_video, memory, seed
        self.groups = groups_of(form, caption_video)
        self.ranks: dict[str, list[np.ndarray]] = {one: [] for one in directions}

    def add(self, scores: np.ndarray) -> None:
        """Ranks a member's scores (captions, videos); the softmax is taken once where both directions are read off it."""
        ways: dict[Over, list[str]] = {}
        for one in self.ranks:
            ways.setdefault(taken_over(self.form, one), []).append(one)
        for over, of_matrix in ways.items():
            doubled = dual_softmax(scores, over, self.groups, memory=self.memory)
            for one in of_matrix:
                self.ranks[one].append(ranks_of(doubled, self.owner, one, memory=self.memory))

    def beside(self, plain: dict[str, Figures], ranks: dict[str, list[np.ndarray]]) -> Doubled:
        """The figures, and their differences to the `plain` ones of these `ranks`."""
        figures = figures_of(self.ranks, self.owner, self.seed)
        spread = {
            one: metrics.intervals(
                np.stack(found),
                metrics.videos_of_ranks(self.owner, DIRECTION[one]),
                seed=self.seed,
                against=np.stack(ranks[one]),
            )
            for one, found in self.ranks.items()
        }
        return Doubled(self.form, figures, difference_of(figures, plain), spread)
