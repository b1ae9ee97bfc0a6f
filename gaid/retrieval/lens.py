"""How well clips fit queries: a head, the vectors that it compares, and the sense that counts.

Reading clips and choosing the best are the searcher's.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gaid.errors import OptionInvalid
from gaid.evaluation.index import rescore, unit
from gaid.heads.features import Features
from gaid.stores import iter_clips, read_clips, with_audio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gaid.heads import Head
    from gaid.stores import Split, Store

Sense = Literal["all", "picture", "sound", "speech"]
SENSES = ("all", "picture", "sound", "speech")
MET = 2000  # clips whose sounds an untrained head meets, so that a large library opens quickly
SAMPLE, QUICK = 512, 32  # clips that stand for the library, where all are scored and where only candidates are


@dataclass(frozen=True)
class Lens:
    """A head that looks at clips for some queries. `text` (Q, dim): what it compares with them. `audio`: which sound the clips
    have for it (`stores.with_audio`). Raises OptionInvalid for a sense that the head does not use."""

    head: "Head"
    text: Float[Tensor, "queries _"]
    sense: Sense
    audio: str
    device: str
    memory: int
    seed: int

    def __post_init__(self) -> None:
        if self.sense not in SENSES:
            raise OptionInvalid(f"--sense {self.sense}: choose {', '.join(SENSES)}")
        uses = {"picture": self.head.uses_visual, "sound": self.head.uses_audio, "all": True}
        if not uses.get(self.sense):
            raise OptionInvalid(
                f"--sense {self.sense}: this head does not use it; leave --sense out, or take another head"
            )

    @property
    def both(self) -> bool:
        """Whether the head uses both senses."""
        return self.head.uses_visual and self.head.uses_audio

    def of(self, queries: list[int]) -> "Lens":
        """The same for some of the queries."""
        return replace(self, text=self.text[queries])

    def ask(self, text: "NDArray[np.floating]") -> "Lens":
        """The same for other queries, whose vectors these are (Q, dim)."""
        return replace(self, text=torch.from_numpy(text).to(self.device))

    def features(self, clips: "Split") -> Features:
        """Clips as the head takes them."""
        heard = with_audio(clips, self.audio, self.seed)
        return Features.of(_Clips(heard, heard.audio_mask), self.device, self.head)

    @torch.inference_mode()
    def senses(self, features: Features) -> "dict[str, NDArray[np.float32]]":
        """Scores (Q, V) without the clips' sounds, `picture`, and what the sounds add, `sound`. Of a head that uses one sense, only
        that."""
        if not self.both:
            return {"picture" if self.head.uses_visual else "sound": self._score(features)}
        silent = self._score(_silent(features))
        return {"picture": silent, "sound": self._score(features) - silent}

    @torch.inference_mode()
    def scores(self, features: Features) -> "NDArray[np.float32]":
        """Scores (Q, V) by the sense that counts."""
        if self.sense == "all" or not self.both:
            return self._score(features)
        return self.senses(features)[self.sense]

    @torch.inference_mode()
    def rescore(self, features: Features, candidates: "NDArray[np.int64]") -> "NDArray[np.float32]":
        """Scores (Q, count) of each query's candidates, which are places among the clips of `features`, by the sense that counts."""

        def by(clips: Features) -> "NDArray[np.float32]":
            asked = replace(clips, text=self.text)
            return rescore(self.head, asked, candidates, memory=self.memory // 2, seed=self.seed)

        if self.sense == "all" or not self.both:
            return by(features)
        silent = by(_silent(features))
        return silent if self.sense == "picture" else by(features) - silent

    # Vectors by which an index finds candidates: the product of a query's and a clip's is near the score

    @torch.inference_mode()
    def vectors(self, features: Features) -> "NDArray[np.float32]":
        """The vectors of clips (V, D) by the sense that counts, or by all senses where the head keeps these apart in a vector."""
        full = self._embed(features)
        if self.sense == "all" or not self.both or self.head.vector_parts:
            return full
        silent = self._embed(_silent(features))
        return silent if self.sense == "picture" else full - silent

    @torch.inference_mode()
    def query_vectors(self) -> "NDArray[np.float32]":
        """The unit vectors of the queries (Q, D), for `vectors`."""
        found = self.head.embed_text(self.text)
        parts = self.head.vector_parts
        if parts and self.sense != "all":
            asked = torch.zeros_like(found)
            asked[:, parts[self.sense]] = found[:, parts[self.sense]]
            found = asked
        return unit(found)

    def _embed(self, features: Features) -> "NDArray[np.float32]":
        found = self.head.embed_videos(*features.videos(slice(None)))
        if not self.head.vector_parts:
            return unit(found)
        vectors: NDArray[np.float32] = found.float().cpu().numpy()
        return vectors

    # Reading clips

    def _score(self, features: Features) -> "NDArray[np.float32]":
        found = self.head.score(self.text, *features.videos(slice(None)), memory=self.memory // 2, seed=self.seed)
        scores: NDArray[np.float32] = found.float().cpu().numpy()
        return scores

    def blocks(
        self, store: "Store", rows: "NDArray[np.int64] | None" = None
    ) -> "Iterator[tuple[NDArray[np.int64], Features]]":
        """Clips of a store, those of `rows` or all that have features, as many at once as the memory holds."""
        per_clip = max(self._bytes_per_clip(store), 8 * len(self.text))
        for some, clips in iter_clips(store, max(1, self.memory // 4 // per_clip), rows):
            yield some, self.features(clips)

    def _bytes_per_clip(self, store: "Store") -> int:
        """Size of one clip's features, of the kind that the head takes, once they are widened to float32."""
        visual, audio = store.frames * store.visual_dim, store.frames * store.audio_dim
        if self.head.visual_input == "patches" and store.patch_shape:
            visual = store.frames * math.prod(store.patch_shape)
        if self.head.audio_input == "tokens" and store.audio_token_shape:
            audio = store.frames * math.prod(store.audio_token_shape)
        if self.head.audio_input == "clip" and store.audio_clip_token_shape:
            audio = math.prod(store.audio_clip_token_shape)
        return 4 * (visual + audio)

    def sample(self, store: "Store", valid: "NDArray[np.int64]", most: int = SAMPLE) -> Features:
        """Clips that stand for the library: up to `most`, spread over it."""
        count = max(1, min(most, len(valid), self.memory // 4 // self._bytes_per_clip(store)))
        return self.features(read_clips(store, valid[np.linspace(0, len(valid) - 1, count).astype(np.int64)]))


def _silent(features: Features) -> Features:
    return replace(features, audio_mask=torch.zeros_like(features.audio_mask))


@dataclass
class _Clips:
    """Clips without sentences, in the form that `Features.of` takes."""

    clips: "Split"
    audio_mask: "NDArray[np.bool_]"

    def text_as(self, kind: str) -> "NDArray[np.float16]":
        return np.empty((0, 0), np.float16)

    def visual_as(self, kind: str) -> "NDArray[np.float16]":
        return self.clips.visual_as(kind)

    def audio_as(self, kind: str) -> "NDArray[np.float16]":
        return self.clips.audio_as(kind)


@dataclass(frozen=True)
class Background:
    """What the library's clips score for each query on average (Q), and of that each sense (Q), the sound over the clips that
    have one; and how far the scores are spread (Q), as a standard deviation."""

    mean: "NDArray[np.float32]"
    spread: "NDArray[np.float32]"
    senses: "dict[str, NDArray[np.float32]]"

    @classmethod
    def of(cls, lens: Lens, sample: Features) -> "Background":
        """The background of a lens's queries, from clips that stand for the library."""
        found = lens.senses(sample)
        ranked = found.get(lens.sense, sum(found.values()))
        sounding = sample.audio_mask.any(1).cpu().numpy()
        senses = {}
        for name, scores in found.items():
            some = scores[:, sounding] if name == "sound" and sounding.any() else scores
            senses[name] = some.mean(axis=1)
        return cls(np.mean(ranked, axis=1), np.std(ranked, axis=1), senses)

    def above(self, scores: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """How far scores (Q, V) lie above the library's mean."""
        return scores - self.mean[:, None]

    def carrier(self, query: int, senses: dict[str, float], heard: bool) -> str | None:
        """The sense that lifts a clip most above the library, from what each finds in it; None where there are not two."""
        above = {name: value - float(self.senses[name][query]) for name, value in senses.items() if name in self.senses}
        if senses.get("speech", 0) > 0:
            above["speech"] = senses["speech"]
        if not heard:
            above.pop("sound", None)
        return max(above, key=lambda name: above[name]) if len(senses) > 1 else None


def best_clips(
    lens: Lens,
    store: "Store",
    count: int,
    rows: "NDArray[np.int64] | None" = None,
    change: "Callable[[NDArray[np.float32]], NDArray[np.float32]] | None" = None,
) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
    """Rows (Q, count) of the clips with the best scores, of `rows` or of all that have features, best first, and the scores.

    `change` makes the scores that are ranked of those of a lens's queries. Clips are read and scored a block at a time, so a store
    may be larger than memory.
    """
    best_rows, best = np.empty((0, 0), np.int64), np.empty((0, 0), np.float32)
    for some, features in lens.blocks(store, rows):
        found = lens.scores(features)
        found = change(found) if change else found
        if not len(best):
            best_rows, best = np.empty((len(found), 0), np.int64), np.empty((len(found), 0), np.float32)
        scores = np.concatenate([best, found], axis=1)
        table = np.concatenate([best_rows, np.broadcast_to(some, (len(found), len(some)))], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        best, best_rows = np.take_along_axis(scores, order, axis=1), np.take_along_axis(table, order, axis=1)
    return best_rows, best
