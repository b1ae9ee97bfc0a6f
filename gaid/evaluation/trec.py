"""Rankings in TREC's form, a run and its qrels, for trec_eval, ranx, ir_measures and other tools for ranked lists.

The lists are those that our own figures count: R@k is `success` at k of the file. Text to video, a document is a video.
Video to text, a document is a video too, at the place of its best caption, as `metrics` counts; with `by_caption` every
caption is a document instead. Ties count against the query, whereas trec_eval orders equal scores by name, so equal scores
are written one float apart, the right answer last.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from gaid.evaluation.scoring import best_of_captions
from gaid.files import writing
from gaid.stores import Split

DEPTH = 1000
"""How many places of a list are written, as is usual for TREC and MTEB."""


@dataclass(frozen=True)
class Lists:
    """All queries' lists: `table` (queries, documents) of scores, `relevant` (rows) -> bool (rows, documents)."""

    queries: list[str]
    documents: list[str]
    table: np.ndarray
    relevant: Callable[[slice], np.ndarray]

    def blocks(
        self, memory: int, depth: int = DEPTH
    ) -> Iterator[tuple[slice, np.ndarray, np.ndarray, list[list[int]]]]:
        """Some queries at a time: (their rows, best documents (n, depth), falling scores (n, depth), all right answers)."""
        count = len(self.documents)
        size = max(1, memory // (64 * max(1, count)))
        for start in range(0, len(self.queries), size):
            rows = slice(start, min(start + size, len(self.queries)))
            scores, right = np.array(self.table[rows], np.float32), self.relevant(rows)
            order = np.lexsort((right, -scores))[:, :depth]
            falling = part_ties(np.take_along_axis(scores, order, axis=1))
            yield rows, order, falling, [np.flatnonzero(row).tolist() for row in right]


def text_to_video(scores: np.ndarray, split: "Split") -> Lists:
    """Every caption's list of videos. `scores` (captions, videos)."""
    videos = np.arange(len(split.video_ids))
    return Lists(
        _names(split.caption_ids),
        _names(split.video_ids),
        scores,
        lambda rows: split.caption_video[rows, None] == videos,
    )


def video_to_text(scores: np.ndarray, split: "Split", memory: int) -> Lists:
    """Every video's list of videos, each at the place of its best caption."""
    names, videos = _names(split.video_ids), np.arange(len(split.video_ids))
    table = best_of_captions(scores, split.caption_video, memory).T
    return Lists(names, names, table, lambda rows: videos[rows, None] == videos)


def by_caption(scores: np.ndarray, split: "Split") -> Lists:
    """Every video's list of captions, of which several may be its own."""
    videos = np.arange(len(split.video_ids))
    return Lists(
        _names(split.video_ids),
        _names(split.caption_ids),
        scores.T,
        lambda rows: videos[rows, None] == split.caption_video,
    )


def part_ties(falling: np.ndarray) -> np.ndarray:
    """Non-increasing rows of float32 as strictly decreasing ones: each at most the next float below the one before it."""
    parted = np.array(falling, np.float32)
    for place in range(1, parted.shape[1]):
        below = np.nextafter(parted[:, place - 1], np.float32(-np.inf))
        np.minimum(parted[:, place], below, out=parted[:, place])
    return parted


def write_trec(path: Path, lists: Lists, *, tag: str, memory: int) -> None:
    """The run at `path` and the right answers beside it, as `NAME.qrels`."""
    queries, documents, tag = lists.queries, lists.documents, _name(tag)
    with writing(path) as run, writing(path.with_suffix(".qrels")) as qrels:
        for rows, best, scores, right in lists.blocks(memory):
            for query, of_query, of_scores, answers in zip(queries[rows], best, scores, right, strict=True):
                run.write(
                    "".join(
                        f"{query} Q0 {documents[row]} {place} {score:.9g} {tag}\n"
                        for place, (row, score) in enumerate(zip(of_query, of_scores, strict=True), start=1)
                    ).encode("utf-8", "surrogatepass")
                )
                qrels.write(
                    "".join(f"{query} 0 {documents[row]} 1\n" for row in answers).encode("utf-8", "surrogatepass")
                )


def beside(path: Path, word: str, suffix: str) -> Path:
    """`ranks.trec` as `ranks.v2t.trec`."""
    return path.with_name(f"{path.name.removesuffix(suffix)}.{word}{suffix}")


def _names(ids: list[str]) -> list[str]:
    return [_name(one) for one in ids]


def _name(text: str) -> str:
    """A name without white space, which ends a field in TREC: it is escaped as %20, and so is the percent sign."""
    return "".join(
        quote(sign, errors="surrogatepass") if sign.isspace() or sign == "%" or not sign.isprintable() else sign
        for sign in text
    )
