"""Captions: queries that name a sound compared with those that do not, by the names of AudioSet's classes."""

import numpy as np

from gaid.audit.results import Line, Section
from gaid.evaluation.bench import Bench
from gaid.evaluation.ranks import Estimate, Ranks
from gaid.evaluation.sound_words import names_sound
from gaid.metrics import interval_of_mean


def captions(bench: Bench, others: list[Bench]) -> Section:
    """Text to video R@1 of the two kinds of queries, their difference, and how much each kind gains over other runs."""
    section = Section(
        "captions", "Captions", "Are the texts that name a sound the ones that are found?",
        columns=("t2v R@1", "change t2v R@1", "t2v R@5", "t2v R@10"),
    )  # fmt: skip
    named = names_sound(bench.split.caption_texts)
    section.notes.append(
        f"{named.sum()} of {len(named)} captions contain the name of an AudioSet class (compared by word stems; such a name may be "
        "that of a thing in the picture, as dog or car)"
    )
    if min(named.sum(), (~named).sum()) < 2:
        section.unmeasured = (
            f"not measured: {named.sum()} of {len(named)} captions name a sound, there is nothing to compare"
        )
        return section
    for one in [bench, *others]:
        kind = "main" if one is bench else "baseline"
        for label, rows in (("names a sound", named), ("names none", ~named)):
            change = None if one is bench else part_of(bench.ranks, rows)
            values = part_of(one.ranks, rows).values(change, bench.seed)
            section.lines.append(Line(f"{label} ({rows.sum()})", values, kind, one.label))
        gap = interval_of_mean(one.ranks.hits(), one.ranks.clusters["t2v"], named, seed=bench.seed)
        section.findings.append(
            f"{one.label}: text to video R@1 of texts that name a sound less that of the others: {Estimate(*gap, signed=True)} points"
        )
    return section


def part_of(ranks: Ranks, rows: np.ndarray) -> Ranks:
    """The ranks of some captions, text to video; the gallery stays whole."""
    return Ranks({"t2v": ranks.by["t2v"][:, rows]}, {"t2v": ranks.clusters["t2v"][rows]}, ranks.gallery)
