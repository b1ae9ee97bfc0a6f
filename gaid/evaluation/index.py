"""Candidates from a faiss index over video vectors that need no query, then exact scores of those candidates by the head.

The vectors are `head.embed_videos`: the mean of the fused frames as gated and pooled by the mean training text. They only
choose which videos the head scores; reported is how much of the exact ranking the candidates contain, and both times.
"""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int

from gaid.errors import OptionInvalid
from gaid.evaluation.figures import Figures, figures_of
from gaid.evaluation.ranks import Ranks
from gaid.heads.base import Noise

if TYPE_CHECKING:
    from gaid.evaluation.bench import Bench
    from gaid.heads import Head
    from gaid.heads.features import Features

RECALLED = (1, 5, 10)


@dataclass
class CandidateSearch:
    """A search of all captions through the index. `ranks` (captions): of their own videos, the last place for no candidate.

    `found`: the share of captions whose own video is among the candidates, in per cent.
    """

    candidates: int
    found: float
    recall: dict[str, float]
    seconds: dict[str, float]
    queries: int
    ranks: np.ndarray = field(repr=False)
    figures: Figures | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            **({"t2v": self.figures.to_dict()} if self.figures else {}),
            "candidates": self.candidates,
            "own_video_among_candidates": round(self.found, 4),
            "recall_of_exact_top": {name: round(value, 4) for name, value in self.recall.items()},
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
            "queries": self.queries,
        }


