"""Queries of one search that the same head answers, together. Which head that is, the searcher says."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gaid.retrieval.lens import Background, Lens

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Round:
    """Queries that one head answers. Its lens compares the vectors of the queries, then those of what they leave out.

    `places`: of the queries among all. `owners`: the query, by its number in the round, that each phrase left out belongs to.
    `background`: None where nothing is compared with it.
    """

    places: list[int]
    owners: list[int]
    lens: Lens
    background: Background | None
    finder: Lens | None = None  # by which candidates are taken from an index

    def ranked(self, scores: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """Scores (queries, V), less by what clips score above the library for what a query leaves out, from scores (queries and
        phrases, V)."""
        if self.background is None:
            return scores
        count = len(self.places)
        less = scores[:count].copy()
        for owner, above in zip(self.owners, self.background.above(scores)[count:], strict=True):
            less[owner] -= np.maximum(above, 0)
        return less
