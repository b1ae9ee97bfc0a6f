"""What an engine holds of a library: the vectors of a head per sense, from which a search takes candidates.

A collection says which store, head and sound it was pushed from; a search by others is refused. Scores are the head's.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import DataMissing, HeadMismatch, StoresDisagree
from gaid.retrieval.engines.protocol import Engine
from gaid.retrieval.filters import NO_FILTERS, Filters
from gaid.retrieval.index import measure_key, vectors_key
from gaid.retrieval.lens import Lens, Sense
from gaid.stores import valid_rows
from gaid.stores.differences import differences_of_features
from gaid.stores.schema import digest_json

if TYPE_CHECKING:
    from gaid.heads.features import Features
    from gaid.stores import Store

UNMEASURED = 1000  # candidates where no measure is known for a head


def senses_of(lens: Lens) -> tuple[Sense, ...]:
    """The senses that a head has vectors for: all of them together, and each where it uses both."""
    return ("all", "picture", "sound") if lens.both else ("all",)


def vectors_of(lens: Lens, features: "Features") -> dict[str, NDArray[np.float32]]:
    """The vectors of clips by sense, each (V, dim)."""
    parts = lens.head.vector_parts
    if not parts:
        return {sense: replace(lens, sense=sense).vectors(features) for sense in senses_of(lens)}
    whole = lens.vectors(features)
    return {sense: whole if sense == "all" else whole[:, parts[sense]] for sense in senses_of(lens)}


def queries_of(lens: Lens) -> tuple[Sense, NDArray[np.float32]]:
    """The sense whose vectors a lens asks for, and the vectors of its queries (Q, dim)."""
    sense: Sense = lens.sense if lens.both else "all"
    found, parts = lens.query_vectors(), lens.head.vector_parts
    return sense, found[:, parts[sense]] if parts and sense != "all" else found


def describe(store: "Store", lens: Lens) -> dict[str, Any]:
    """What a collection is pushed from, as JSON: encoders and sampling of the store, class, settings and vectors of the head."""
    attrs, head = store.attrs, lens.head
    return {
        "dataset": store.dataset,
        "backbones": attrs.get("backbones"),
        "sampling": attrs.get("sampling"),
        "head": {"class": type(head).__name__, "sound": lens.audio, **dict(head.config)},
        "vectors": {sense: vectors_key(replace(lens, sense=sense)) for sense in senses_of(lens)},
    }


def check_same(uri: str, told: Mapping[str, Any], store: "Store", lens: Lens) -> None:
    """Raises StoresDisagree, HeadMismatch where a collection was pushed from features of another kind, or by another head."""
    now = _plain(describe(store, lens))
    remedy = "gaid index push --overwrite pushes this one in its place"
    found = differences_of_features(told, now)
    if found:
        raise StoresDisagree(f"--engine {uri}: was pushed from another store: {'; '.join(found)}; {remedy}")
    if told["vectors"] == now["vectors"]:
        return
    there, here = told["head"], now["head"]
    keys = [key for key in dict.fromkeys([*here, *there]) if there.get(key) != here.get(key)]
    found = [f"{key}: {there.get(key, 'not set')} there, {here.get(key, 'not set')} now" for key in keys]
    raise HeadMismatch(f"--engine {uri}: was pushed by another head: {'; '.join(found) or 'other weights'}; {remedy}")


def digest_of_keys(keys: NDArray[np.uint64]) -> str:
    """A digest of which clips there are, in any order."""
    return digest_json(np.sort(keys).tolist())


class Collection:
    """A library's collection, open for search by one store. Made by `open`."""

    def __init__(self, engine: Engine, about: Mapping[str, Any], store: "Store") -> None:
        self.engine, self.about = engine, about
        self.rows = valid_rows(store)
        keys = store.row_keys()[self.rows]
        order = np.argsort(keys, kind="stable")
        self._sorted, self._by_key = keys[order], self.rows[order]

    @classmethod
    def open(cls, engine: Engine, store: "Store", lens: Lens) -> "Collection":
        """The collection at an engine, for searches by the head of a lens.

        Raises DataMissing where nothing was pushed, or not all of it; StoresDisagree; HeadMismatch; RemoteFailed.
        """
        about = engine.about()
        push = f"gaid index push --store {store.path} --engine {engine.uri}"
        if not about:
            raise DataMissing(f"--engine {engine.uri}: no library was pushed there; {push} does so")
        check_same(engine.uri, about, store, lens)
        if not about["clips"]:
            raise DataMissing(f"--engine {engine.uri}: the first push has not finished; {push} resumes it")
        return cls(engine, about, store)

    def compare(self, store: "Store", lens: Lens) -> str:
        """What the collection holds of the store's clips, in words. Raises StoresDisagree where it holds hardly any."""
        uri, measure = self.engine.uri, self.about["measures"].get(measure_key(lens))
        told = f"engine {uri}: {self.about['clips']:,} clips"
        if measure is not None:
            told += f"; {tell_measure(measure)}"
        if self.about["keys"] == digest_of_keys(self._sorted):
            return told
        there = np.isin(self._sorted, self.engine.held().keys)
        if there.mean() < 0.5:
            raise StoresDisagree(
                f"--engine {uri}: was pushed from another store ({self.about['dataset']}): it holds {there.sum():,} of the "
                f"{len(there):,} clips of {store.path}; gaid index push --overwrite pushes this one in its place"
            )
        missing = int((~there).sum())
        return f"{told}; {missing:,} clips are not in it and are not found: gaid index push brings it up to date"

    def serves(self, lens: Lens) -> bool:
        """Whether the vectors that a lens asks for are there."""
        sense, _ = queries_of(lens)
        return self.about["vectors"].get(sense) == vectors_key(replace(lens, sense=sense))

    def candidates(
        self, lens: Lens, count: int, rows: NDArray[np.int64], filters: Filters = NO_FILTERS
    ) -> NDArray[np.int64]:
        """For each query of a lens the rows (Q, n) that are scored to find its `count` best among `rows`, which are those that the
        filters let through, ascending. Fewer where the collection does not hold as many."""
        measure = self.about["measures"].get(measure_key(lens)) or {"candidates": UNMEASURED, "effort": None}
        wanted = max(measure["candidates"], 2 * count)
        lists = self.nearest(lens, wanted, measure["effort"], rows, filters)
        if min(map(len, lists)) < count and measure["effort"] is not None:
            lists = self.nearest(lens, wanted, None, rows, filters)
        least = min(map(len, lists))
        return np.stack([one[:least] for one in lists])

    def nearest(
        self, lens: Lens, count: int, effort: int | None, rows: NDArray[np.int64], filters: Filters = NO_FILTERS
    ) -> list[NDArray[np.int64]]:
        """For each query of a lens those of `rows` whose vectors are nearest, of `count` that the engine names. `effort`: None
        compares all clips."""
        sense, queries = queries_of(lens)
        spent = self.engine.most_effort if effort is None else effort
        found = (self.engine.nearest(sense, query, count, spent, filters) for query in queries)
        return [_among(self._rows_of(keys), rows) for keys in found]

    def _rows_of(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The rows with these keys, in their order: none for a clip that is gone, several for copies."""
        keys = keys[np.sort(np.unique(keys, return_index=True)[1])]
        starts, ends = (np.searchsorted(self._sorted, keys, side) for side in ("left", "right"))
        counts = ends - starts
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return self._by_key[np.repeat(starts, counts) + within]


def tell_measure(measure: Mapping[str, Any]) -> str:
    """How many candidates a search takes, and what they hold."""
    return (
        f"{measure['candidates']:,} are scored per query (they hold {100 * measure['held']:.1f} % of the exact {measure['best']} "
        f"best of {measure['queries']} {measure['probes']})"
    )


def _among(found: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    if not len(rows):
        return rows
    places = np.minimum(np.searchsorted(rows, found), len(rows) - 1)
    return found[rows[places] == found]


def _plain(value: Any) -> Any:
    """As JSON holds it."""
    return json.loads(json.dumps(value, default=str))
