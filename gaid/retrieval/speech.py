"""What is said in a library's clips, by its meaning and its words: how well it fits sentences, and where.

A segment's score is the cosine of its embedding with the sentence's, plus what it has of the sentence's words (`words`). A
clip's is that of its best segment. What is added to a head's score is only what lies above chance: above the best score that
speech about other things would have among as many clips. docs/search.md says how the weights were chosen.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from gaid.retrieval.words import Words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gaid.stores.speech import Speech

WORDS = 0.5  # of a segment that has all words of a sentence, beside the cosine
LIFT = 24.0  # what a segment adds that could not fit better, in spreads of the head's scores; 0 is added at the level of chance
NARROW = 0.02  # the least spread of speech about other things
BLOCK = 16  # sentences that are compared at once


class SpokenLibrary:
    """The speech of a store, ready to be asked. `rows` (C): the clips in which something is said, ascending."""

    def __init__(self, speech: "Speech") -> None:
        self.speech = speech
        self.rows = np.flatnonzero(np.diff(speech.offsets))
        self._starts = speech.offsets[self.rows]
        self._vectors = _unit(speech.embedding)

    @cached_property
    def _words(self) -> Words:
        return Words(self.speech.texts)

    def ask(
        self, sentences: "Sequence[str]", vectors: "NDArray[np.floating]", others: "NDArray[np.floating]"
    ) -> "Spoken":
        """How well clips fit sentences, whose embeddings are `vectors` (Q, Dt). `others` (N, Dt): those of sentences about other
        things, which stand for speech that is not meant."""
        asked = _unit(vectors)
        found = np.empty((len(sentences), len(self.rows)), np.float32)
        for first in range(0, len(sentences), BLOCK):
            some = slice(first, first + BLOCK)
            scores = self._segments(sentences[some], asked[some])
            if len(self.rows):
                found[some] = np.maximum.reduceat(scores, self._starts, axis=1)
        chance = np.concatenate([found, asked @ _unit(others).T], axis=1)
        low, middle, high = np.quantile(chance, [0.25, 0.5, 0.75], axis=1)
        spread = np.maximum((high - low) / 1.349, NARROW)  # of a normal distribution with these quartiles
        level = middle + spread * np.sqrt(2 * np.log(chance.shape[1]))
        return Spoken(self, list(sentences), asked, found, level.astype(np.float32))

    def _segments(self, sentences: "Sequence[str]", vectors: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """Scores (Q, S)."""
        words = np.stack([self._words.find(sentence) for sentence in sentences])
        return vectors @ self._vectors.T + WORDS * words

    def best_segment(self, sentence: str, vector: "NDArray[np.float32]", row: int) -> int:
        """The number of the segment of a clip that fits a sentence best."""
        first, last = self.speech.offsets[row : row + 2].tolist()
        words = self._words.find(sentence)[first:last]
        return first + int(np.argmax(self._vectors[first:last] @ vector + WORDS * words))


@dataclass(frozen=True)
class Said:
    """What was found in a clip: the words, and when, in seconds from the clip's start."""

    words: str
    moment: tuple[float, float]


@dataclass(frozen=True)
class Spoken:
    """Sentences and what is said: `scores` (Q, C) of the clips with speech, and for each sentence the `level` up to which speech
    about other things may score by chance."""

    library: SpokenLibrary
    sentences: list[str]
    vectors: "NDArray[np.float32]"
    scores: "NDArray[np.float32]"
    level: "NDArray[np.float32]"

    def above(self) -> "NDArray[np.float32]":
        """(Q, C) where a clip lies between chance (0, also below it) and the best that can be (1)."""
        room = np.maximum(1 + WORDS - self.level, 1e-6)
        return np.maximum(self.scores - self.level[:, None], 0) / room[:, None]

    def ranked(self, queries: int, owners: "Sequence[int]") -> "NDArray[np.float32]":
        """Scores (queries, C) less, for each phrase that a query leaves out, by what the clip says of it above chance. The phrases
        follow the queries; `owners`: the query of each."""
        found = self.scores[:queries].copy()
        for owner, scores, level in zip(owners, self.scores[queries:], self.level[queries:], strict=True):
            found[owner] -= np.maximum(scores - level, 0)
        return found

    def lifts(self, queries: int, owners: "Sequence[int]") -> "NDArray[np.float32]":
        """(queries, C) what speech adds to the scores of clips, in spreads of the head's scores; below 0 where a phrase that a query
        leaves out is said."""
        found = LIFT * self.above()
        total = found[:queries].copy()
        for owner, above in zip(owners, found[queries:], strict=True):
            total[owner] -= above
        return total

    def said(self, query: int, row: int) -> Said:
        """The segment of a clip with speech that fits a sentence best."""
        number = self.library.best_segment(self.sentences[query], self.vectors[query], row)
        segment = self.library.speech.segment(number)
        return Said(segment.text, (segment.start, segment.end))


def _unit(vectors: "NDArray[np.floating]") -> "NDArray[np.float32]":
    wide = vectors.astype(np.float32)
    wide /= np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-9)
    return wide
