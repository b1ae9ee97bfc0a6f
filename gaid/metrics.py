"""Ranks, recalls and their intervals, from a matrix of scores. Knows neither heads nor stores: numpy and scipy only.

`METRICS` is the list of what is made of ranks: a metric that is added there has its intervals, and its column in every
table, page and file.

Several captions per video are handled in both directions. Text to video, every caption is a query of its own and looks
for its one video. Video to text, a video looks for any of its captions, and every other video stands in the list once,
where its best caption stands: the published rule of CLIP4Clip, X-Pool, T-MASS and GAID.

Ties count against the query unless asked otherwise, so a head that gives equal scores to everything gets the worst
rank.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaid.errors import HeadMismatch, OptionInvalid

Direction = Literal["t2v", "v2t"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
Ties = Literal["against", "average", "for"]


@dataclass(frozen=True)
class Metric:
    """A figure made of ranks: the mean over queries of `of_rank`, or the median rank where `of_rank` is None.

    `chance`: its value for a random order of so many videos. `within`: the k of a recall at k.
    """

    name: str
    of_rank: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None
    chance: Callable[[int], float]
    within: int | None = None

    def of_ranks(self, ranks: NDArray[np.float64]) -> float:
        """The metric of the ranks of some queries."""
        return float(np.median(ranks) if self.of_rank is None else np.mean(self.of_rank(ranks)))

    def text(self, value: float, exact: bool | None = None) -> str:
        """A value as it is printed: one decimal, and none for a median that is `exact`, a whole rank."""
        exact = value == round(value) if exact is None else exact
        return f"{value:.0f}" if self.of_rank is None and exact else f"{value:.1f}"

    def interval_text(self, low: float, high: float) -> str:
        """`low–high`, both with the same number of decimals."""
        exact = low == round(low) and high == round(high)
        return f"{self.text(low, exact)}–{self.text(high, exact)}"


def _recall(k: int) -> Metric:
    return Metric(
        f"R@{k}", lambda ranks: np.where(ranks <= k, 100.0, 0.0), lambda videos: 100.0 * min(1.0, k / videos), k
    )


def _mean_place(videos: int) -> float:
    return (videos + 1) / 2


METRICS = (
    _recall(1),
    _recall(5),
    _recall(10),
    Metric("MdR", None, _mean_place),
    Metric("MnR", lambda ranks: ranks, _mean_place),
)
NAMES = tuple(one.name for one in METRICS)
BY_NAME = {one.name: one for one in METRICS}
RECALLS = tuple(one.within for one in METRICS if one.within is not None)

# Numbers held at once while counting or resampling: 32 MB of float64.
_BLOCK = 2**22


def ranks(
    scores: ArrayLike,
    video_of_caption: ArrayLike,
    direction: Direction = "t2v",
    ties: Ties = "against",
) -> NDArray[np.float64]:
    """The place of the right answer in each query's list, counted from 1.

    `scores` is (captions, videos), `video_of_caption` (captions) names the column of each caption's video. For `t2v`
    one rank per caption comes back, in their order; for `v2t` one per video that has a caption, in the order of columns
    (`videos_of_ranks` names them). `ties` are counted "against" the query, "for" it, or by their "average" place.
    Raises HeadMismatch (a ValueError) where a score is NaN or the shapes don't fit.
    """
    table, owner = _checked(scores, video_of_caption)
    _one_of("direction", direction, get_args(Direction))
    _one_of("ties", ties, get_args(Ties))
    if direction == "t2v":
        own = table[np.arange(len(owner)), owner]
        return _places(table, own, ties)
    order = np.argsort(owner, kind="stable")
    videos, starts = np.unique(owner[order], return_index=True)
    table = table[order][:, videos]
    # best[i, j]: the best score that a caption of video i has with video j.
    best = np.maximum.reduceat(table, starts, axis=0)
    own = np.diagonal(best)
    return _places(best.T, own, ties)


def videos_of_ranks(video_of_caption: ArrayLike, direction: Direction = "t2v") -> NDArray[np.int64]:
    """The video that each rank of `ranks` belongs to: what `intervals` takes as its clusters."""
    owner = np.asarray(video_of_caption, dtype=np.int64)
    return owner if direction == "t2v" else np.unique(owner)


def metrics_of_ranks(ranks: ArrayLike) -> dict[str, float]:
    """R@1, R@5, R@10 in per cent, median and mean rank; of ranks of several seeds (seeds, queries) the seeds' mean."""
    table = _rank_table(ranks)
    return {one.name: float(np.mean([one.of_ranks(row) for row in table])) for one in METRICS}


