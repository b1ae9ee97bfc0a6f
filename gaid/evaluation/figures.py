"""Figures of ranks: means over seeds with intervals, by direction, and their differences. Nothing here computes scores or prints."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gaid import metrics
from gaid.evaluation.ranks import Ranks


@dataclass
class Figures:
    """One direction's figures: means over seeds, each seed's beside them, and intervals from a bootstrap over videos."""

    direction: str
    values: dict[str, float]
    per_seed: list[dict[str, float]]
    intervals: dict[str, tuple[float, float]]
    queries: int
    gallery: int

    @classmethod
    def of_ranks(
        cls, ranks: np.ndarray, clusters: np.ndarray, direction: str, gallery: int, seed: int = 0
    ) -> "Figures":
        """From `ranks` (seeds, queries); `clusters` names the video of each query, the unit that the bootstrap draws."""
        return cls(
            direction=direction,
            values=metrics.metrics_of_ranks(ranks),
            per_seed=[metrics.metrics_of_ranks(row) for row in ranks],
            intervals=metrics.intervals(ranks, clusters, seed=seed),
            queries=ranks.shape[1],
            gallery=gallery,
        )

    def to_dict(self) -> dict[str, Any]:
        """The figures first, as `{"R@1": .., ..., "queries": .., "gallery": ..}`, then intervals and each seed's."""
        return {
            **rounded(self.values),
            "queries": self.queries,
            "gallery": self.gallery,
            "intervals": {name: [round(low, 4), round(high, 4)] for name, (low, high) in self.intervals.items()},
            "per_seed": [rounded(one) for one in self.per_seed],
        }


def figures_of(ranks: Ranks, seed: int = 0) -> dict[str, Figures]:
    """Each direction's figures. Video to text a query is a video, whose best caption counts."""
    return {
        one: Figures.of_ranks(table, ranks.clusters[one], one, ranks.gallery, seed) for one, table in ranks.by.items()
    }


def difference_of(figures: dict[str, Figures], plain: dict[str, Figures]) -> dict[str, dict[str, float]]:
    """Each direction's figures minus the plain ones."""
    return {
        one: {name: value - plain[one].values[name] for name, value in found.values.items()}
        for one, found in figures.items()
    }


def paired_intervals(ranks: Ranks, against: Ranks, seed: int) -> dict[str, dict[str, tuple[float, float]]]:
    """Each direction's intervals of the difference to other ranks of the same queries."""
    return {
        one: metrics.intervals(table, ranks.clusters[one], seed=seed, against=against.by[one])
        for one, table in ranks.by.items()
    }


def rounded(values: dict[str, float]) -> dict[str, float]:
    """To the four decimals that JSON keeps."""
    return {name: round(value, 4) for name, value in values.items()}
