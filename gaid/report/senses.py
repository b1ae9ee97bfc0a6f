"""`gaid senses` as a table for the terminal and as a page: the answer, the table, and the captions that sound moved most."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gaid import console
from gaid.audit import Senses
from gaid.audit.rank_changes import RankChange
from gaid.report.audit import column_name, print_section
from gaid.report.html import write_page, write_template
from gaid.report.queries import Lane, bars
from gaid.report.tables import census_items
from gaid.report.thumbnails import load_strips

# What a full bar stands for: cosines of a picture, and evidence of a sound, are rarely above.
_FULL = {"picture": 0.6, "sound": 0.3}


@dataclass
class Strip:
    """One clip of a card: its frames, if they are at hand, and rows of bars."""

    video: str
    words: str
    picture: str | None
    lanes: list[Lane]


@dataclass
class Card:
    """One caption with its own clip and, where another is first, that one."""

    change: RankChange
    strips: list[Strip]


@write_page.register
def _(found: Senses, path: str | Path) -> Path:
    """Pictures are decoded from the clips, where these are at hand."""
    ids = dict.fromkeys(video for one in found.changes for video in (one.video, one.first))
    pictures, absent = load_strips(found.bench.store, ids, found.root)
    cards = [_card(one, pictures) for one in found.changes]
    return write_template(
        path,
        "senses.html",
        title=f"Senses in {found.basis.dataset}",
        found=found,
        heading=heading(found),
        column=column_name,
        silent=found.silent,
        cards=[(title, [card for card in cards if card.change.helped == helped]) for title, helped in
               (("Found better with sound", True), ("Found worse with sound", False))],
        lanes=any(one.lanes for one in found.changes),
        frames=found.bench.store.frames,
        absent=absent,
        census=census_items(found.basis.census),
    )  # fmt: skip


def _card(change: RankChange, pictures: dict[str, str]) -> Card:
    lanes = [Lane(name, {"picture": "attention", "sound": "weight"}[name], bars(np.clip(values / _FULL[name], 0, 1)))
             for name, values in change.lanes.items()]  # fmt: skip
    strips = [Strip(change.video, "its own clip", pictures.get(change.video), lanes)]
    if change.first != change.video:
        strips.append(Strip(change.first, "first with sound", pictures.get(change.first), []))
    return Card(change, strips)


def heading(found: Senses) -> str:
    """What was measured on what, in a line."""
    basis = found.basis
    return (
        f"{basis.dataset}, {basis.split} ({basis.split_protocol}): {basis.videos:,} clips, {basis.captions:,} captions"
    )


def print_senses(found: Senses) -> None:
    """The answer and the table, for a person."""
    console.show(found.answer, "bold")
    for note in found.notes:
        console.show(f"! {note}", "bold yellow")
    console.show(heading(found), "dim")
    console.show()
    print_section(found.section)
    console.show()
    console.show(
        "in brackets 95 % intervals, from a bootstrap over videos; ± is a paired difference, in points, to "
        + ("picture only" if found.silent is None else f"picture only, and of trained heads to {found.silent}"),
        "dim",
    )
