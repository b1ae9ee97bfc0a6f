"""Leak: how much a figure gains when gallery videos are gated and pooled by their own captions (docs/protocols.md)."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t

from gaid.audit.results import Line, Section
from gaid.evaluation.bench import Bench, Condition, View
from gaid.evaluation.conditioning import PROTOCOLS
from gaid.evaluation.ranks import Estimate, Ranks
from gaid.evaluation.results import noise_in_words
from gaid.metrics import DIRECTIONS, METRICS, metrics_of_ranks
from gaid.stores import derangement, with_noise

if TYPE_CHECKING:
    from gaid.heads import Head

PUBLISHED = [name for name, one in PROTOCOLS.items() if one.gallery_reads_captions]
ALL, FIRST, NOISE = (
    "every caption asks",
    "one caption per video asks, as published",
    "clips replaced by noise (intervals over five draws of it)",
)
NOISE_DRAWS = 5


def leak(bench: Bench, others: list[Bench]) -> Section:
    """The protocols side by side, which caption causes the leak, and the figures on noise, where nothing can be found."""
    section = Section(
        "leak", "Leak", "How much comes from gallery videos having been gated and pooled by their own captions?"
    )
    section.lines += _protocols(bench, bench.ranks, ALL)
    section.lines += _captions(bench, section)
    for other in others:
        section.lines += _protocols(other, other.ranks, f"{other.label}: {ALL}", brief=True)
    section.lines += _noise(bench)
    _conclude(bench, section)
    section.findings += noise_in_words(
        bench.basis.noise.get("query"), {"published": bench.basis.noise.get("published")}
    )
    return section


def _protocols(bench: Bench, query: Ranks, group: str, brief: bool = False) -> list[Line]:
    lines = [Line("query", query.values(seed=bench.seed), "main" if not brief else "baseline", group)]
    for name in PUBLISHED[:1] if brief else PUBLISHED:
        found = bench.measure(condition=Condition(name))[0]
        lines.append(Line(name, found.values(query, bench.seed), "leak", group))
    return lines


def second_captions(bench: Bench) -> np.ndarray:
    """(videos) the row of each video's second caption; -1 for a video with one caption."""
    order = np.argsort(bench.owner, kind="stable")
    place = np.flatnonzero(np.diff(bench.owner[order], prepend=-1) != 0) + 1
    known = np.append(order, -1)[place]
    return np.where(np.bincount(bench.owner, minlength=bench.videos) > 1, known, -1)


def _captions(bench: Bench, section: Section) -> list[Line]:
    """Only first captions ask; each gallery video reads the one that asks, another of its own, or another video's."""
    second = second_captions(bench)
    asking = np.flatnonzero(second >= 0)
    if len(asking) < 2:
        section.notes.append(
            "one caption per video: what another caption of the same video would leak can't be measured here"
        )
        asking, second = np.arange(bench.videos), bench.first
    elif len(asking) < bench.videos:
        section.notes.append(f"{FIRST}: the {len(asking)} videos with two captions or more ask, all are searched")
    view = View(captions=bench.first[asking], directions=("t2v",) if len(asking) < bench.videos else DIRECTIONS)
    query = bench.measure(view)[0]
    lines = [Line("query", query.values(seed=bench.seed), "main", FIRST)]
    reads = {
        "the caption that asks (published)": bench.first,
        "another caption of the same video": np.where(second >= 0, second, bench.first),
        "a caption of another video": bench.first[derangement(bench.videos, bench.seed)],
    }
    if (second == bench.first).all():
        del reads["another caption of the same video"]
    for label, rows in reads.items():
        found = bench.measure(view, condition=Condition("published", own_caption=rows))[0]
        lines.append(Line(label, found.values(query, bench.seed), "leak", FIRST))
    return lines


