"""The library that is served: what the API and the agents' tools say of it and of its clips.

A searcher is asked by one thread, on which these functions must run (`gaid.server.turns`). They know nothing of HTTP.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from gaid.errors import DataMissing, GaidError, OptionInvalid
from gaid.retrieval.filters import Filters
from gaid.retrieval.lens import SENSES
from gaid.retrieval.queries import Query
from gaid.retrieval.results import Hit
from gaid.retrieval.searcher import Searcher
from gaid.server.answers import (
    Asked,
    AskedByText,
    AskedOfClip,
    ClipFacts,
    FoundClip,
    FrameWeights,
    LibraryFacts,
    SearchAnswer,
    Weights,
)
from gaid.server.keys import Keys, key_of
from gaid.stores import AUDIO_STATES, read_clips

if TYPE_CHECKING:
    from numpy.typing import NDArray

API = "/api"
MOST_FOLDERS = 500
PICTURES = 3  # of a clip in an answer
MOST_CAPTIONS = 40


class ServedLibrary:
    """A library that is open, and the keys of its clips."""

    def __init__(self, searcher: Searcher) -> None:
        self.searcher, self.store = searcher, searcher.store
        self.keys = Keys(self.store.ids, searcher.rows)
        self.folders = _choices(searcher.facts.folders)

    def warm_up(self) -> None:
        """Loads what the first search would wait for."""
        self.search(AskedByText(q="a picture", top=1))

    def facts(self) -> LibraryFacts:
        """What the page shows before anything is asked."""
        return LibraryFacts(
            name=self.store.dataset,
            clips=len(self.searcher.rows),
            senses=self._senses(),
            folders=self.folders,
            heard=self.searcher.basis.hears,
            notes=self.searcher.notes,
            thresholds={sense: round(found.score, 6) for sense, found in self.searcher.thresholds.items()},
        )

    def _senses(self) -> list[str]:
        head = self.searcher.bench.head()
        used = {"picture": head.uses_visual, "sound": head.uses_audio, "speech": bool(self.store.arrays.transcriber)}
        return [sense for sense in SENSES if used.get(sense, True)]

    def without_paths(self, message: str) -> str:
        """A message of an error without where the library lies on this machine."""
        root = (self.store.attrs.get("dataset") or {}).get("root")
        for place in filter(None, (str(self.store.path), root, self.searcher.root)):
            message = message.replace(str(place), self.store.dataset)
        return message

    def row(self, key: str) -> int:
        """The row of the clip with this key. Raises DataMissing."""
        row = self.keys.row(key)
        if row is None:
            raise DataMissing("this library has no clip with this key")
        return row

    def id_of(self, key: str) -> str:
        """The id of the clip with this key. Raises DataMissing."""
        return self.store.ids[self.row(key)]

    def search(self, asked: AskedByText) -> SearchAnswer:
        """The clips that answer a sentence, or that are like a clip. Raises OptionInvalid, DataMissing."""
        return self.answer([self.query(asked.q, asked.like)], asked)[0]

    def query(self, text: str, like: str | None) -> Query:
        """What is asked for by a sentence, or by the key of a clip. Raises OptionInvalid, DataMissing. Any thread may call it."""
        if (like is None) == (not text.strip()):
            raise OptionInvalid("give either q, a sentence, or like, the key of a clip")
        return Query.parse(text) if like is None else Query(like=self.id_of(like))

    def answer(self, queries: Sequence[Query], asked: Asked) -> list[SearchAnswer]:
        """The clips that answer each of some queries, which are asked in the same way. Raises OptionInvalid, DataMissing."""
        started = time.perf_counter()
        filters = _filters(asked)
        rows, notes = self.searcher.facts.choose(filters) if filters else (self.searcher.rows, [])
        count = asked.offset + asked.top
        answers = self.searcher.ask(
            queries, top=count, sense=asked.sense, rows=rows if filters else None, filters=filters, threshold=True
        )
        return [
            SearchAnswer(
                query=answer.query,
                fitting=answer.fitting,
                hits=self._found(answer.hits[asked.offset :]),
                clips=len(rows),
                notes=notes,
                seconds=round(time.perf_counter() - started, 4),
            )
            for answer in answers
        ]

    def clip(self, key: str) -> ClipFacts:
        """What is known of a clip, but for its file. Raises DataMissing."""
        row = self.row(key)
        clip = read_clips(self.store, np.array([row]))
        times = np.unique(clip.time[0]).tolist()
        address = _address(key)
        return ClipFacts(
            key=key,
            video=self.store.ids[row],
            duration=round(float(clip.duration[0]), 3),
            audio=AUDIO_STATES[int(clip.audio_state[0])],
            senses=["picture", *(["sound"] if clip.audio_mask[0].any() else [])],
            captions=[self._captions[one] for one in np.flatnonzero(self._caption_rows == row)[:MOST_CAPTIONS]],
            times=[round(one, 3) for one in times],
            thumbnails=[_thumbnail(address, one) for one in times],
            media=f"{address}/media",
            preview=f"{address}/preview",
        )

    def path(self, key: str) -> str | None:
        """Where a clip's file is on this machine, for those who work on it. Raises DataMissing for a clip that is not there."""
        clip = self.id_of(key)
        with suppress(GaidError, OSError):
            return str(self.searcher.files.find([clip])[clip].path)
        return None

    @cached_property
    def _captions(self) -> list[str]:
        return self.store.texts("captions/text")

    @cached_property
    def _caption_rows(self) -> "NDArray[np.int32]":
        rows: NDArray[np.int32] = self.store["captions/video"][:]
        return rows

    def weights(self, key: str, asked: AskedOfClip) -> Weights:
        """How well each frame of a clip fits a query, and by what. Raises OptionInvalid, DataMissing."""
        query, row = self.query(asked.q, asked.like), self.row(key)
        strip = self.searcher.strip(query, row, asked.sense)
        lanes = {"score": strip.scores, **strip.senses, **strip.lanes}
        frames = [
            FrameWeights.model_validate(
                {"time": round(float(time), 3)} | {name: _number(values[frame]) for name, values in lanes.items()}
            )
            for frame, time in enumerate(strip.times)
        ]
        return Weights(key=key, query=query.label, frames=frames)

    def _found(self, hits: list[Hit]) -> list[FoundClip]:
        rows = np.array([self.keys.row(key_of(hit.video)) for hit in hits], np.int64)
        order = np.argsort(rows)
        times = np.empty((len(rows), self.store.frames), np.float32)
        if len(rows):
            times[order] = self.store.rows("videos/time", rows[order])
        return [_found_clip(hit, of_clip) for hit, of_clip in zip(hits, times, strict=True)]


