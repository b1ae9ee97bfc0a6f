"""Which captions name a sound, by the names of AudioSet's classes (data/audioset_classes.csv). Nothing is measured here."""

import csv
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

import numpy as np

# Names of places and recordings, of what is mostly visible, and of what makes no sound.
_NO_SOUNDS = {"inside", "outside", "small room", "large room or hall", "public space", "urban or manmade", "rural or natural",
              "field recording", "silence", "walk", "run", "animal", "domestic animals", "pets", "wild animals", "camera"}  # fmt: skip


@cache
def phrases() -> frozenset[tuple[str, ...]]:
    """Names of sounds as word stems: each class name split at commas and brackets."""
    text = files("gaid.evaluation").joinpath("data/audioset_classes.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    names = {part.strip().lower() for row in rows for part in re.split(r"[,()]", row["display_name"]) if part.strip()}
    return frozenset(_stems(name) for name in names - _NO_SOUNDS if _stems(name))


def named_sounds(caption: str) -> list[str]:
    """The names of sounds in a caption, as word stems: "dogs barking" has "dog" and "bark"."""
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


@cache
def _stemmer() -> object:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


def _stems(text: str) -> tuple[str, ...]:
    words = re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower())
    return tuple(_stemmer().stemWords(words))  # type: ignore[attr-defined]
