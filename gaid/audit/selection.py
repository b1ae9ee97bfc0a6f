"""Selection: how much choosing the checkpoint by its test figure adds to a figure."""

from collections.abc import Callable

import numpy as np

from gaid.audit.results import Line, Section
from gaid.evaluation.bench import Bench, Condition
from gaid.evaluation.ranks import Estimate, Ranks
from gaid.metrics import DIRECTIONS, Direction, metrics_of_ranks, videos_of_ranks
from gaid.runs import Run

HALVES = 200


def selection(bench: Bench, retrain: Callable[..., Run] | None) -> Section:
    """R@1 of the checkpoint that validation chose, of the best one on test, and the difference.

    Needs the head of every evaluation: `train-head --set keep_checkpoints=true`, or `retrain`, which trains the same
    again with the same seeds and keeps them.
    """
    section = Section(
        "selection",
        "Selection",
        "How much does it add to choose the checkpoint by its test figure, as published code does?",
    )
    run = bench.run
    if not all(run.members[member].kept for member in bench.members):
        if run.imported:
            section.unmeasured = (
                "not measured: the run was imported, and a published checkpoint comes without its others"
            )
            return section
        if retrain is None:
            section.unmeasured = (
                "not measured: the run kept its best and last checkpoint only; train with --set keep_checkpoints=true, "
                "or ask with --retrain for the same training again"
            )
            return section
        again = retrain("kept", {"keep_checkpoints": True})
        section.notes.append(_sameness(run, again, bench.members))
        run = again
    rows: dict[str, list[list[np.ndarray]]] = {"validation": [], "last": [], "test": []}
    optimism = []
    for member in bench.members:
        one = run.members[member]
        found = [_ranks(bench, one, name, member) for name in one.kept]
        steps = [int(name.removeprefix("step-")) for name in one.kept]
        recalls = [metrics_of_ranks(ranks["t2v"])["R@1"] for ranks in found]
        chosen = {
            "validation": steps.index(one.describe()["step"]),
            "last": len(steps) - 1,
            "test": int(np.argmax(recalls)),
        }
        for name, at in chosen.items():
            rows[name].append([found[at][way] for way in DIRECTIONS])
        hits = np.stack([ranks["t2v"] <= 1 for ranks in found])
        optimism.append(_halves(hits, videos_of_ranks(bench.owner), bench.seed + member))
    views = {name: _stack(bench, members) for name, members in rows.items()}
    base = views["validation"]
    section.lines = [
        Line("chosen on validation", base.values(seed=bench.seed), "main"),
        Line("the last evaluation", views["last"].values(base, bench.seed)),
        Line("chosen on test (best of all)", views["test"].values(base, bench.seed), "leak"),
    ]
    differences = np.mean(optimism, axis=0)
    low, high = np.percentile(differences, [2.5, 97.5])
    gain = section.lines[-1].values["change t2v R@1"]
    counts = ", ".join(str(len(run.members[member].kept)) for member in bench.members)
    section.findings = [
        f"best of all evaluations ({counts} per seed; 50 in GAID's code) less the one that validation chose: {gain} points of "
        "text to video R@1 (never negative, since both are read off the same test set)",
        f"chosen on a random half of the test videos and counted there, less counted on the other half, mean of {HALVES} halvings: "
        f"{Estimate(float(differences.mean()), float(low), float(high), signed=True)} points (percentiles of the halvings)",
    ]
    return section


def _ranks(bench: Bench, one: Run, name: str, member: int) -> dict[Direction, np.ndarray]:
    head = one.load_head(name, device=bench.device)
    found = bench.alone(member).measure(condition=Condition(head=lambda _: head))[0]
    return {way: ranks[0] for way, ranks in found.by.items()}


def _stack(bench: Bench, members: list[list[np.ndarray]]) -> Ranks:
    by = {way: np.stack([one[number] for one in members]) for number, way in enumerate(DIRECTIONS)}
    return Ranks(by, bench.ranks.clusters, bench.videos)


def _halves(hits: np.ndarray, videos: np.ndarray, seed: int) -> np.ndarray:
    """(halvings) R@1 of the evaluation that is best on one half of the videos, minus its R@1 on the other half."""
    rng = np.random.default_rng([seed, 31])
    count = int(videos.max()) + 1
    out = np.empty(HALVES)
    for number in range(HALVES):
        half = np.zeros(count, bool)
        half[rng.permutation(count)[: count // 2]] = True
        here = half[videos]
        on_here, elsewhere = 100 * hits[:, here].mean(1), 100 * hits[:, ~here].mean(1)
        best = int(np.argmax(on_here))
        out[number] = on_here[best] - elsewhere[best]
    # Halves also differ in difficulty, which cancels in the mean and not in the percentiles.
    return out


def _sameness(run: Run, again: Run, members: range) -> str:
    """A sentence on whether the second training gave the same as the first."""
    pairs = [(run.members[member].describe(), again.members[member].describe()) for member in members]
    same = sum(one["step"] == two["step"] and one["validation"] == two["validation"] for one, two in pairs)
    text = f"trained again with the same seeds, keeping every evaluation ({again.path}): "
    if same == len(pairs):
        return text + "the same step and validation figures were best for every seed"
    return text + f"for {len(pairs) - same} of {len(pairs)} seeds another step was best than in the run itself"
