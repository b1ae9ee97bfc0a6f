"""`compare`: is one run better than another on the same queries? McNemar, a permutation by videos, paired intervals."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binomtest, permutation_test

from gaid.audit.seeds import turns_round
from gaid.evaluation.basis import Basis, notes_of, overlap_notes, overlaps_of
from gaid.evaluation.bench import open_bench, same_queries
from gaid.evaluation.ranks import Estimate
from gaid.metrics import RECALLS
from gaid.runs import Run

if TYPE_CHECKING:
    from gaid.stores import Store

RESAMPLES = 9999


@dataclass(frozen=True)
class McNemar:
    """Queries that only one of two runs found, and the exact two-sided p-value of that under chance.

    A run of several seeds has found a query where more than half of its seeds have. The test takes queries as independent,
    which several captions of one video are not: `by_video` is the p-value of a permutation that swaps the runs per video.
    """

    only_first: int
    only_second: int
    both: int
    neither: int
    p: float
    by_video: float

    def to_dict(self) -> dict[str, Any]:
        return {"only_first": self.only_first, "only_second": self.only_second, "both": self.both, "neither": self.neither,
                "p": self.p, "p_by_video": self.by_video}  # fmt: skip


@dataclass
class RunComparison:
    """Two runs on the same queries: figures, paired differences (first less second), tests, and whether seeds decide it."""

    bases: tuple[Basis, Basis]
    queries: dict[str, int]
    values: tuple[dict[str, Estimate], dict[str, Estimate]]
    difference: dict[str, Estimate]
    tests: dict[str, dict[str, McNemar]]
    pairs_turned: tuple[float, int]
    draws_turned: float
    notes: list[str] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        """The runs' presets, or their folders where the presets are the same."""
        presets = [one.preset for one in self.bases]
        return presets if presets[0] != presets[1] else [str(one.run) for one in self.bases]

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        plain = [{name: one.to_dict() for name, one in values.items()} for values in self.values]
        first = self.bases[0]
        return {
            "runs": [one.run for one in self.bases],
            "labels": self.labels,
            "seeds": [one.seeds for one in self.bases],
            "audio_inputs": [one.audio_input for one in self.bases],
            "dataset": first.dataset,
            "split": f"{first.split} ({first.split_protocol})",
            "gallery": first.videos,
            "queries": self.queries,
            "first": plain[0],
            "second": plain[1],
            "difference": {name.removeprefix("change "): one.to_dict() for name, one in self.difference.items()},
            "mcnemar": {
                way: {name: test.to_dict() for name, test in tests.items()} for way, tests in self.tests.items()
            },
            "turns_round": {
                "pairs": self.pairs_turned[0],
                "of": self.pairs_turned[1],
                "draws": round(self.draws_turned, 4),
            },
            "notes": self.notes,
            "training_overlap": [one.to_dict() for one in overlaps_of(self.bases)],
        }


def compare(
    first: "str | Path | Run",
    second: "str | Path | Run",
    *,
    store: "str | Path | Store | None" = None,
    split: str = "test",
    split_protocol: str | None = None,
    memory: str | int = "auto",
    device: str = "auto",
    seed: int = 0,
) -> RunComparison:
    """Compares two runs query by query, each on its own store unless `store` is given; all of their seeds take part.

    Both stores must hold the same videos and captions in that part; their backbones may differ. Raises StoresDisagree
    where they don't, and whatever loading raises.
    """
    options = {"split": split, "split_protocol": split_protocol, "memory": memory, "device": device, "seed": seed}
    a, b = (open_bench(one, store=store, **options) for one in (first, second))  # type: ignore[arg-type]
    same_queries(a.split, b.split, str(b.run.path))
    bases = (a.basis, b.basis)
    notes = notes_of(bases, [str(one.run) for one in bases]) + overlap_notes(bases)
    if len(a.owner) > a.videos:
        notes.append("several captions per video: McNemar's p takes them as independent; the p by videos does not")
    pairs, drawn = turns_round(a.ranks, b.ranks, seed)
    difference = a.ranks.values(b.ranks, seed)
    return RunComparison(
        bases=bases,
        queries={way: ranks.shape[1] for way, ranks in a.ranks.by.items()},
        values=(a.ranks.values(seed=seed), b.ranks.values(seed=seed)),
        difference={name: one for name, one in difference.items() if name.startswith("change ")},
        tests={
            way: {f"R@{k}": mcnemar(a.ranks.by[way], b.ranks.by[way], a.ranks.clusters[way], k, seed) for k in RECALLS}
            for way in a.ranks.by
        },
        pairs_turned=pairs,
        draws_turned=drawn,
        notes=notes,
    )


def mcnemar(first: np.ndarray, second: np.ndarray, videos: np.ndarray, k: int = 1, seed: int = 0) -> McNemar:
    """The exact test of two runs' ranks (seeds, queries) at `k`, and the permutation test over videos beside it."""
    one, two = ((ranks <= k).mean(axis=0) > 0.5 for ranks in (first, second))
    only_first, only_second = int((one & ~two).sum()), int((~one & two).sum())
    apart = only_first + only_second
    p = float(binomtest(only_first, apart, 0.5).pvalue) if apart else 1.0
    _, video = np.unique(videos, return_inverse=True)
    gaps = np.bincount(video, one.astype(float) - two)
    by_video = 1.0  # with one video there is nothing to permute
    if (gaps != 0).sum() > 1:
        by_video = float(
            permutation_test(
                (gaps[gaps != 0],), lambda x, axis: x.sum(axis=axis), permutation_type="samples", vectorized=True,
                n_resamples=RESAMPLES, batch=500, rng=np.random.default_rng(seed),
            ).pvalue
        )  # fmt: skip
    return McNemar(only_first, only_second, int((one & two).sum()), int((~one & ~two).sum()), p, by_video)
