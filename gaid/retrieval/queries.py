"""What is searched for: a sentence, with phrases that its clips should not have, or an example in its place."""

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaid.errors import DataMissing, OptionInvalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gaid.stores import Store

# A minus before a letter, at the beginning of a word, leaves out what follows: -music, -"loud music".
_WITHOUT = re.compile(r'(?<!\S)-(?:"([^"]*)"|([^\W\d_]\S*))')


@dataclass(frozen=True, eq=False)
class Example:
    """Directions of a picture (Dv) and of a sound (Da), each None where the example has none."""

    picture: "NDArray[np.float32] | None"
    sound: "NDArray[np.float32] | None"

    @property
    def senses(self) -> tuple[bool, bool]:
        """Whether it has a picture, and whether it has a sound."""
        return self.picture is not None, self.sound is not None

    def as_text(self, store: "Store") -> "NDArray[np.float32]":
        """One vector (Dv + Da), where the head that compares examples takes a sentence's."""
        zeros = np.zeros(store.visual_dim, np.float32), np.zeros(store.audio_dim, np.float32)
        parts = (self.picture, self.sound)
        return np.concatenate([zero if part is None else part for part, zero in zip(parts, zeros, strict=True)])


@dataclass(frozen=True)
class Query:
    """One search.

    `text`: a sentence. `without`: phrases; a clip that one of them describes is ranked lower by as much. In place of a sentence,
    an example: `picture`, `sound`: files; `like`: the id of a clip of the library, or a file with picture and sound; `example`: one
    that is encoded already.
    """

    text: str = ""
    without: tuple[str, ...] = ()
    picture: Path | None = None
    sound: Path | None = None
    like: str | None = None
    example: Example | None = None

    @property
    def is_example(self) -> bool:
        """Whether files or a clip are looked for, rather than what a sentence says."""
        return any(one is not None for one in (self.picture, self.sound, self.like, self.example))

    @property
    def label(self) -> str:
        """What a table and a page show of it."""
        if self.example is not None:
            return "like the example"
        examples = (("picture", self.picture), ("sound", self.sound), ("clip", self.like))
        told = [f"like the {kind} {one}" for kind, one in examples if one is not None]
        return " ".join([*([self.text] if self.text else told), *(f"-{_quoted(one)}" for one in self.without)])

    @classmethod
    def parse(cls, text: str) -> "Query":
        """A sentence as it was typed, with white space normalised. Raises OptionInvalid for one that is empty or no text."""
        from gaid.datasets.types import is_unicode

        if not text.strip():
            raise OptionInvalid("search for what? The sentence is empty")
        if not is_unicode(text):
            raise OptionInvalid(
                f"the sentence {text!r} is not text: it has bytes that are not UTF-8, or half of a character"
            )
        phrases = [" ".join((quoted or word).split()) for quoted, word in _WITHOUT.findall(text)]
        rest = " ".join(_WITHOUT.sub(" ", text).split())
        if not rest:
            raise OptionInvalid(f"search for what? {text!r} only says what to leave out; say what to look for, too")
        return cls(rest, tuple(phrase for phrase in phrases if phrase))


def _quoted(phrase: str) -> str:
    return f'"{phrase}"' if " " in phrase else phrase


def read_queries(
    query: str | Query | Sequence[str | Query],
    files: str | Path | Iterable[str | Path],
    example: Query | None = None,
) -> list[Query]:
    """All queries: those that are given, the example, then the sentences of files, one per line, `-` for standard input.

    Raises OptionInvalid, also where there are none, and DataMissing.
    """
    from gaid.datasets.reading import read_lines

    given: list[str | Query] = [query] if isinstance(query, str | Query) else list(query)
    given += [example] if example else []
    for file in [files] if isinstance(files, str | Path) else files:
        if str(file) == "-":
            lines = sys.stdin.read().splitlines()
        elif not Path(file).is_file():
            raise DataMissing(f"--query-file {file}: no such file; one sentence per line is expected in it")
        else:
            lines = [line for _, line in read_lines(Path(file))]
        given += [line for line in lines if line.strip()]
    if not given:
        raise OptionInvalid('search for what? Give a sentence ("a dog barks"), or --query-file FILE with one per line')
    return [one if isinstance(one, Query) else Query.parse(one) for one in given]
