"""Ranks of the same queries by several heads, and the figures that they give with their intervals. Nothing here scores."""

from dataclasses import dataclass

import numpy as np

from gaid import metrics


def signed(value: float, digits: int = 1) -> str:
    """A difference as it is printed: always with a sign, a true minus; what rounds to 0 has a plus."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; `low` and `high` are None where it has none. `signed`: it is a difference."""

    value: float
    low: float | None = None
    high: float | None = None
    signed: bool = False

    def to_dict(self) -> dict[str, float | None]:
        """JSON types only."""
        return {name: None if x is None else round(float(x), 4) for name, x in
                (("value", self.value), ("low", self.low), ("high", self.high))}  # fmt: skip

    @property
    def text(self) -> str:
        """As it is printed: one digit, a difference with its sign."""
        return signed(self.value) if self.signed else f"{self.value:.1f}"

    @property
    def interval(self) -> str:
        """`low–high`, or nothing."""
        if self.low is None or self.high is None:
            return ""
        if self.signed:
            return f"{signed(self.low)} to {signed(self.high)}"
        return f"{self.low:.1f}–{self.high:.1f}"

    def __str__(self) -> str:
        return f"{self.text} ({self.interval})" if self.interval else self.text


@dataclass
class Ranks:
    """Ranks by direction, (members, queries), the video of each query, (queries), and the number of videos searched."""

    by: dict[metrics.Direction, np.ndarray]
    clusters: dict[metrics.Direction, np.ndarray]
    gallery: int

    def hits(self, direction: metrics.Direction = "t2v", k: int = 1) -> np.ndarray:
        """(queries) the share of members that found the query among the best k, in per cent."""
        return 100.0 * (self.by[direction] <= k).mean(axis=0)

    def values(self, against: "Ranks | None" = None, seed: int = 0) -> dict[str, Estimate]:
        """All metrics as `t2v R@1` ...; with `against`, of the same queries, the paired differences as `change t2v R@1` ..."""
        found: dict[str, Estimate] = {}
        for one, ranks in self.by.items():
            means = metrics.metrics_of_ranks(ranks)
            spread = metrics.intervals(ranks, self.clusters[one], seed=seed)
            found |= {f"{one} {name}": Estimate(means[name], *spread[name]) for name in metrics.NAMES}
            if against is not None and one in against.by:
                other = metrics.metrics_of_ranks(against.by[one])
                spread = metrics.intervals(ranks, self.clusters[one], seed=seed, against=against.by[one])
                found |= {
                    f"change {one} {name}": Estimate(means[name] - other[name], *spread[name], signed=True)
                    for name in metrics.NAMES
                }
        return found
