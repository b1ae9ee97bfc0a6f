"""Example queries for a page: the best videos, their frames, and gate and attention per frame."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from gaid.evaluation.results import Results
from gaid.evaluation.sound import load_split_truth
from gaid.report.thumbnails import load_strips

if TYPE_CHECKING:
    from gaid.evaluation.bench import Bench
    from gaid.stores import Split

QUERIES = 12
GROUPS = (("ranked first", 1, 1), ("among the best ten", 2, 10), ("lower than ten", 11, 10**9))


@dataclass
class Lane:
    """One row of bars, one per frame: `path` is SVG over a box of F x 1."""

    name: str
    css: str
    path: str


@dataclass
class Shown:
    """One video under a query."""

    place: int
    id: str
    score: float | None
    is_own: bool
    strip: str | None
    sound: str
    lanes: list[Lane]


@dataclass
class Query:
    """A card of the page."""

    text: str
    rank: int
    gallery: int
    group: str
    shown: list[Shown]


def choose(ranks: np.ndarray, seed: int) -> list[int]:
    """Rows of twelve queries: four found first, four among the best ten, four missed, as far as there are such."""
    rng = np.random.default_rng(seed)
    groups = [rng.permutation(np.flatnonzero((ranks >= low) & (ranks <= high))).tolist() for _, low, high in GROUPS]
    chosen = [group[:4] for group in groups]
    spare = [row for group in groups for row in group[4:]]
    for row in spare[: max(0, QUERIES - sum(map(len, chosen)))]:
        chosen[next(i for i, group in enumerate(groups) if row in group)].append(row)
    return [row for group in chosen for row in group]


def draw_queries(results: Results) -> tuple[list[Query], str | None, bool]:
    """(cards, why pictures are absent or None, whether the data set has a ground truth)."""
    bench = results.bench
    if bench is None or "t2v" not in results.ranks:
        return [], None, False
    split, ranks = bench.split, results.ranks["t2v"][0].astype(int)
    rows = choose(ranks, bench.seed)
    lists = {row: _videos_of(results, split, row) for row in rows}
    ids = [split.video_ids[video] for videos in lists.values() for video in videos]
    strips, absent = load_strips(bench.store, ids, results.root)
    truth = load_split_truth(bench.store, split)
    cards = []
    for row in rows:
        videos = lists[row]
        lanes = _lanes(bench, row, videos, truth)
        group = next(name for name, low, high in GROUPS if low <= ranks[row] <= high)
        shown = [
            _show(results, split, row, place, video, int(ranks[row]), strips, of_video)
            for place, (video, of_video) in enumerate(zip(videos, lanes, strict=True))
        ]
        cards.append(Query(split.caption_texts[row], int(ranks[row]), len(split.video_ids), group, shown))
    return cards, absent, truth is not None


def _videos_of(results: Results, split: "Split", row: int) -> list[int]:
    """The best five, and the own video after them if it is not among them."""
    best = [int(video) for video in results.best_rows[row]]
    own = int(split.caption_video[row])
    return best if own in best else [*best, own]


def _show(
    results: Results,
    split: "Split",
    row: int,
    place: int,
    video: int,
    rank: int,
    strips: dict[str, str],
    lanes: list[Lane],
) -> Shown:
    is_best = place < results.best_rows.shape[1]
    return Shown(
        place=place + 1 if is_best else rank,
        id=split.video_ids[video],
        score=float(results.best_scores[row, place]) if is_best else None,
        is_own=video == int(split.caption_video[row]),
        strip=strips.get(split.video_ids[video]),
        sound=_sound_words(split, video),
        lanes=lanes,
    )


def _sound_words(split: "Split", video: int) -> str:
    from gaid.stores import AUDIO_STATES

    return (
        "" if split.audio_mask[video].any() else AUDIO_STATES[int(split.audio_state[video])].replace("sound", "silent")
    )


@torch.inference_mode()
def _lanes(bench: "Bench", row: int, videos: list[int], truth: np.ndarray | None) -> list[list[Lane]]:
    """For each video its rows of bars; attention and sound weight share a scale, that of the clip's highest attention."""
    head, features = bench.head(), bench.features()
    explanation = head.explain(features.text[[row]], *features.videos(videos))
    found: list[list[Lane]] = [[] for _ in videos]
    for number, video in enumerate(videos):
        lanes = found[number]
        if explanation is not None:
            gate, attention, weight = (
                getattr(explanation, kind)[0, number].float().cpu().numpy()
                for kind in ("gate", "attention", "sound_weight")
            )
            scale = max(float(attention.max()), 1e-9)
            if head.uses_audio:
                lanes.append(Lane("gate", "gate", bars(gate)))
            lanes.append(Lane("attention", "attention", bars(attention / scale)))
            if head.uses_audio:
                lanes.append(Lane("sound weight", "weight", bars(weight / scale)))
        if truth is not None:
            lanes.append(Lane("truth", "truth", bars(truth[video].astype(float))))
    return found


def bars(values: np.ndarray) -> str:
    """An SVG path of bars (0 to 1) over a box of len(values) x 1, with a thin line under each frame."""
    parts = []
    for frame, value in enumerate(values):
        height = max(0.03, min(1.0, float(value)))
        parts.append(f"M{frame + 0.06:.2f} 1v-{height:.3f}h.88v{height:.3f}z")
    return "".join(parts)
