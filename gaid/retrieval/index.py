"""The index beside a store: a vector of each clip by a head, kept on the disk, from which a search takes candidates.

It is made when a search first asks for it, and extended when the store has grown. It only chooses which clips the head
scores; how far below the nearest a clip may lie to be scored is measured when it is made. Scores are the head's.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from gaid.errors import OptionInvalid
from gaid.evaluation.index import check_has_vectors
from gaid.files import check_folder
from gaid.retrieval.lens import Lens, best_clips
from gaid.retrieval.vectors import ClipVectors
from gaid.stores import valid_rows
from gaid.stores.remote import beside

if TYPE_CHECKING:
    from gaid.heads import Head
    from gaid.stores import Store

SAMPLED, BEST, WANTED = 64, 10, 0.99  # queries, places, and the share of these that candidates must hold
CHOSEN = 0.995  # the share that they hold of the queries by which they are chosen, since other queries differ
LEAST = 3  # candidates for each clip that is asked for, whatever the margin: vectors in half precision are rounded
SHORTLIST = 1000  # vectors that are looked at first
MOST = 0.05  # of the clips, where that is more than a shortlist
DEAD = 0.25  # share of vectors of clips that are gone above which they are dropped
MEASURES = 8  # that are kept for one set of vectors

Probes = Callable[[], tuple[str, NDArray[np.floating]]]
"""Queries by which an index is measured: what they are, and their vectors (Q, dim) as the head takes them."""


@dataclass(frozen=True)
class IndexAbout:
    """An index: `held` is the share of the exact ten best of `queries` queries (`probes` says of what kind) that the candidates
    held, `candidates` how many a query had on average; `added` says how many clips came to it now."""

    kind: str
    clips: int
    candidates: int
    queries: int
    probes: str
    held: float
    added: int
    seconds: float

    def __str__(self) -> str:
        held = f"they hold {100 * self.held:.1f} % of the exact {BEST} best of {self.queries} {self.probes}"
        new = f", {self.added:,} of them new in {self.seconds:.1f} s" if self.added else ""
        return (
            f"index {self.kind} of {self.clips:,} clips{new}; about {self.candidates:,} are scored per query ({held})"
        )


class ClipIndex:
    """The index of a store by the head and the sense of a lens, up to date. Made by `open`."""

    def __init__(self, store: "Store", lens: Lens, vectors: ClipVectors) -> None:
        self.store, self.lens, self.vectors = store, lens, vectors
        self.rows = valid_rows(store)
        self._keys = store.row_keys()[self.rows]
        self.measure: dict[str, Any] = {}

    @classmethod
    def open(cls, store: "Store", lens: Lens, probes: Probes) -> tuple["ClipIndex", IndexAbout]:
        """Reads the index of the store by the lens's head and sense, extends it or makes it; the lens's queries take no part.

        Raises OptionInvalid for a head that none can be made with, and where none can be written.
        """
        started = time.perf_counter()
        check_head(lens.head)
        folder = beside(store.path, "index") / vectors_key(lens)
        check_folder(folder, "--index")
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            index = cls(store, lens, ClipVectors(folder))
            added = index._bring_up_to_date(probes)
        measure, kind = index.measure, index.vectors.kind
        told = {name: measure[name] for name in ("candidates", "queries", "probes", "held")}
        seconds = time.perf_counter() - started
        return index, IndexAbout(kind=kind, clips=len(index.rows), added=added, seconds=seconds, **told)

    def _bring_up_to_date(self, probes: Probes) -> int:
        """Returns how many vectors were added."""
        vectors = self.vectors
        if not vectors.read():
            vectors.clear()
        same = np.array_equal(vectors.keys, self._keys)  # sorting a million keys takes longer than opening the rest
        wanted = self._keys if same else np.unique(self._keys)
        new, changed = (self._keys[:0] if same else np.setdiff1d(wanted, vectors.keys)), False
        if len(vectors) and not same:
            alive = np.isin(vectors.keys, wanted)
            if not alive.any():
                vectors.clear()
            elif alive.mean() <= 1 - DEAD:
                vectors.keep(alive)
                changed = True
        if len(new):
            vectors.append(self._embed(new))
            changed = True
        if changed:
            vectors.write()
        self._place()
        measures: dict[str, Any] = vectors.about.setdefault("measures", {})
        key = measure_key(self.lens)
        if len(self.rows) > 1.25 * measures.get(key, {"clips": 0})["clips"]:
            measures.pop(key, None)
            measures[key] = self._measure(*probes())
            vectors.about["measures"] = dict(list(measures.items())[-MEASURES:])
            vectors.write()
        self.measure = measures[key]
        return len(new)

    def _place(self) -> None:
        """Finds for each row its vector, and for each vector its rows: none for a clip that is gone, several for copies."""
        if np.array_equal(self.vectors.keys, self._keys):
            self._places = np.arange(len(self.rows))
            self._by_place, self._sorted, self._alive = self.rows, self._places, None
            return
        by_key = np.argsort(self.vectors.keys, kind="stable")
        self._places = by_key[np.searchsorted(self.vectors.keys[by_key], self._keys)]
        order = np.argsort(self._places, kind="stable")
        self._by_place, self._sorted = self.rows[order], self._places[order]
        allowed = np.zeros(len(self.vectors), bool)
        allowed[self._places] = True
        self._alive = None if allowed.all() else allowed

    def _embed(self, keys: NDArray[np.uint64]) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.float32]]]:
        """Vectors of the clips with these keys, each once, a block of clips at a time."""
        order = np.argsort(self._keys, kind="stable")
        rows = np.sort(self.rows[order[np.searchsorted(self._keys[order], keys)]])
        of_row = dict(zip(self.rows.tolist(), self._keys.tolist(), strict=True))
        for block, features in self.lens.blocks(self.store, rows):
            yield np.array([of_row[row] for row in block.tolist()], np.uint64), self.lens.vectors(features)

    # How many are scored

    def _measure(self, kind: str, text: NDArray[np.floating]) -> dict[str, Any]:
        """The shortlist, and how far below the tenth nearest a clip may lie to be a candidate, by queries whose exact best are
        known."""
        asked, count = self.lens.ask(text), min(BEST, len(self.rows))
        best = best_clips(asked, self.store, count, self.rows)[0]
        wanted = self._places[np.searchsorted(self.rows, best)]
        most = min(len(self.vectors), max(SHORTLIST, int(MOST * len(self.rows))))
        shortlist = min(SHORTLIST, most)
        while True:
            found = [self.vectors.nearest(query, shortlist, self._alive) for query in asked.query_vectors()]
            gaps = np.sort(np.concatenate([_gaps(*one, some) for one, some in zip(found, wanted, strict=True)]))
            margin = float(gaps[math.ceil(CHOSEN * len(gaps)) - 1])
            if math.isfinite(margin) or shortlist == most:
                break
            shortlist = min(2 * shortlist, most)
        candidates = [_within(products, count, margin) for _, products in found]
        return {
            "clips": len(self.rows),
            "queries": len(text),
            "probes": kind,
            "shortlist": shortlist,
            "margin": margin if math.isfinite(margin) else None,
            "candidates": round(float(np.mean(candidates))),
            "held": float((gaps <= margin).mean()) if math.isfinite(margin) else float(np.isfinite(gaps).mean()),
        }

    # Searching

    def candidates(self, lens: Lens, count: int, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """For each query of a lens the rows (Q, n) that are scored to find its `count` best, of `rows` (ascending) or of all."""
        allowed = self._alive
        if rows is not None and len(rows) < len(self.rows):
            allowed = np.zeros(len(self.vectors), bool)
            allowed[self._places[np.searchsorted(self.rows, rows)]] = True
        shortlist = max(self.measure["shortlist"], 4 * count)
        margin = math.inf if self.measure["margin"] is None else self.measure["margin"]
        found = [self.vectors.nearest(query, shortlist, allowed) for query in lens.query_vectors()]
        wanted = max(_within(products, count, margin) for _, products in found)
        lists = [self._rows_of(places) for places, _ in found]
        if rows is not None:
            lists = [one[np.isin(one, rows)] for one in lists]
        return np.stack([one[: min(wanted, *map(len, lists), len(one))] for one in lists])

    def _rows_of(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of these vectors, in their order."""
        starts, ends = (np.searchsorted(self._sorted, places, side) for side in ("left", "right"))
        counts = ends - starts
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return self._by_place[np.repeat(starts, counts) + within]


