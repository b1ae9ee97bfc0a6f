"""Dual softmax: how much it adds to rank every query with the help of the others, by how many of them are known at once."""

import numpy as np

from gaid.audit.results import Line, Section
from gaid.evaluation.bench import Bench, View
from gaid.evaluation.dual_softmax import groups_of, taken_over
from gaid.evaluation.scoring import DualSoftmax, dual_softmax, random_groups

SHARES = (0.1, 0.5, 1.0)
PUBLISHED: DualSoftmax = "published"
PUBLISHED_LABEL = "as published: over texts, both ways"
ALL, FIRST = "every caption asks", "one caption per video asks, as published"


def softmax(bench: Bench) -> Section:
    """In both directions; with one query at a time the second softmax is 1 and nothing changes."""
    section = Section(
        "dual-softmax",
        "Dual softmax",
        "What does a second softmax over the test queries add, and how many must be known?",
    )
    several = len(bench.owner) > bench.videos
    asking = {ALL: bench.owner, FIRST: bench.owner[bench.first]}
    groups = {ALL: View()} | ({FIRST: View(captions=bench.first)} if several else {})
    for group, view in groups.items():
        plain = bench.measure(view)[0]
        section.lines.append(Line("plain", plain.values(seed=bench.seed), "main", group))
        for label, share in [
            ("one query at a time", 0.0),
            *((f"{share:.0%} of the queries at once", share) for share in SHARES),
        ]:
            found = bench.measure(view, change=_Change(bench, share))[0]
            kind = "control" if share == 0 else "leak"
            section.lines.append(Line(label, found.values(plain, bench.seed), kind, group))
        found = bench.measure(view, change=_Published(bench, asking[group]))[0]
        section.lines.append(Line(PUBLISHED_LABEL, found.values(plain, bench.seed), "leak", group))
    last = section.line("100% of the queries at once", FIRST if several else ALL).values
    section.findings.append(
        f"all queries at once, {FIRST if several else ALL}: text to video R@1 {last['change t2v R@1']} points, "
        f"video to text {last['change v2t R@1']}"
    )
    published = section.line(PUBLISHED_LABEL, FIRST if several else ALL).values
    section.findings.append(
        f"the published code takes the softmax over texts for both directions: video to text {published['change v2t R@1']} points"
    )
    if several:
        at = section.line("100% of the queries at once", ALL).values
        section.findings.append(
            f"where all captions of a video ask, they compete for it in the softmax: text to video {at['change t2v R@1']} points"
        )
    return section


class _Change:
    """Scores after a dual softmax within random groups of a share of the queries, drawn anew for each member."""

    def __init__(self, bench: Bench, share: float) -> None:
        self.bench, self.share = bench, share

    def __call__(self, scores: np.ndarray, direction: str, member: int) -> np.ndarray:
        count = scores.shape[0 if direction == "t2v" else 1]
        size = max(1, round(self.share * count))
        groups = random_groups(count, size, self.bench.seed + member)
        return dual_softmax(scores, taken_over("per-direction", direction), groups, memory=self.bench.memory)


class _Published:
    """Scores after the published dual softmax; `owner` (captions) is the video of each text that asks."""

    def __init__(self, bench: Bench, owner: np.ndarray) -> None:
        self.memory, self.groups = bench.memory, groups_of(PUBLISHED, owner)

    def __call__(self, scores: np.ndarray, direction: str, member: int) -> np.ndarray:
        return dual_softmax(scores, taken_over(PUBLISHED, direction), self.groups, memory=self.memory)
