"""The page of a search: each sentence with the frames of the clips that it found, and attention and sound weight per frame."""

from dataclasses import dataclass
from pathlib import Path

from gaid.report.html import write_page, write_template
from gaid.report.queries import Lane, bars
from gaid.report.thumbnails import load_strips
from gaid.retrieval.results import Hit, SearchResults
from gaid.stores import open_store


@dataclass
class Card:
    """One sentence and its clips: (hit, strip of frames or None, rows of bars)."""

    query: str
    nothing_fits: bool
    clips: list[tuple[Hit, str | None, list[Lane]]]


@write_page.register
def _(found: SearchResults, path: str | Path) -> Path:
    """Pictures are decoded from the clips, where these are at hand."""
    store = found.opened or open_store(found.basis.store)
    strips, absent = load_strips(store, [hit.video for answer in found.answers for hit in answer.hits], found.root)
    cards = [
        Card(answer.query, answer.nothing_fits, [(hit, strips.get(hit.video), _lanes(hit)) for hit in answer.hits])
        for answer in found.answers
    ]
    return write_template(
        path,
        "search.html",
        title=f"Search in {found.basis.dataset}",
        found=found,
        cards=cards,
        has_lanes=any(lanes for card in cards for _, _, lanes in card.clips),
        has_senses=any(hit.senses for card in cards for hit, _, _ in card.clips),
        absent=absent,
    )


def _lanes(hit: Hit) -> list[Lane]:
    """Attention and sound weight on a scale of their own, that of the clip's highest attention."""
    if not hit.frames:
        return []
    scale = max(float(hit.frames["attention"].max()), 1e-9)
    lanes = [Lane("attention", "attention", bars(hit.frames["attention"] / scale))]
    if hit.sound is not None:
        lanes.append(Lane("sound weight", "weight", bars(hit.frames["sound_weight"] / scale)))
    return lanes