def _filters(asked: Asked) -> Filters:
    """The filters of a search. Raises OptionInvalid, also for a folder that is a path on this machine."""
    if asked.folder is not None and asked.folder.startswith(("/", "\\", "~")):
        raise OptionInvalid("folder: name a folder of the library, not a path")
    return Filters.parse(asked.folder, asked.longer, asked.shorter, asked.since, asked.until)


def _found_clip(hit: Hit, times: Any) -> FoundClip:
    """A hit with its addresses; where its file lies stays here."""
    key = key_of(hit.video)
    address = _address(key)
    start = hit.moment[0] if hit.moment else 0.0
    plain = {name: value for name, value in hit.to_dict().items() if name != "path"}
    return FoundClip(
        **plain,
        key=key,
        thumbnails=[_thumbnail(address, one) for one in _shown(times, hit.moment)],
        media=f"{address}/media",
        preview=f"{address}/preview?start={start:.3f}",
    )


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def _address(key: str) -> str:
    return f"{API}/clips/{key}"


def _thumbnail(address: str, time: float) -> str:
    return f"{address}/thumbnail?at={time:.3f}"


def _shown(times: Any, moment: tuple[float, float] | None) -> list[float]:
    """Times of up to PICTURES frames of the moment, or of the frame in the middle."""
    distinct = np.unique(times)
    inside = distinct[(distinct >= moment[0]) & (distinct <= moment[1])] if moment else distinct[:0]
    if not len(inside):
        return [float(distinct[len(distinct) // 2])]
    return [float(one) for one in np.unique(inside[np.linspace(0, len(inside) - 1, PICTURES).round().astype(int)])]


def _choices(folders: list[str]) -> list[str]:
    """Folders of clips, each with those above it; none where there are too many to choose from."""
    found: set[str] = set()
    for one in folders:
        found.update(str(above) for above in (PurePosixPath(one), *PurePosixPath(one).parents) if above.name)
        if len(found) > MOST_FOLDERS:
            return []
    return sorted(found)
