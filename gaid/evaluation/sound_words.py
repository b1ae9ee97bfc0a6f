"""Which captions name a sound: by words of hearing and sounding, and by the names of AudioSet's classes
(data/audioset_classes.csv), many of which are names of things. Nothing is measured here."""

import csv
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

# Names of places and recordings, of what is mostly visible, and of what makes no sound.
_NO_SOUNDS = {"inside", "outside", "small room", "large room or hall", "public space", "urban or manmade", "rural or natural",
              "field recording", "silence", "walk", "run", "animal", "domestic animals", "pets", "wild animals", "camera"}  # fmt: skip

# Words that tell of a sound whatever makes it; not of things that may be silent, such as a bell or a dog.
_SOUNDING = """sound noise hear heard hears audible listen loud quiet silence noisy voice sing sang song music melody tune rhythm speak
spoke speech talk chat shout yell scream whisper laugh giggle cry weep sob cheer clap applaud applause bark woof meow purr moo neigh roar
growl howl chirp tweet squawk hoot croak quack buzz hum hiss beep jingle bang thunder knock rattle rumble squeak creak whistle honk wail
blare crackle gurgle snore sneeze cough whine clatter clang patter rustle sizzle strum"""


@cache
def sounding_words() -> frozenset[str]:
    """Stems of words of hearing and sounding."""
    return frozenset(_stems(_SOUNDING))


def tells_of_sound(captions: Iterable[str]) -> np.ndarray:
    """(captions) bool: which of them have a word of hearing or sounding, such as "hear", "loud", "barks"."""
    return np.array([bool(sounding_words().intersection(_stems(caption))) for caption in captions], dtype=bool)


@cache
def class_names() -> tuple[str, ...]:
    """The names of AudioSet's classes."""
    text = files("gaid.evaluation").joinpath("data/audioset_classes.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(row["display_name"] for row in rows)


@cache
def phrases() -> frozenset[tuple[str, ...]]:
    """Names of sounds as word stems: each class name split at commas and brackets."""
    names = {part.strip().lower() for name in class_names() for part in re.split(r"[,()]", name) if part.strip()}
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
def stemmer() -> Any:
    """Snowball's stemmer of English words."""
    import snowballstemmer

    return snowballstemmer.stemmer("english")


def _stems(text: str) -> tuple[str, ...]:
    words = re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower())
    return tuple(stemmer().stemWords(words))
