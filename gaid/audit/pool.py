"""Pool, ties and protocol: which clips are searched, how ties count, which captions ask, and the size of the gallery."""

import numpy as np
from scipy.stats import hypergeom

from gaid import metrics
from gaid.audit.results import Line, Section
from gaid.evaluation.bench import Bench, View
from gaid.evaluation.ranks import Estimate, Ranks
from gaid.metrics import RECALLS, interval_of_mean

TIES: dict[metrics.Ties, str] = {
    "against": "equal scores count against the query",
    "average": "half",
    "for": "for the query",
}


def pool(bench: Bench) -> Section:
    """All clips compared with those that have sound, and ties counted in three ways."""
    section = Section("pool", "Pool and ties", "Which clips are searched, and who wins where scores are equal?")
    sounding, group = bench.sounding, "pool"
    section.lines.append(Line(f"all {bench.videos} clips", bench.ranks.values(seed=bench.seed), "main", group))
    if 1 < sounding.sum() < len(sounding):
        view = View(np.flatnonzero(sounding[bench.owner]), np.flatnonzero(sounding))
        found = bench.measure(view)[0]
        values = found.values(seed=bench.seed)
        values |= {f"change {one} R@1": _contrast(found, bench.ranks, one, bench.seed) for one in found.by}
        section.lines.append(Line(f"the {found.gallery} clips with sound", values, "part", group))
        section.findings.append(
            f"among the {found.gallery} clips with sound: {values['change t2v R@1']} points of text to video R@1"
        )
    else:
        section.notes.append("every clip has sound" if sounding.all() else "at most one clip has sound")
    group = "ties"
    for ties, label in TIES.items():
        found = bench.measure(View(ties=ties))[0]
        change = None if ties == "against" else bench.ranks
        kind = {"against": "main", "average": "control", "for": "leak"}[ties]
        section.lines.append(Line(label, found.values(change, bench.seed), kind, group))
    against, in_favour = bench.ranks.by["t2v"], found.by["t2v"]
    section.findings.append(
        f"{100 * (against != in_favour).mean():.2f} % of text queries share their video's score with another video"
    )
    return section


def _contrast(part: Ranks, whole: Ranks, direction: metrics.Direction, seed: int) -> Estimate:
    """R@1 of a part of the queries in a smaller gallery minus that of all, over the same draws of videos."""
    values = np.concatenate([part.hits(direction), whole.hits(direction)])
    clusters = np.concatenate([part.clusters[direction], whole.clusters[direction]])
    group = np.arange(len(values)) < part.by[direction].shape[1]
    return Estimate(*interval_of_mean(values, clusters, group, seed=seed), signed=True)


def protocol(bench: Bench) -> Section:
    """First captions compared with all; and the exact expectation of the recalls in a smaller gallery."""
    section = Section("protocol", "Protocol", "Which captions ask, and among how many clips?", columns=(
        "t2v R@1", "change t2v R@1", "t2v R@5", "t2v R@10", "v2t R@1", "change v2t R@1"))  # fmt: skip
    group = "captions"
    query = bench.ranks
    section.lines.append(Line(f"all {len(bench.owner)} captions", query.values(seed=bench.seed), "main", group))
    if len(bench.owner) > bench.videos:
        first = bench.measure(View(captions=bench.first))[0]
        values = first.values(seed=bench.seed)
        values |= {f"change {one} R@1": _contrast(first, query, one, bench.seed) for one in metrics.DIRECTIONS}
        section.lines.append(Line(f"the first of each video ({bench.videos})", values, "part", group))
        section.findings.append(f"first captions only: {values['change t2v R@1']} points of text to video R@1")
    else:
        section.notes.append("one caption per video: the first is the only one")
    group = "gallery"
    section.lines.append(Line(f"{bench.videos} clips, the whole split", query.values(seed=bench.seed), "main", group))
    for size in sizes(bench.videos):
        section.lines.append(Line(f"{size} of them", of_smaller_gallery(query, size, bench.seed), "part", group))
    if bench.videos <= 1000:
        section.notes.append(f"the split has {bench.videos} clips, so a gallery of 1,000 can't be drawn from it")
    smallest = section.lines[-1]
    if smallest.kind == "part" and smallest.group == "gallery":
        section.findings.append(
            f"the same scores among {smallest.label.split()[0]} clips in place of {bench.videos}: text to video R@1 "
            f"{smallest.values['t2v R@1']}, {smallest.values['change t2v R@1']} points"
        )
    return section


def sizes(videos: int) -> list[int]:
    """Sizes of galleries to compare with: 1,000 for a larger split, else a half and a quarter of it, at least ten clips."""
    if videos > 1000:
        return [1000]
    return [size for size in (videos // 2, videos // 4) if size >= 10]


def of_smaller_gallery(ranks: Ranks, size: int, seed: int = 0) -> dict[str, Estimate]:
    """Expected recalls of each query among its own video and `size` - 1 others drawn from the gallery.

    For a query of rank r, r - 1 videos are better than its own. How many of them a draw without replacement holds is
    hypergeometric, so the expectation over all draws is computed without drawing.
    """
    found: dict[str, Estimate] = {}
    for one, table in ranks.by.items():
        for k in RECALLS:
            chances = 100 * hypergeom.cdf(k - 1, ranks.gallery - 1, table - 1, size - 1).mean(axis=0)
            found[f"{one} R@{k}"] = Estimate(*interval_of_mean(chances, ranks.clusters[one], seed=seed))
            whole = 100.0 * (table <= k).mean(axis=0)
            change = interval_of_mean(chances - whole, ranks.clusters[one], seed=seed)
            found[f"change {one} R@{k}"] = Estimate(*change, signed=True)
    return found
