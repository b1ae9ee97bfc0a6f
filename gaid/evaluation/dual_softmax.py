"""Figures with a second softmax: what each form is taken over, and ranks and gains beside those of the plain scores.

The formula itself is `scoring.dual_softmax`.
"""

from typing import TYPE_CHECKING

import numpy as np

from gaid import metrics
from gaid.evaluation.conditioning import places_of
from gaid.evaluation.figures import Figures, difference_of, figures_of, paired_intervals
from gaid.evaluation.ranks import Ranks
from gaid.evaluation.results import DualSoftmaxGain
from gaid.evaluation.scoring import DualSoftmax, Over, dual_softmax, ranks_of

if TYPE_CHECKING:
    from gaid.evaluation.bench import Bench


def taken_over(form: DualSoftmax, direction: str) -> Over:
    """Whether a form of the second softmax is taken over texts or over videos in a direction."""
    return "texts" if form == "published" or direction == "t2v" else "videos"


def groups_of(form: DualSoftmax, caption_video: np.ndarray) -> list[np.ndarray] | None:
    """Rows of texts whose softmax is taken together, or None for all: as published, the captions of one place of every video.

    The published array is (videos, captions per video, videos), and its softmax goes over the first axis.
    """
    places = places_of(caption_video)
    if form != "published" or not places.any():
        return None
    return [np.flatnonzero(places == place) for place in range(int(places.max()) + 1)]


class SecondSoftmax:
    """Collects ranks with a second softmax, member by member: it watches `Bench.measure` of the plain scores."""

    def __init__(self, form: DualSoftmax, bench: "Bench") -> None:
        self.form, self.bench = form, bench
        self.groups = groups_of(form, bench.owner)
        self.ranks: dict[metrics.Direction, list[np.ndarray]] = {one: [] for one in bench.directions}

    def watch(self, member: int, scores: np.ndarray) -> None:
        """Ranks a member's scores (captions, videos); the softmax is taken once where both directions are read off it."""
        ways: dict[Over, list[metrics.Direction]] = {}
        for one in self.ranks:
            ways.setdefault(taken_over(self.form, one), []).append(one)
        memory = self.bench.memory
        for over, directions in ways.items():
            sharpened = dual_softmax(scores, over, self.groups, memory=memory)
            for one in directions:
                self.ranks[one].append(ranks_of(sharpened, self.bench.owner, one, memory=memory))

    def beside(self, plain: dict[str, Figures], ranks: Ranks) -> DualSoftmaxGain:
        """The figures, and their differences to the `plain` ones of these `ranks`."""
        found = Ranks({one: np.stack(rows) for one, rows in self.ranks.items()}, ranks.clusters, ranks.gallery)
        figures = figures_of(found, self.bench.seed)
        return DualSoftmaxGain(
            self.form, figures, difference_of(figures, plain), paired_intervals(found, ranks, self.bench.seed)
        )