def _noise(bench: Bench) -> list[Line]:
    """Trained and untrained heads on noise with the mean and spread of the features; chance beside them.

    Texts have a direction in common, so one draw of noise favours the same few videos for all texts, and a bootstrap over
    videos would give too narrow an interval. The draws are independent of one another: intervals are Student's over them.
    """
    states = (("trained", None), ("untrained", partial(_untrained, bench)))
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for draw in range(NOISE_DRAWS):
        member = bench.members[draw % len(bench.members)]
        noise = bench.on(with_noise(bench.split, bench.seed + draw)).alone(member)
        for state, head in states:
            for name in ("query", "published"):
                ranks = noise.measure(condition=Condition(name, head=head))[0]
                metrics = {f"{way} {n}": v for way, rows in ranks.by.items() for n, v in metrics_of_ranks(rows).items()}
                found.setdefault((state, name), []).append(metrics)
    lines = [chance(bench.videos, NOISE)]
    for (state, name), rows in found.items():
        values = {column: _over_draws(np.array([row[column] for row in rows]), column) for column in rows[0]}
        lines.append(Line(f"{state} head, {name}", values, "control" if name == "query" else "leak", NOISE))
    return lines


def _untrained(bench: Bench, member: int) -> "Head":
    """The member's head as it was before training: same parts, same sizes, same seed."""
    import torch

    one = bench.run.members[member]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(one.seed)
        head = one.build_head()
    return head.to(bench.device).eval()


def _over_draws(values: np.ndarray, column: str) -> Estimate:
    half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    mean = float(values.mean())
    top = 100.0 if "R@" in column else np.inf
    return Estimate(mean, max(0.0, mean - half), min(top, mean + half))


def chance(videos: int, group: str = "") -> Line:
    """The figures of guessing: exact, without an interval."""
    values = {f"{way} {one.name}": Estimate(one.chance(videos)) for way in DIRECTIONS for one in METRICS}
    return Line("chance", values, "chance", group)


def unmoved_by_others(bench: Bench, kept: int = 16) -> float:
    """The largest change of a score (text i, video j) under `query` when all texts but `kept` are replaced by others.

    Zero, up to rounding, where a video is conditioned on nothing but the text that asks. The kept texts stay in their rows,
    since a head may draw its trials by row.
    """
    rng = np.random.default_rng([bench.seed, 29])
    count = len(bench.owner)
    rows = np.sort(rng.choice(count, min(kept, count), replace=False))
    rest = np.setdiff1d(np.arange(count), rows)
    text = bench.split.text.copy()
    if len(rest):  # drawn from a few of them, so that no mean or sum over texts stays the same
        text[rest] = text[rng.choice(rest, len(rest) // 4 + 1)][rng.integers(0, len(rest) // 4 + 1, len(rest))]
    member = bench.members[0]
    changed = bench.on(replace(bench.split, text=text)).scores(member)
    return float(np.abs(changed[rows] - bench.scores(member)[rows]).max())


def _conclude(bench: Bench, section: Section) -> None:
    moved = unmoved_by_others(bench)
    gain = section.line("published", ALL).values["change t2v R@1"]
    leaks = moved >= 1e-4
    others = f"query protocol: with all other texts replaced, the largest change of a score is {moved:.1g}" + (
        ": SCORES DEPEND ON OTHER TEXTS, this figure leaks" if leaks else ": no video has read a caption"
    )
    published = f"published less query, text to video R@1: {gain} points over all captions"
    # The first finding is the section's answer: that the query's own figure leaks comes before all else.
    section.findings += [others, published] if leaks else [published, others]
    if not any(section.line(name, ALL).values["change t2v MnR"].value for name in PUBLISHED):
        section.findings.append(f"{bench.label} neither gates nor pools by text: nothing can leak")
        return
    asked = section.line("the caption that asks (published)", FIRST).values["change t2v R@1"]
    section.findings.append(f"where each video reads the very caption that asks for it, as published: {asked} points")
    found, expected = section.line("untrained head, published", NOISE), chance(bench.videos)
    trained = section.line("trained head, published", NOISE)
    section.findings.append(
        f"noise in place of every clip: R@10 {found.values['t2v R@10']} with the untrained head and "
        f"{trained.values['t2v R@10']} with the trained one under published, {expected.values['t2v R@10'].text} by chance"
    )
