"""Captions: queries that name a sound against those that don't, by the names of AudioSet's classes."""

import numpy as np

from gaid.audit.ground import Ground
from gaid.audit.results import Line, Measured, Ranks, Section
from gaid.evaluation.sound_words import names_sound
from gaid.metrics import interval_of_mean


def captions(ground: Ground, others: list[Ground]) -> Section:
    """Text to video R@1 of the two kinds of queries, their difference, and how much each kind gains over other runs."""
    section = Section(
        "captions", "Captions", "Are the texts that name a sound the ones that are found?",
        columns=("t2v R@1", "change t2v R@1", "t2v R@5", "t2v R@10"),
    )  # fmt: skip
    named = names_sound(ground.split.caption_texts)
    section.notes.append(
        f"{named.sum()} of {len(named)} captions hold the name of an AudioSet class (words by their stems; a name may be that of a "
        "thing that is seen, as dog or car)"
    )
    if min(named.sum(), (~named).sum()) < 2:
        section.unmeasured = (
            f"not measured: {named.sum()} of {len(named)} captions name a sound, there is nothing to compare"
        )
        return section
    for one in [ground, *others]:
        kind = "main" if one is ground else "baseline"
        for label, rows in (("names a sound", named), ("names none", ~named)):
            change = None if one is ground else part_of(ground.query, rows)
            values = part_of(one.query, rows).values(change, ground.seed)
            section.lines.append(Line(f"{label} ({rows.sum()})", values, kind, one.label))
        gap = interval_of_mean(one.query.hits(), one.query.clusters["t2v"], named, seed=ground.seed)
        section.findings.append(
            f"{one.label}: text to video R@1 of texts that name a sound less that of the others: {Measured(*gap, signed=True)} points"
        )
    return section


def part_of(ranks: Ranks, rows: np.ndarray) -> Ranks:
    """The ranks of some captions, text to video; the gallery stays whole."""
    return Ranks({"t2v": ranks.by["t2v"][:, rows]}, {"t2v": ranks.clusters["t2v"][rows]}, ranks.gallery)
