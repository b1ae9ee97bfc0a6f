"""Which searches of an open library go through an index or an engine, and their best clips: candidates from it, scored exactly by
the head."""

from typing import TYPE_CHECKING

import numpy as np

from gaid.errors import OptionInvalid
from gaid.retrieval.engines import open_engine
from gaid.retrieval.engines.collection import Collection
from gaid.retrieval.filters import NO_FILTERS, Filters
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
    """The indexes of a library of `clips` clips, each opened when first asked for, or the engine that takes their place. `notes`: one
    line about each of them.

    Raises OptionInvalid for a choice that does not exist, where both an index and an engine are chosen, and what `open_engine` raises.
    """

    def __init__(self, store: "Store", clips: int, choice: str, engine: str | None = None) -> None:
        if choice not in INDEXES:
            raise OptionInvalid(f"--index {choice}: choose {', '.join(INDEXES)}")
        if engine is not None and choice != "auto":
            raise OptionInvalid(f"--index {choice} --engine {engine}: candidates come from one of them; leave one out")
        self.store, self.clips, self.choice = store, clips, choice
        self.engine = None if engine is None else open_engine(engine)
        self.notes: list[str] = []
        self._collection: Collection | None = None
        self._opened: dict[str, ClipIndex] = {}
        self._keys: dict[tuple[Head, str, str], str] = {}  # taken of a head once: it follows from all its weights

    def open(self, lens: Lens) -> None:
        """Opens what has to be there before a search by the head of a lens. Raises OptionInvalid for a head that can't be served,
        and what `Collection.open` raises."""
        self.serve(lens.head)
        if self.engine is not None:
            self._collection = Collection.open(self.engine, self.store, lens)
            self.notes.append(self._collection.compare(self.store, lens))

    def serve(self, head: "Head") -> bool:
        """Whether searches by this head go through an index. Raises OptionInvalid where one was asked for and can't be made."""
        if self.choice == "faiss" or self.engine is not None:
            check_head(head)
            return True
        indexable = head.has_video_embedding and not head.has_trials
        return self.choice == "auto" and self.clips >= LARGE and indexable

    def prepare(self, finder: Lens, probes: Probes) -> bool:
        """Opens the index by which a lens finds candidates; it is made or extended where that is due, and measured by `probes`,
        queries for that lens. Returns whether there is one: `auto` does without where none can be written."""
        if self._collection is not None:
            return self._collection.serves(finder)
        key = self._key(finder)
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

    def _key(self, finder: Lens) -> str:
        asked = finder.head, finder.sense, finder.audio
        if asked not in self._keys:
            self._keys[asked] = measure_key(finder)
        return self._keys[asked]

    def best(
        self, lens: Lens, finder: Lens, count: int, rows: "NDArray[np.int64]", filters: Filters = NO_FILTERS
    ) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
        """Rows (Q, count) of the best clips among `rows` by a lens, best first, and their scores; fewer where an engine lacks clips.

        `finder`: the lens with the same queries by whose head and sense candidates are found, for which `prepare` was called.
        `filters`: those that let `rows` through.
        """
        if self._collection is not None:
            candidates = self._collection.candidates(finder, count, rows, filters)
        else:
            candidates = self._opened[self._key(finder)].candidates(finder, count, rows)
        known, places = np.unique(candidates, return_inverse=True)
        scores = lens.rescore(lens.features(read_clips(self.store, known)), places.reshape(candidates.shape))
        order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        return np.take_along_axis(candidates, order, axis=1), np.take_along_axis(scores, order, axis=1)