def _within(products: NDArray[np.float32], count: int, margin: float) -> int:
    """How many of the products, the largest first, lie at most `margin` below the one in place `count`; at least LEAST times as
    many as that."""
    within = int((products >= products[min(count, len(products)) - 1] - margin).sum())
    return max(within, min(LEAST * count, len(products)))


def _gaps(places: NDArray[np.int64], products: NDArray[np.float32], wanted: NDArray[np.int64]) -> NDArray[np.float64]:
    """How far below the last of as many the vectors in these places lie, inf for those that were not found."""
    order = np.argsort(places)
    at = order[np.minimum(np.searchsorted(places[order], wanted), len(places) - 1)]
    gaps = products[min(len(wanted), len(products)) - 1] - products[at].astype(np.float64)
    return np.where(places[at] == wanted, np.maximum(gaps, 0), np.inf)


def captions_of(store: "Store", head: "Head") -> tuple[str, NDArray[np.floating]]:
    """Captions spread over a store, by which an index is measured."""
    captions = store.layout["captions"]
    some = np.unique(np.linspace(0, captions - 1, min(SAMPLED, captions)).astype(np.int64))
    return "captions", captions_as(head, store, some)


def captions_as(head: "Head", store: "Store", rows: NDArray[np.int64]) -> NDArray[np.float16]:
    """Captions of a store (each row once, ascending) as the vectors that a head compares with clips."""
    text = store.rows("captions/embedding", rows)
    if head.text_input != "both":
        return text
    return np.concatenate([text, store.rows("captions/audio_embedding", rows)], axis=1)


def check_head(head: "Head") -> None:
    """Raises OptionInvalid for a head that an index can't be made with."""
    check_has_vectors(head)
    if head.has_trials:
        raise OptionInvalid("--index faiss: this head draws trials for every clip of a store; use --index exact")


def vectors_key(lens: Lens) -> str:
    """By which vectors are found: the head's class, sizes and weights, the sense, and the sound that it hears. Vectors that follow
    from the clips alone serve all heads that take such, and all senses."""
    head = lens.head
    if head.vector_parts:
        parts = {name: [one.start, one.stop] for name, one in head.vector_parts.items()}
        return _digest([type(head).__name__, parts, lens.audio])
    return measure_key(lens)


def measure_key(lens: Lens) -> str:
    """By which a measure is found: the head, but for what it took from the library, the sense, and the sound that it hears."""
    head, digest = lens.head, hashlib.sha256()
    for name, values in sorted(head.state_dict().items()):
        if name not in head.library_tensors:
            digest.update(name.encode() + values.detach().cpu().float().numpy().tobytes())
    return _digest([type(head).__name__, dict(head.config), lens.audio, lens.sense, digest.hexdigest()])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, default=str, sort_keys=True).encode()).hexdigest()[:16]
