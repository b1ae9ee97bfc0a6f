"""Seeds: how much a figure varies between trainings, and whether the ranking of two runs holds in spite of that."""

import numpy as np
from scipy.stats import chi2, t

from gaid.audit.results import Line, Section
from gaid.evaluation.bench import Bench
from gaid.evaluation.ranks import Estimate, Ranks
from gaid.metrics import Direction

DRAWS = 4000


def seeds(bench: Bench, others: list[Bench]) -> Section:
    """Each seed's figures, their mean and spread, and, with other runs, how likely the ranking is to be reversed."""
    section = Section("seeds", "Seeds", "How much does the figure move from one training to the next?")
    for number, ranks in enumerate(bench.ranks.by["t2v"]):
        single = Ranks({one: table[number][None] for one, table in bench.ranks.by.items()}, bench.ranks.clusters,
                       bench.videos)  # fmt: skip
        del ranks
        seed = bench.subject.seeds[bench.members[number]]
        section.lines.append(Line(f"seed {seed}", single.values(seed=bench.seed), "part"))
    section.lines.append(Line("mean of the seeds", bench.ranks.values(seed=bench.seed), "main"))
    recalls = _recalls(bench)
    if len(recalls) < 2:
        section.notes.append("one seed: its spread is not measured; train with --seeds 3 or more")
    else:
        mean, spread = between_trainings(recalls), deviation(recalls)
        section.findings += [
            f"text to video R@1 over trainings: {mean.text}, 95 % t interval of the mean {mean.interval} (the test set held fixed)",
            f"standard deviation over {len(recalls)} trainings {spread.value:.2f} (95 % interval {spread.low:.2f} to {spread.high:.2f})",
        ]
    for other in others:
        section.lines.append(Line(other.label, other.ranks.values(bench.ranks, bench.seed), "baseline"))
        pairs, drawn = turns_round(bench.ranks, other.ranks, bench.seed)
        section.findings.append(
            f"{bench.label} against {other.label}, text to video R@1: of {pairs[1]} pairs of trainings {pairs[0]:g} rank them the other "
            f"way round than their means (ties half); with the test videos drawn again too and one training of each, "
            f"{100 * drawn:.1f} % of {DRAWS:,} draws"
        )
    return section


def between_trainings(recalls: np.ndarray) -> Estimate:
    """Mean over trainings with Student's interval: the range for another set of seeds on the same test set."""
    half = t.ppf(0.975, len(recalls) - 1) * recalls.std(ddof=1) / np.sqrt(len(recalls))
    return Estimate(recalls.mean(), recalls.mean() - half, recalls.mean() + half)


def deviation(recalls: np.ndarray) -> Estimate:
    """Standard deviation over trainings, with its interval for normal values (wide for three seeds, as it should be)."""
    free, spread = len(recalls) - 1, recalls.std(ddof=1)
    low, high = spread * np.sqrt(free / chi2.ppf([0.975, 0.025], free))
    return Estimate(spread, low, high)


def turns_round(
    one: Ranks, other: Ranks, seed: int = 0, direction: Direction = "t2v"
) -> tuple[tuple[float, int], float]:
    """((pairs of trainings that rank the runs otherwise than their means, all pairs), share of draws that do), by R@1.

    A draw takes one training of each and the test videos with replacement; equal recalls count half.
    """
    hits = [(ranks.by[direction] <= 1).astype(float) for ranks in (one, other)]
    sign = 1.0 if hits[0].mean() >= hits[1].mean() else -1.0
    gaps = sign * (hits[0].mean(1)[:, None] - hits[1].mean(1)[None])
    pairs = float((gaps < 0).sum() + 0.5 * (gaps == 0).sum())
    rng = np.random.default_rng([seed, 37])
    _, video = np.unique(one.clusters[direction], return_inverse=True)
    count = int(video.max()) + 1
    # Sums by video, (trainings, videos): a draw of videos is a draw of columns.
    sums = [np.stack([np.bincount(video, row, minlength=count) for row in table]) for table in hits]
    turned = 0.0
    for start in range(0, DRAWS, 500):
        size = min(500, DRAWS - start)
        times = rng.multinomial(count, np.full(count, 1 / count), size)
        chosen = [table[rng.integers(0, len(table), size)] for table in sums]
        gap = sign * ((chosen[0] - chosen[1]) * times).sum(1)
        turned += float((gap < 0).sum() + 0.5 * (gap == 0).sum())
    return (pairs, gaps.size), turned / DRAWS


def _recalls(bench: Bench) -> np.ndarray:
    return 100.0 * (bench.ranks.by["t2v"] <= 1).mean(axis=1)
