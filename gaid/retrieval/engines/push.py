"""`gaid index push`: brings an engine's collection up to date with a store, as `Collection` reads it.

What is there and unchanged is not sent again. Every block of clips is written at once or not at all, so a push that was
stopped anywhere is resumed by the next.
"""

import hashlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaid.console import Progress
from gaid.retrieval.engines.collection import (
    Collection,
    check_same,
    describe,
    digest_of_keys,
    senses_of,
    tell_measure,
    vectors_of,
)
from gaid.retrieval.engines.protocol import Engine, Rows, folder_text
from gaid.retrieval.index import BEST, CHOSEN, MOST, Probes, check_head, measure_key
from gaid.retrieval.lens import Lens, best_clips

if TYPE_CHECKING:
    from gaid.retrieval.filters import ClipFacts
    from gaid.retrieval.searcher import Searcher
    from gaid.stores import Store

LEAST = 50  # candidates
GROWN = 1.25  # times as many clips for which candidates are measured again


@dataclass(frozen=True)
class PushReport:
    """A push: how many clips of the store the collection lacked (`added`), held otherwise (`changed`), held as they are
    (`unchanged`), and how many that it held are gone (`removed`). `kind`: how they are searched. `measures`: by sense."""

    engine: str
    clips: int
    added: int
    changed: int
    removed: int
    unchanged: int
    kind: str
    measures: dict[str, dict[str, Any]]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return dict(vars(self))

    def __str__(self) -> str:
        told = "; ".join(f"{sense}: {tell_measure(measure)}" for sense, measure in self.measures.items())
        return (
            f"{self.engine}: {self.clips:,} clips, {self.added:,} of them new, {self.changed:,} changed, {self.unchanged:,} as they "
            f"were; {self.removed:,} removed; in {self.seconds:.1f} s; {self.kind}. By sense: {told}"
        )


def push(searcher: "Searcher", engine: Engine, overwrite: bool = False, progress: bool = True) -> PushReport:
    """Brings the collection at an engine up to date with an open library. Progress goes to stderr, unless `progress` is False.

    Raises OptionInvalid for a head without vectors; StoresDisagree, HeadMismatch where the collection is of another store or head
    and is not to be overwritten; RemoteFailed.
    """
    started = time.perf_counter()
    store, lens = searcher.store, searcher.lens()
    check_head(lens.head)
    about = engine.about()
    if about and overwrite:
        engine.clear()
        about = {}
    if about:
        check_same(engine.uri, about, store, lens)
    else:
        about = {**describe(store, lens), "clips": 0, "keys": "", "measures": {}}
        engine.describe(about)
    added, changed, removed = _send(searcher, lens, engine, progress)
    kind = engine.settle()
    rows = searcher.rows
    about |= {"clips": len(rows), "keys": digest_of_keys(store.row_keys()[rows])}
    measures = _measures(store, lens, engine, about, searcher.probes)
    engine.describe(about)
    return PushReport(
        engine=engine.uri, clips=len(rows), added=added, changed=changed, removed=removed,
        unchanged=len(rows) - added - changed, kind=kind, measures=measures, seconds=time.perf_counter() - started,
    )  # fmt: skip


def _send(searcher: "Searcher", lens: Lens, engine: Engine, progress: bool) -> tuple[int, int, int]:
    """Sends what the collection lacks and removes what is gone. Returns how many clips were added, changed and removed."""
    store, facts = searcher.store, searcher.facts
    keys, marks = store.row_keys()[facts.rows], marks_of(store, facts)
    held = engine.held()
    there = dict(zip(held.clips, held.marks.tolist(), strict=True))
    known = np.array([there.pop(store.ids[row], -1) for row in facts.rows.tolist()], object)
    places = np.flatnonzero(known != marks.astype(object))
    new = int((known[places] == -1).sum())
    folders, of_clip = facts.by_folder
    with Progress(f"pushing to {engine.uri}", len(places), shown=progress) as bar:
        for block, features in lens.blocks(store, facts.rows[places]):
            mine = np.searchsorted(facts.rows, block)
            engine.push(
                Rows(
                    clips=[store.ids[row] for row in block.tolist()],
                    keys=keys[mine],
                    marks=marks[mine],
                    folders=[folder_text(folders[number]) for number in of_clip[mine].tolist()],
                    seconds=facts.durations[mine],
                    changed=facts.changed[mine],
                    vectors=vectors_of(lens, features),
                )
            )
            bar.advance(len(block))
    if there:
        engine.remove(list(there))
    return new, len(places) - new, len(there)


def marks_of(store: "Store", facts: "ClipFacts") -> NDArray[np.uint64]:
    """(N) a number for each clip that changes with its features, its folder and the date of its file."""
    folders, of_clip = facts.by_folder
    digests = [hashlib.sha256(one.encode("utf-8", "surrogateescape")).digest()[:8] for one in folders]
    of_folder = np.frombuffer(b"".join(digests), "<u8")[of_clip]
    dates = facts.changed.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    marks: NDArray[np.uint64] = store.row_keys()[facts.rows] ^ of_folder ^ dates
    return marks


def _measures(
    store: "Store", lens: Lens, engine: Engine, about: dict[str, Any], probes: Probes
) -> dict[str, dict[str, Any]]:
    """How many candidates hold the best of an exact search, by sense; measured again where the library has grown."""
    found: dict[str, dict[str, Any]] = {}
    collection = None
    for sense in senses_of(lens):
        mine = replace(lens, sense=sense)
        key = measure_key(mine)
        told = about["measures"].get(key)
        if told is None or about["clips"] > GROWN * told["clips"]:
            collection = collection or Collection(engine, about, store)
            told = _measure(store, mine, collection, *probes())
        about["measures"][key] = found[sense] = told
    return found


def _measure(
    store: "Store", lens: Lens, collection: Collection, kind: str, text: NDArray[np.floating]
) -> dict[str, Any]:
    """The effort, then the number of candidates, each doubled until they hold enough of the exact best of some queries."""
    asked, rows = lens.ask(text), collection.rows
    best = best_clips(asked, store, min(BEST, len(rows)), rows)[0]
    most = min(len(rows), max(1000, int(MOST * len(rows))))

    def held(count: int, effort: int) -> float:
        lists = collection.nearest(asked, count, effort, rows)
        return float(np.mean([np.isin(exact, one).mean() for exact, one in zip(best, lists, strict=True)]))

    enough = collection.engine.most_effort
    effort = next((one for one in _doubled(1, enough) if held(most, one) >= CHOSEN), enough)
    count = next((one for one in _doubled(LEAST, most) if held(one, effort) >= CHOSEN), most)
    return {
        "clips": len(rows), "queries": len(text), "probes": kind, "best": BEST, "effort": effort, "candidates": count,
        "held": held(count, effort),
    }  # fmt: skip


def _doubled(first: int, last: int) -> list[int]:
    return [*(first << power for power in range(64) if first << power < last), last]
