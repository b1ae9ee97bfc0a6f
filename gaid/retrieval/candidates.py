"""Which searches of an open library go through an index, and their best clips: candidates from it, scored exactly by the head."""

from typing import TYPE_CHECKING

import numpy as np

from gaid.errors import OptionInvalid
from gaid.retrieval.index import ClipIndex, Probes, check_head, measure_key
from gaid.retrieval.lens import Lens
from gaid.stores import read_clips

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gaid.heads import Head
    from gaid.stores import Store

INDEXES = ("auto", "exact", "faiss")
LARGE = 5000  # clips from which `auto` takes an index
FEW = 300  # so many clips are scored as quickly as candidates


class Candidates:
    """The indexes of a library of `clips` clips, each opened when first asked for. `notes`: one line about each of them.

    Raises OptionInvalid for a choice that does not exist.
    """

    def __init__(self, store: "Store", clips: int, choice: str) -> None:
        if choice not in INDEXES:
            raise OptionInvalid(f"--index {choice}: choose {', '.join(INDEXES)}")
        self.store, self.clips, self.choice = store, clips, choice
        self.notes: list[str] = []
        self._opened: dict[str, ClipIndex] = {}

    def serve(self, head: "Head") -> bool:
        """Whether searches by this head go through an index. Raises OptionInvalid where one was asked for and can't be made."""
        if self.choice == "faiss":
            check_head(head)
            return True
        indexable = head.has_video_embedding and not head.has_trials
        return self.choice == "auto" and self.clips >= LARGE and indexable

    def prepare(self, finder: Lens, probes: Probes) -> bool:
        """Opens the index by which a lens finds candidates; it is made or extended where that is due, and measured by `probes`,
        queries for that lens. Returns whether there is one: `auto` does without where none can be written."""
        key = measure_key(finder)
        if key not in self._opened and self.choice != "exact":
            try:
                self._opened[key], about = ClipIndex.open(self.store, finder, probes)
            except (OptionInvalid, OSError) as error:
                if self.choice != "auto":
                    raise
                self.choice = "exact"
                self.notes.append(f"every clip is scored, since no index can be kept beside the store: {error}")
            else:
                self.notes.append(str(about))
        return key in self._opened

    def best(
        self, lens: Lens, finder: Lens, count: int, rows: "NDArray[np.int64]"
    ) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
        """Rows (Q, count) of the best clips among `rows` by a lens, best first, and their scores. `finder`: the lens with the same
        queries by whose head and sense candidates are found, for which `prepare` was called."""
        candidates = self._opened[measure_key(finder)].candidates(finder, count, rows)
        known, places = np.unique(candidates, return_inverse=True)
        scores = lens.rescore(lens.features(read_clips(self.store, known)), places.reshape(candidates.shape))
        order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        return np.take_along_axis(candidates, order, axis=1), np.take_along_axis(scores, order, axis=1)
