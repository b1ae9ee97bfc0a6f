"""Queries of one search that the same head answers, together. Which head that is, the searcher says."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from gaid.retrieval.lens import Background, Lens
from gaid.retrieval.speech import Spoken

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOVED = 300  # clips that speech raises, whose scores by the head are computed


@dataclass(frozen=True)
class Round:
    """Queries that one head answers. Its lens compares the vectors of the queries, then those of what they leave out.

    `places`: of the queries among all. `owners`: the query, by its number in the round, that each phrase left out belongs to.
    `background`: None where nothing is compared with it. `spoken`: how well what is said fits, where that counts.
    """

    places: list[int]
    owners: list[int]
    lens: Lens
    background: Background | None
    finder: Lens | None = None  # by which candidates are taken from an index
    spoken: Spoken | None = None

    @cached_property
    def lifts(self) -> "NDArray[np.float32] | None":
        """(queries, C) what speech adds to the scores of the clips in which something is said; None where it does not count."""
        if self.spoken is None or self.background is None:
            return None
        count = len(self.places)
        return self.spoken.lifts(count, self.owners) * self.background.spread[:count, None]

    @property
    def lowered(self) -> int:
        """The most clips that speech moves down for one query."""
        return 0 if self.lifts is None else int((self.lifts < 0).sum(axis=1).max(initial=0))

    def with_speech(
        self,
        found: "NDArray[np.int64]",
        scores: "NDArray[np.float32]",
        count: int,
        rows: "NDArray[np.int64]",
        score: "Callable[[NDArray[np.int64]], tuple[NDArray[np.int64], NDArray[np.float32]]]",
    ) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
        """Rows (queries, count) of the best clips among `rows`, and their scores, with what speech adds.

        `found`, `scores`: those by the head alone, at least `count` and as many more as are `lowered`. `score` gives some clips, in
        any order, with their scores by the head (queries, clips). Of the clips that speech raises, the MOVED most are looked at.
        """
        if self.lifts is None or self.spoken is None:
            return found, scores
        spoken = self.spoken.library.rows
        lifts = np.where(np.isin(spoken, rows), self.lifts, 0)
        most = np.argsort(-lifts, axis=1, kind="stable")[:, :MOVED]
        lifted = [one[of_query[one] > 0] for one, of_query in zip(most, lifts, strict=True)]
        moved = [np.union1d(up, np.flatnonzero(of_query < 0)) for up, of_query in zip(lifted, lifts, strict=True)]
        wanted = np.unique(np.concatenate([spoken[one] for one in moved]))
        if not len(wanted):
            return found[:, :count], scores[:, :count]
        names, table = score(wanted)
        table = np.take_along_axis(table, np.argsort(names, axis=1), axis=1)
        best_rows, best = np.empty((len(found), count), np.int64), np.empty((len(found), count), np.float32)
        for query, mine in enumerate(moved):
            kept = ~np.isin(found[query], spoken[mine])
            raised = table[query, np.searchsorted(wanted, spoken[mine])] + lifts[query, mine]
            every = np.concatenate([found[query, kept], spoken[mine]])
            all_scores = np.concatenate([scores[query, kept], raised])
            order = np.argsort(-all_scores, kind="stable")[:count]
            best_rows[query], best[query] = every[order], all_scores[order]
        return best_rows, best

    def shown(self, query: int) -> float:
        """What speech adds at least to the score of a clip whose words are shown, whatever carried it: a spread of the scores."""
        return 0.0 if self.background is None else float(self.background.spread[query])

    def lift(self, query: int, row: int) -> float:
        """What speech adds to the score of a clip."""
        if self.lifts is None or self.spoken is None:
            return 0.0
        place = int(np.searchsorted(self.spoken.library.rows, row))
        there = place < len(self.spoken.library.rows) and int(self.spoken.library.rows[place]) == row
        return float(self.lifts[query, place]) if there else 0.0

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