def default_candidates(videos: int) -> int:
    """A tenth of the gallery, at least 50 and at most 1,000; below 50 the exact ranking costs as little."""
    return min(videos, max(50, min(1000, videos // 10)))


def check_has_vectors(head: "Head") -> None:
    """Raises OptionInvalid for a head that has no vector of a video to put into an index."""
    if not head.has_video_embedding:
        raise OptionInvalid("--index faiss: this head has no vector of a video without a query; use --index exact")


def check_indexable(head: "Head", candidates: int | None, videos: int) -> int:
    """How many candidates a query gets. Raises OptionInvalid for a head without video vectors, or for fewer than one."""
    check_has_vectors(head)
    if candidates is None:
        return default_candidates(videos)
    if candidates < 1:
        raise OptionInvalid(f"--candidates {candidates} must be at least 1")
    return min(candidates, videos)


class VideoIndex:
    """Flat inner-product index of `head.embed_videos`, searched with `head.embed_text`; videos are numbered as they are added."""

    def __init__(self, head: "Head") -> None:
        self.head = head
        self._index: Any = None

    @torch.inference_mode()
    def add(self, visual: torch.Tensor, audio: torch.Tensor, audio_mask: torch.Tensor) -> None:
        """Adds videos: features (videos, frames, visual_dim), (videos, frames, audio_dim) and the mask (videos, frames)."""
        import faiss

        vectors = unit(self.head.embed_videos(visual, audio, audio_mask))
        self._index = self._index or faiss.IndexFlatIP(vectors.shape[1])
        self._index.add(vectors)

    @torch.inference_mode()
    def nearest(self, text: torch.Tensor, count: int) -> np.ndarray:
        """Rows (captions, count) of each caption's nearest videos, nearest first; `text` (captions, text_dim) as stored."""
        rows: np.ndarray = self._index.search(unit(self.head.embed_text(text)), count)[1]
        return rows


@torch.inference_mode()
def rescore(
    head: "Head",
    features: "Features",
    candidates: Int[np.ndarray, "captions count"],
    *,
    memory: int,
    seed: int = 0,
    noise: Noise = "text",
) -> Float[np.ndarray, "captions count"]:
    """The head's scores (captions, count) of each caption's candidates. `noise`: how the trials of a head are drawn.

    One caption, or few, are scored one by one, each with all its candidates. Of many captions each video is scored with all captions
    that have it as a candidate, so that what a head computes per video is computed once.
    """
    scores = np.empty(candidates.shape, np.float32)
    few = head.few_texts(1, features.tokens)

    def options(texts: np.ndarray, videos: np.ndarray) -> dict[str, Any]:
        if not head.has_trials:
            return {"memory": memory, "seed": seed}
        rows = {"text_rows": torch.from_numpy(texts), "video_rows": torch.from_numpy(videos)}
        return {"memory": memory, "seed": seed, "noise": noise, **rows}

    if len(candidates) == 1 or candidates.size <= few * len(np.unique(candidates)):
        for row, wanted in enumerate(candidates):
            clips = features.videos(torch.from_numpy(wanted).to(features.text.device))
            block = head.score(features.text[row : row + 1], *clips, **options(np.array([row]), wanted))
            scores[row] = block[0].float().cpu().numpy()
        return scores
    captions, places = np.divmod(np.arange(candidates.size), candidates.shape[1])
    by_video = np.argsort(candidates.ravel(), kind="stable")
    videos, starts = np.unique(candidates.ravel()[by_video], return_index=True)
    for video, wanted in zip(videos, np.split(by_video, starts[1:]), strict=True):
        rows = captions[wanted]
        clips = features.videos(slice(video, video + 1))
        block = head.score(features.text[rows], *clips, **options(rows, np.array([video])))
        scores[rows, places[wanted]] = block[:, 0].float().cpu().numpy()
    return scores


def search_all(
    head: "Head",
    features: "Features",
    caption_video: Int[np.ndarray, " captions"],
    exact: Float[np.ndarray, "captions videos"],
    *,
    count: int,
    memory: int,
    seed: int = 0,
    noise: Noise = "text",
) -> CandidateSearch:
    """All captions through the index, compared with `exact`, the scores (captions, videos) of all pairs."""
    started = time.perf_counter()
    index = VideoIndex(head)
    index.add(*features.videos(slice(None)))
    built = time.perf_counter()
    candidates = index.nearest(features.text, count)
    asked = time.perf_counter()
    scores = rescore(head, features, candidates, memory=memory, seed=seed, noise=noise)
    seconds = {"index": built - started, "candidates": asked - built, "rescoring": time.perf_counter() - asked}
    own = candidates == np.asarray(caption_video)[:, None]
    found = own.any(axis=1)
    own_score = np.where(found, scores[np.arange(len(scores)), own.argmax(axis=1)], np.inf)
    # Ties count against the query, as in metrics; a video that is not a candidate takes the gallery's last place.
    ranks = np.where(found, (scores >= own_score[:, None]).sum(axis=1), exact.shape[1])
    recall = {}
    for top in (top for top in RECALLED if top <= min(count, exact.shape[1])):
        held = [np.isin(_best(row, top), wanted).mean() for row, wanted in zip(exact, candidates, strict=True)]
        recall[f"top {top}"] = 100 * float(np.mean(held))
    return CandidateSearch(count, 100 * float(found.mean()), recall, seconds, len(candidates), ranks.astype(np.float64))


def measure_index(bench: "Bench", candidates: int | None) -> CandidateSearch:
    """The first member's head through the index, compared with its own exact ranking. Raises OptionInvalid."""
    head, member = bench.head(), bench.members[0]
    count = check_indexable(head, candidates, bench.videos)
    started = time.perf_counter()
    exact = bench.scores(member)
    seconds = time.perf_counter() - started
    found = search_all(
        head,
        bench.features(head),
        bench.owner,
        exact,
        count=count,
        memory=bench.memory,
        seed=bench.seed,
        noise=bench.basis.noise.get("query", "text"),
    )
    found.seconds["exact"] = seconds
    ranks = Ranks({"t2v": found.ranks[None]}, {"t2v": bench.owner}, bench.videos)
    found.figures = figures_of(ranks, bench.seed)["t2v"]
    return found


def _best(scores: np.ndarray, count: int) -> np.ndarray:
    return np.argpartition(-scores, count - 1)[:count]


def unit(vectors: torch.Tensor) -> np.ndarray:
    vectors = torch.nn.functional.normalize(vectors.float(), dim=-1)
    return np.ascontiguousarray(vectors.cpu().numpy())
