"""Texts by their words: BM25 over stems, as a table that is made once and asked by any number of queries."""

import re
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from gaid.evaluation.sound_words import stemmer

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The usual constants: how soon a repeated word counts no more, and how much less one of a long text counts.
SATURATION, LENGTH = 1.2, 0.75
_WORD = re.compile(r"\w+(?:['’]\w+)?")
# Words that carry no meaning by themselves; a text is not found by them.
STOP = frozenset(
    [
        "a",
        "about",
        "after",
        "all",
        "also",
        "am",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "because",
        "been",
        "before",
        "being",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "doing",
        "down",
        "for",
        "from",
        "had",
        "has",
        "have",
        "having",
        "he",
        "her",
        "here",
        "him",
        "his",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "just",
        "me",
        "more",
        "my",
        "no",
        "not",
        "now",
        "of",
        "on",
        "one",
        "or",
        "other",
        "our",
        "out",
        "over",
        "said",
        "she",
        "so",
        "some",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "to",
        "too",
        "up",
        "us",
        "very",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)


def split_words(text: str) -> list[str]:
    """The words of a text without those that say nothing."""
    return [word for word in _WORD.findall(text.lower().replace("’", "'")) if word not in STOP]


class Words:
    """The words of texts. `find` says how well each text holds those of a query."""

    def __init__(self, texts: Sequence[str]) -> None:
        from scipy.sparse import coo_array

        split = [split_words(text) for text in texts]
        # Each word is stemmed once, whatever the number of texts that have it.
        there = list(dict.fromkeys(chain.from_iterable(split)))
        self._number: dict[str, int] = {}
        numbers = [self._number.setdefault(stem, len(self._number)) for stem in stemmer().stemWords(there)]
        of_word = dict(zip(there, numbers, strict=True))
        columns = np.fromiter((of_word[word] for word in chain.from_iterable(split)), np.int64)
        rows = np.repeat(np.arange(len(texts)), np.array([len(words) for words in split], np.int64))
        shape = len(texts), max(1, len(self._number))
        counts = coo_array((np.ones(len(rows), np.float32), (rows, columns)), shape).tocsc()
        counts.sum_duplicates()
        lengths = np.bincount(rows, minlength=len(texts)).astype(np.float32)
        usual = SATURATION * (1 - LENGTH + LENGTH * lengths / max(float(lengths.mean()) if len(texts) else 1.0, 1e-9))
        counts.data = counts.data / (counts.data + usual[counts.indices])
        self._table = counts
        self._texts = len(texts)
        self._rarity = self._rarity_of(np.diff(counts.indptr))

    def _rarity_of(self, found: "NDArray[np.integer]") -> "NDArray[np.float32]":
        """How much a word says that so many texts have."""
        return np.log1p((self._texts - found + 0.5) / (found + 0.5)).astype(np.float32)

    def find(self, query: str) -> "NDArray[np.float32]":
        """For each text from 0, no word of the query, to 1, all of them again and again: BM25, divided by its bound."""
        found, bound = np.zeros(self._texts, np.float32), 0.0
        for stem in dict.fromkeys(stemmer().stemWords(split_words(query))):
            number = self._number.get(stem)
            if number is None:  # a word that no text has: none holds all of the query
                bound += float(self._rarity_of(np.array(0)))
                continue
            first, last = self._table.indptr[number : number + 2]
            found[self._table.indices[first:last]] += self._rarity[number] * self._table.data[first:last]
            bound += float(self._rarity[number])
        return found / bound if bound else found
