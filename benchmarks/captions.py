"""Cutting captions into tokens for CLIP: once to count them when a store is planned, and once to encode them.

As many as MSR-VTT has. The tower takes no part. The peer is open_clip's tokeniser as it comes, called both times.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import open_clip
from torch import Tensor

from benchmarks.harness import Case, Findings, Goal, Options, race
from gaid.backbones.clip.text import ClipText
from gaid.backbones.clip.weights import resolve_clip

MODEL = "ViT-B-32"
CAPTIONS, MEASURED = 181_000, 24_000
WORDS, SHORTEST, LONGEST = 9_000, 5, 14
AT_ONCE = 512
SECONDS = 15
OURS, PEER = "gaid", "open_clip's tokeniser, called twice"


@dataclass
class Rival:
    """How one counts tokens and then makes them; `new` builds it with nothing remembered."""

    new: Callable[[], tuple[Callable[[list[str]], object], Callable[[list[str]], Tensor]]]

    def renew(self) -> None:
        self.count, self.tokens = self.new()

    def run(self, texts: list[str]) -> list[Tensor]:
        """Tokens (B, context length) of each block."""
        blocks = [texts[start : start + AT_ONCE] for start in range(0, len(texts), AT_ONCE)]
        for block in blocks:
            self.count(block)
        return [self.tokens(block) for block in blocks]


def run(options: Options) -> Findings:
    count = 300 if options.quick else MEASURED
    texts = make_captions(count, options.seed)
    rivals = {OURS: Rival(_of_gaid), PEER: Rival(_of_open_clip)}

    def renew() -> None:
        for rival in rivals.values():
            rival.renew()

    timings = race({name: partial(rival.run, texts) for name, rival in rivals.items()}, options, before=renew)
    for timing in timings.values():
        timing.seconds = [CAPTIONS / count * one for one in timing.seconds]
        timing.share = count / CAPTIONS
    renew()
    of_each = [np.concatenate(rival.run(texts)) for rival in rivals.values()]
    differs = float(np.abs(of_each[0] - of_each[1]).max())
    case = Case(f"{CAPTIONS:,} captions", OURS, timings, units=CAPTIONS, unit="captions", error=differs)
    found = timings[OURS].median
    goal = Goal(f"tokens of {CAPTIONS:,} captions in under {SECONDS} s", f"{found:.1f} s", found < SECONDS)
    note = f"Generated captions of {SHORTEST} to {LONGEST} words out of {WORDS:,}. The tokeniser is Python: one thread."
    return Findings("captions", [case], [goal], [note])


def make_captions(count: int, seed: int) -> list[str]:
    """Sentences of words as frequent as in a language, where the n-th is 1/n times as frequent as the first."""
    draw = random.Random(seed)
    syllables = [first + vowel for first in "bcdfghklmnprstvw" for vowel in ("a", "e", "i", "o", "u", "ing", "er")]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 3))) for _ in range(WORDS)]
    frequency = [1 / rank for rank in range(1, WORDS + 1)]
    return [
        " ".join(draw.choices(words, frequency, k=draw.randint(SHORTEST, LONGEST))).capitalize() for _ in range(count)
    ]


def _of_gaid() -> tuple[Callable[[list[str]], object], Callable[[list[str]], Tensor]]:
    text = ClipText(resolve_clip(MODEL, random_weights=True))
    return text.count_tokens, text.tokenize


def _of_open_clip() -> tuple[Callable[[list[str]], object], Callable[[list[str]], Tensor]]:
    tokenizer = open_clip.get_tokenizer(MODEL)
    return tokenizer, tokenizer
