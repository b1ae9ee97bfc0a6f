"""Faults of captions: typing errors, words left out, nouns exchanged, negation. Text in, text out; encoding is left to callers.

There is no part-of-speech tagger. A noun is taken to be the last word of a run of words that an article, a number or a
possessive opens and a function word, a verb in -ing or punctuation ends: good enough for English captions. The page shows
examples, so that readers can judge.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gaid.stress.faults import SHARES, Unit, generator, label

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|\d+")
_OPENING = frozenset(
    _WORD.findall(
        "a an the some any this that these those his her its their my our your another one two three four five six seven eight "
        "nine ten several many few"
    )
)
_GRAMMAR = frozenset(
    _WORD.findall(
        "about above across after against along among and around as at be because been before behind being below beside between "
        "beyond but by can could did do does down during for from go goes had has have he heard here how if in inside into is it "
        "later like may might near next no nor not of off on onto or out over past she should since so still than then there they "
        "through till to towards under until up upon us was we were what when where which while who whose will with within "
        "without would you"
    )
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class CaptionFault:
    """One way in which captions go wrong. `change(texts, strength, rng)` returns as many texts."""

    name: str
    title: str
    axis: str
    strengths: tuple[float, ...]
    how: str
    change: Callable[[Sequence[str], float, np.random.Generator], list[str]]
    unit: Unit = "%"

    @property
    def clean(self) -> float:
        return self.strengths[0]

    def __call__(self, texts: Sequence[str], strength: float, seed: int) -> list[str]:
        return self.change(texts, strength, generator(seed, self.name))

    def label(self, strength: float) -> str:
        return label(strength, self.unit)


def words(text: str) -> list[str]:
    """The words of a caption, without spaces and punctuation."""
    return _WORD.findall(text)


def nouns(text: str) -> list[tuple[int, int]]:
    """(start, end) of each noun of a caption, as this module defines nouns."""
    found: list[tuple[int, int]] = []
    run: list[tuple[int, int]] = []
    opened, end = False, 0

    def close() -> None:
        nonlocal opened
        if run:
            found.append(run[-1])
        run.clear()
        opened = False

    for match in _WORD.finditer(text):
        word = match[0].lower()
        if re.search(r"[^\s'’]", text[end : match.start()]):  # punctuation
            close()
        end = match.end()
        if word in _OPENING or word.isdigit():
            close()
            opened = True
        elif word in _GRAMMAR or (run and word.endswith(("ing", "ly"))):
            close()
        elif opened:
            run.append(match.span())
    close()
    return found


def _replace_words(text: str, change: Callable[[int, str], str]) -> str:
    places = iter(range(len(text)))
    changed = _WORD.sub(lambda match: change(next(places), match[0]), text)
    return changed


def _chosen(count: int, share: float, rng: np.random.Generator, most: int | None = None) -> set[int]:
    """That share of `count` places; the draws that follow are the same whatever the share is."""
    order = rng.permutation(count)
    return set(order[: min(round(share * count), count if most is None else most)].tolist())


def misspell(word: str, rng: np.random.Generator) -> str:
    """A word with one typing error: a letter left out, doubled, replaced, or two exchanged."""
    kind, place, letter = int(rng.integers(4)), int(rng.integers(max(1, len(word) - 1))), int(rng.integers(25))
    if len(word) == 1:
        return word + word
    if kind == 0:
        return word[:place] + word[place + 1 :]
    if kind == 1:
        return word[: place + 1] + word[place:]
    if kind == 2 and word[place] != word[place + 1]:
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    others = _LETTERS.replace(word[place].lower(), "")
    return word[:place] + others[letter] + word[place + 1 :]


def _typos(texts: Sequence[str], share: float, rng: np.random.Generator) -> list[str]:
    out = []
    for text in texts:
        own = np.random.default_rng(
            rng.integers(2**63)
        )  # so that the length of a caption does not change the errors of the next one
        count = len(words(text))
        chosen = _chosen(count, share, own)
        slips = [misspell(word, own) for word in words(text)]
        out.append(_replace_words(text, lambda at, word: slips[at] if at in chosen else word))  # noqa: B023
    return out


def _left_out(texts: Sequence[str], share: float, rng: np.random.Generator) -> list[str]:
    out = []
    for text in texts:
        count = len(words(text))
        chosen = _chosen(count, share, rng, max(0, count - 1))
        changed = _replace_words(text, lambda at, word: "" if at in chosen else word)  # noqa: B023
        out.append(" ".join(changed.split()) if chosen else text)
    return out


def _of_captions(
    texts: Sequence[str], share: float, rng: np.random.Generator, change: Callable[[str, np.random.Generator], str]
) -> list[str]:
    """Applies `change` to that share of the captions that it can change at all."""
    draws = rng.integers(2**63, size=len(texts))
    changed = [change(text, np.random.default_rng(draw)) for text, draw in zip(texts, draws, strict=True)]
    able = np.array([new != text for new, text in zip(changed, texts, strict=True)])
    places = rng.permutation(np.flatnonzero(able))
    chosen = set(places[: round(share * len(places))].tolist())
    return [changed[at] if at in chosen else text for at, text in enumerate(texts)]


def _put(text: str, places: Sequence[tuple[int, int]], new: Sequence[str]) -> str:
    parts, last = [], 0
    for (begin, end), word in zip(places, new, strict=True):
        parts += [text[last:begin], word]
        last = end
    return "".join([*parts, text[last:]])


def swap_nouns(text: str) -> str:
    """The caption with its nouns rotated by one place: "a man rides a horse" becomes "a horse rides a man"."""
    places = nouns(text)
    own = [text[begin:end] for begin, end in places]
    return _put(text, places, own[1:] + own[:1])


def _swapped(texts: Sequence[str], share: float, rng: np.random.Generator) -> list[str]:
    return _of_captions(texts, share, rng, lambda text, _: swap_nouns(text))


def _foreign_nouns(texts: Sequence[str], share: float, rng: np.random.Generator) -> list[str]:
    known = sorted({text[begin:end].lower() for text in texts for begin, end in nouns(text)})

    def change(text: str, own: np.random.Generator) -> str:
        places = nouns(text)
        there = {text[begin:end].lower() for begin, end in places}
        others = [word for word in known if word not in there]
        return _put(text, places, [str(own.choice(others)) for _ in places]) if others else text

    return _of_captions(texts, share, rng, change)


def negate(text: str) -> str:
    """The caption with "no" in place of its first a, an, some or the, or at its beginning where it has none."""
    changed = re.sub(r"\b(a|an|some|the)\b", "no", text, count=1, flags=re.IGNORECASE)
    if changed == text:
        return f"No {text[:1].lower()}{text[1:]}"
    return f"N{changed[1:]}" if text[:1].isupper() and changed.startswith("no") else changed


def _negated(texts: Sequence[str], share: float, rng: np.random.Generator) -> list[str]:
    return _of_captions(texts, share, rng, lambda text, _: negate(text))


CAPTION_FAULTS: dict[str, CaptionFault] = {
    fault.name: fault
    for fault in (
        CaptionFault("typos", "captions with typing errors", "share of the words", (0.0, 0.1, 0.25, 0.5, 0.75, 1.0),
                     "a word has one slip: a letter left out, doubled, replaced, or two exchanged", _typos),
        CaptionFault("words", "captions with words left out", "share of the words", (0.0, 0.1, 0.25, 0.5, 0.75, 0.9),
                     "words are left out, one at least stays", _left_out),
        CaptionFault("swapped-nouns", "captions whose nouns change places", "share of the captions", SHARES,
                     "the nouns of a caption move on by one place; captions of one noun stay", _swapped),
        CaptionFault("foreign-nouns", "captions with other captions' nouns", "share of the captions", SHARES,
                     "each noun is replaced by one from the other captions: here a head should fail", _foreign_nouns),
        CaptionFault("negation", "captions that deny what is seen", "share of the captions", SHARES,
                     "the first article becomes `no`: whoever reads it should no longer find the clip", _negated),
    )
}  # fmt: skip
