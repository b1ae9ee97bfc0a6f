"""Captions: queries that name a sound against those that don't, by the names of AudioSet's classes."""

import csv
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

import numpy as np

from gaid.audit.ground import Ground
from gaid.audit.results import Line, Measured, Ranks, Section
from gaid.metrics import interval_of_mean

# Names of places and recordings, of what is mostly seen, and of nothing to hear.
_NO_SOUNDS = {"inside", "outside", "small room", "large room or hall", "public space", "urban or manmade", "rural or natural",
              "field recording", "silence", "walk", "run", "animal", "domestic animals", "pets", "wild animals", "camera"}  # fmt: skip


@cache
def phrases() -> frozenset[tuple[str, ...]]:
    """Names of sounds as stems of their words: each class name split at commas and brackets."""
    text = files("gaid.audit").joinpath("data/audioset_classes.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    names = {part.strip().lower() for row in rows for part in re.split(r"[,()]", row["display_name"]) if part.strip()}
    return frozenset(_stems(name) for name in names - _NO_SOUNDS if _stems(name))


def named_sounds(caption: str) -> list[str]:
    """The names of sounds that a caption holds, as stems of words: "dogs barking" holds "dog" and "bark"."""
    stems = _stems(caption.lower())
    known = phrases()
    longest = max(map(len, known))
    return [
        " ".join(stems[start : start + size])
        for start in range(len(stems))
        for size in range(1, min(longest, len(stems) - start) + 1)
        if stems[start : start + size] in known
    ]


def names_sound(captions: Iterable[str]) -> np.ndarray:
    """(captions) bool: which of them name a sound."""
    return np.array([bool(named_sounds(caption)) for caption in captions], dtype=bool)


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


@cache
def _stemmer() -> object:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


def _stems(text: str) -> tuple[str, ...]:
    words = re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower())
    return tuple(_stemmer().stemWords(words))  # type: ignore[attr-defined]
