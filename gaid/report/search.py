"""The page of a search: for each sentence the clips that it found, with frames of the moment that fits best and of the whole
clip, and attention and sound weight per frame."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaid.report.html import write_page, write_template
from gaid.report.queries import Lane, bars
from gaid.report.thumbnails import load_moments, load_strips
from gaid.retrieval.results import Hit, SearchResults
from gaid.stores import open_store

if TYPE_CHECKING:
    from gaid.stores import Store


@dataclass
class Found:
    """One clip of an answer: frames of its moment and of the whole clip as pictures, None where there are none, and rows of
    marks and bars."""

    hit: Hit
    moment: str | None
    strip: str | None
    lanes: list[Lane]


@dataclass
class Card:
    """One sentence and its clips."""

    query: str
    nothing_fits: bool
    clips: list[Found]


@write_page.register
def _(found: SearchResults, path: str | Path) -> Path:
    """Pictures are decoded from the clips, where these are at hand."""
    store = found.opened or open_store(found.basis.store)
    hits = [hit for answer in found.answers for hit in answer.hits]
    strips, absent = load_strips(store, [hit.video for hit in hits], found.root) if hits else ({}, None)
    moments = load_moments(store, hits)
    times = _times(store, hits)
    cards = [
        Card(
            answer.query,
            answer.nothing_fits,
            [
                Found(hit, moments.get((hit.video, hit.moment)), strips.get(hit.video), _lanes(hit, times[hit.video]))
                for hit in answer.hits
            ],
        )
        for answer in found.answers
    ]
    clips = [one for card in cards for one in card.clips]
    return write_template(
        path,
        "search.html",
        title=f"Search in {found.basis.dataset}",
        found=found,
        cards=cards,
        has_lanes=any(one.hit.frames for one in clips),
        has_moments=any(one.moment for one in clips),
        has_senses=any(one.hit.senses for one in clips),
        absent=absent,
    )


def _times(store: "Store", hits: list[Hit]) -> dict[str, np.ndarray]:
    """When each clip's frames are (F), in seconds from its start."""
    row_of = {name: row for row, name in enumerate(store.ids)}
    rows = np.unique(np.array([row_of[hit.video] for hit in hits], np.int64))
    return {store.ids[row]: times for row, times in zip(rows.tolist(), store.rows("videos/time", rows), strict=True)}


def _lanes(hit: Hit, times: np.ndarray) -> list[Lane]:
    """The frames of the moment, marked; attention and sound weight on a scale of their own, that of the clip's highest
    attention."""
    lanes = []
    if hit.moment is not None:
        within = np.flatnonzero((times >= hit.moment[0]) & (times <= hit.moment[1]))
        if not len(within):  # words that are said between two frames
            within = np.array([np.abs(times - sum(hit.moment) / 2).argmin()])
        first, last = within[[0, -1]].tolist()
        lanes.append(Lane("moment", "moment", f"M{first} 0h{last + 1 - first}v1h-{last + 1 - first}z"))
    if not hit.frames:
        return lanes
    scale = max(float(hit.frames["attention"].max()), 1e-9)
    lanes.append(Lane("attention", "attention", bars(hit.frames["attention"] / scale)))
    if hit.sound is not None:
        lanes.append(Lane("sound weight", "weight", bars(hit.frames["sound_weight"] / scale)))
    return lanes