def retrieval_metrics(
    scores: ArrayLike, video_of_caption: ArrayLike, direction: Direction = "t2v", ties: Ties = "against"
) -> dict[str, float]:
    """Metrics of a matrix of scores (captions, videos): {"R@1": %, "R@5": %, "R@10": %, "MdR": rank, "MnR": rank}."""
    return metrics_of_ranks(ranks(scores, video_of_caption, direction, ties))


def intervals(
    ranks: ArrayLike,
    clusters: ArrayLike,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    against: ArrayLike | None = None,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of every metric by a bootstrap over videos: {"R@1": (low, high), ...}.

    Captions of one video are no independent draws, so whole videos are drawn (`clusters`: the video of each rank).
    Ranks of several seeds are (seeds, queries): a draw of videos is the same for all seeds, whose mean is taken.
    With `against`, the ranks of another head on the same queries, the intervals are of the difference to it, paired.
    The percentile method is used because a median of whole ranks has no acceleration that BCa could estimate.
    """
    from scipy.stats import bootstrap

    tables = [(1.0, _rank_table(ranks))] + ([] if against is None else [(-1.0, _rank_table(against))])
    _, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    if any(table.shape[1] != len(cluster) for _, table in tables):
        sizes = ", ".join(str(table.shape[1]) for _, table in tables)
        raise HeadMismatch(f"intervals: {sizes} ranks but {len(cluster)} clusters; give the video of each rank")
    if not 0 < level < 1 or resamples < 1:
        raise OptionInvalid(f"intervals: level {level} must lie between 0 and 1 and resamples {resamples} above 0")
    videos = int(cluster.max()) + 1
    if videos == 1:  # nothing to draw from: all draws are the one video
        one = _Resampled(tables, cluster, videos)(np.zeros((1, 1), dtype=np.int64))[:, 0]
        return {name: (float(value), float(value)) for name, value in zip(NAMES, one, strict=True)}
    result = bootstrap(
        (np.arange(videos),),
        _Resampled(tables, cluster, videos),
        n_resamples=resamples,
        batch=max(1, _BLOCK // max(len(cluster), videos)),
        vectorized=True,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    low, high = result.confidence_interval
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(NAMES)}


def interval_of_mean(
    values: ArrayLike,
    clusters: ArrayLike,
    group: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """(mean, low, high) of a value per query, by a bootstrap over videos; for figures that are not metrics of ranks.

    With `group` (queries) bool it is the mean where true less the mean where false: two sets of queries whose videos may
    be the same ones; both must be more than a few videos. Raises HeadMismatch where sizes don't fit.
    """
    from scipy.stats import bootstrap

    value = np.asarray(values, dtype=np.float64)
    _, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    true = np.ones(len(value), bool) if group is None else np.asarray(group, bool)
    if not len(value) == len(cluster) == len(true) or not true.any() or (group is not None and true.all()):
        raise HeadMismatch(f"interval: {len(value)} values, {len(cluster)} clusters; none may be empty")
    videos = int(cluster.max()) + 1
    sides = [true] if group is None else [true, ~true]
    sums = [np.bincount(cluster[side], value[side], minlength=videos) for side in sides]
    counts = [np.bincount(cluster[side], minlength=videos).astype(np.float64) for side in sides]

    def mean(drawn: NDArray[np.int64], axis: int = -1) -> NDArray[np.float64]:
        parts = [s[drawn].sum(axis) / np.maximum(n[drawn].sum(axis), 1e-300) for s, n in zip(sums, counts, strict=True)]
        return parts[0] if group is None else parts[0] - parts[1]

    point = float(mean(np.arange(videos)))
    if videos == 1:
        return point, point, point
    found = bootstrap(
        (np.arange(videos),), mean, n_resamples=resamples, batch=max(1, _BLOCK // videos), vectorized=True,
        confidence_level=level, method="percentile", rng=np.random.default_rng(seed),
    )  # fmt: skip
    low, high = found.confidence_interval
    return point, float(low), float(high)


class _Resampled:
    """The metrics of drawn videos, for scipy's bootstrap: rows of drawn videos -> (metrics, rows).

    Every draw is turned into the number of times that each video was drawn. Means over queries are then quotients of
    two products with those numbers, and the median is read off the ranks in sorted order.
    """

    def __init__(
        self, tables: list[tuple[float, NDArray[np.float64]]], cluster: NDArray[np.int64], videos: int
    ) -> None:
        self.videos = videos
        self.queries = np.bincount(cluster, minlength=videos).astype(np.float64)
        self.parts = []
        for sign, table in tables:
            for row in table:
                values = [one.of_rank(row) for one in METRICS if one.of_rank is not None]
                sums = [np.bincount(cluster, of_query, minlength=videos) for of_query in values]
                order = np.argsort(row, kind="stable")
                self.parts.append((sign / len(table), np.stack(sums, axis=1), row[order], cluster[order]))

    def __call__(self, drawn: NDArray[np.int64], axis: int = -1) -> NDArray[np.float64]:
        draws = np.atleast_2d(drawn)
        rows = np.arange(len(draws))[:, None]
        times = np.bincount((rows * self.videos + draws).ravel(), minlength=len(draws) * self.videos)
        times = times.reshape(len(draws), self.videos)
        total = times @ self.queries
        out = np.zeros((len(METRICS), len(draws)))
        is_mean = np.array([one.of_rank is not None for one in METRICS])
        for weight, sums, in_order, cluster in self.parts:
            out[is_mean] += weight * ((times @ sums) / total[:, None]).T
            out[~is_mean] += weight * _weighted_median(in_order, times[:, cluster])
        return out if np.ndim(drawn) > 1 else out[:, 0]


def _weighted_median(in_order: NDArray[np.float64], times: NDArray[np.int64]) -> NDArray[np.float64]:
    """Median of the sorted values, each counted `times` (draws, values): the middle one, or the mean of the two."""
    reached = np.cumsum(times, axis=1)
    total = reached[:, -1]
    low = np.argmax(reached > ((total - 1) // 2)[:, None], axis=1)
    high = np.argmax(reached > (total // 2)[:, None], axis=1)
    return (in_order[low] + in_order[high]) / 2


def _places(lists: NDArray, own: NDArray, ties: Ties) -> NDArray[np.float64]:
    """Places of `own[i]` in row i of `lists`, where it stands itself; by blocks, to hold little at once."""
    above = np.empty(len(lists), dtype=np.int64)
    level = np.empty(len(lists), dtype=np.int64)
    step = max(1, _BLOCK // max(1, lists.shape[1]))
    for start in range(0, len(lists), step):
        rows = slice(start, start + step)
        above[rows] = np.count_nonzero(lists[rows] > own[rows, None], axis=1)
        level[rows] = np.count_nonzero(lists[rows] == own[rows, None], axis=1)
    level -= 1  # its own entry
    share: Mapping[str, float] = {"against": 1.0, "average": 0.5, "for": 0.0}
    return 1.0 + above + share[ties] * level


def _rank_table(ranks: ArrayLike) -> NDArray[np.float64]:
    table = np.atleast_2d(np.asarray(ranks, dtype=np.float64))
    if table.ndim != 2 or table.size == 0:
        raise HeadMismatch(f"ranks have shape {np.shape(ranks)}; expected (queries) or (seeds, queries), one at least")
    return table


def _checked(scores: ArrayLike, video_of_caption: ArrayLike) -> tuple[NDArray, NDArray[np.int64]]:
    table, owner = np.asarray(scores), np.asarray(video_of_caption)
    if table.ndim != 2 or owner.shape != table.shape[:1] or table.size == 0:
        raise HeadMismatch(
            f"scores have shape {table.shape} and video_of_caption {owner.shape}; "
            "expected (captions, videos) and (captions,)"
        )
    if not np.issubdtype(owner.dtype, np.integer) or owner.min() < 0 or owner.max() >= table.shape[1]:
        raise HeadMismatch(f"video_of_caption must be columns 0..{table.shape[1] - 1} of the scores")
    wrong = np.isnan(table)
    if wrong.any():
        caption, video = np.argwhere(wrong)[0]
        raise HeadMismatch(
            f"{np.count_nonzero(wrong)} of {table.size} scores are NaN, the first at caption {caption}, video {video}: "
            "the head's weights or its features are not finite"
        )
    return table, owner.astype(np.int64)


def _one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise OptionInvalid(f"{what} {value!r} is none of {', '.join(known)}")
