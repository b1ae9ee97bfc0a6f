"""Engines for libraries that outgrow one machine, over the same 1e5 simulated clips: LanceDB, Milvus and Qdrant, embedded.

Each engine is asked with the least effort of a short list at which it holds 99 % of the hundred nearest clips of other
queries, or with the most. How they are driven is `engine_rivals`'; the table goes into docs/engines.md.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import tables
from benchmarks.engine_rivals import RIVALS, Facts, Filter, Rival
from benchmarks.harness import Case, Findings, Options, Timing, threads

PAGE = Path(__file__).parents[1] / "docs" / "engines.md"
BEST, ENOUGH = 100, 0.99
WANTED = Filter(heard=True, shortest=10.0, longest=60.0, since=500)


@dataclass(frozen=True)
class Clips:
    """Simulated clips: unit vectors (N, dim) in clusters, facts of each, and vectors of queries near some of them."""

    vectors: NDArray[np.float32]
    facts: Facts
    tuning: NDArray[np.float32]
    queries: NDArray[np.float32]

    @classmethod
    def draw(cls, clips: int, dim: int, queries: int, seed: int, latent: int = 64) -> "Clips":
        """Clusters of about a hundred clips, within which clips differ in `latent` directions."""
        draw = np.random.default_rng(seed)
        centres = draw.standard_normal((max(1, clips // 100), latent), np.float32)
        latents = centres[draw.integers(len(centres), size=clips)] + 0.7 * draw.standard_normal(
            (clips, latent), np.float32
        )
        turn = draw.standard_normal((latent, dim), np.float32) / latent**0.5
        asked = latents[draw.integers(clips, size=2 * queries)]
        asked = asked + 0.5 * draw.standard_normal(asked.shape, np.float32)
        sides = (
            unit(near @ turn + 0.1 * draw.standard_normal((len(near), dim), np.float32)) for near in (latents, asked)
        )
        vectors, texts = sides
        facts = Facts(
            draw.random(clips) < 0.8, np.round(draw.gamma(2.0, 15.0, clips), 2), draw.integers(0, 1000, clips)
        )
        return cls(vectors, facts, texts[:queries], texts[queries:])

    def exact(self, queries: NDArray[np.float32], rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The nearest of `rows` to each query."""
        scores = queries @ self.vectors[rows].T
        return [rows[np.argpartition(-one, BEST)[:BEST]] if len(rows) > BEST else rows for one in scores]


@dataclass
class Measured:
    """What one engine was found to do. Seconds; bytes on disk; recall of the hundred nearest."""

    name: str
    version: str
    packages: list[str]
    about: dict[str, Any] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length one."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def run(options: Options) -> Findings:
    """All engines that are installed."""
    clips, dim, queries = (2_000, 32, 10) if options.quick else (100_000, 512, 100)
    drawn = Clips.draw(clips, dim, queries, options.seed)
    measured = []
    with threads(options.threads):
        for rival in RIVALS:
            try:
                versions = [f"{name} {version(name)}" for name in rival.packages]
            except PackageNotFoundError as missing:
                print(f"{rival.name}: left out, {missing.name} is not installed")
                continue
            folder = Path(tempfile.mkdtemp(prefix="engines-"))
            try:
                measured.append(measure(rival, drawn, folder, versions))
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    timings = {one.name: Timing(one.seconds, 0) for one in measured}
    ours = measured[0].name
    case = Case(f"one query, {clips:,} clips", ours, timings, about={one.name: one.about for one in measured})
    notes = [
        f"{clips:,} simulated clips of {dim} dimensions in {clips // 100:,} clusters; {queries} queries, one at a time, "
        f"{BEST} clips each; the filter leaves {100 * WANTED.keeps(drawn.facts).mean():.0f} % of the clips."
    ]
    findings = Findings("engines", [case], notes=notes)
    if not options.quick:
        machine = tables.describe_machine(options)
        block = comparison(measured, f"{machine['processor']}, {machine['cores']} cores", notes)
        PAGE.write_text(tables.put(PAGE.read_text(), "engines", block))
    return findings


def measure(make: type[Rival], clips: Clips, folder: Path, versions: list[str]) -> Measured:
    """Builds an engine's collection of the clips and asks it."""
    found = Measured(make.name, versions[0], versions)
    about = found.about
    rows = np.arange(len(clips.vectors))
    rival = make(folder / "vectors", clips.vectors.shape[1])
    about["fill"] = clock(lambda: rival.fill(rows, clips.vectors, clips.facts))
    about["index"] = clock(rival.index)
    about["bytes"] = rival.bytes_on_disk()
    wanted = clips.exact(clips.tuning, rows)
    for effort in make.efforts:
        held = recall([rival.nearest(one, BEST, effort) for one in clips.tuning], wanted)
        about["effort"] = effort
        if held >= ENOUGH:
            break
    answers, found.seconds = ask(lambda one: rival.nearest(one, BEST, effort), clips.queries)
    about["recall"] = recall(answers, clips.exact(clips.queries, rows))
    kept = np.flatnonzero(WANTED.keeps(clips.facts))
    answers, seconds = ask(lambda one: rival.nearest(one, BEST, effort, WANTED), clips.queries)
    about |= {"filtered_recall": recall(answers, clips.exact(clips.queries, kept)), **spread("filtered", seconds)}
    about |= {**spread("query", found.seconds), **change(rival, clips, effort)}
    about["opening"] = clock(rival.reopen)
    rival.close()
    about["multivectors"] = make.multivectors
    return found


def change(rival: Rival, clips: Clips, effort: int) -> dict[str, Any]:
    """Removes the nearest clips of the first query, and gives other clips its vector: both must show in the next answer."""
    asked = clips.queries[0]
    gone = rival.nearest(asked, BEST, effort)
    removing = clock(lambda: rival.remove(gone))
    left = rival.nearest(asked, BEST, effort)
    others = np.setdiff1d(np.arange(len(clips.vectors)), np.concatenate([gone, left]))[:BEST]
    replacing = clock(lambda: rival.replace(others, np.tile(asked, (len(others), 1)), clips.facts.take(others)))
    after = rival.nearest(asked, BEST, effort)
    return {
        "remove_100": removing, "replace_100": replacing, "removed_are_gone": not np.isin(gone, left).any(),
        "replaced_are_found": recall([after], [others]),
    }  # fmt: skip


def ask(nearest: Callable[[Any], NDArray[np.int64]], queries: NDArray[np.float32]) -> tuple[list[Any], list[float]]:
    """Answers to each query, and the seconds of each, after a few that are not counted."""
    for one in queries[:5]:
        nearest(one)
    answers, seconds = [], []
    for one in queries:
        started = time.perf_counter()
        answers.append(nearest(one))
        seconds.append(time.perf_counter() - started)
    return answers, seconds


def recall(found: list[NDArray[np.int64]], wanted: list[NDArray[np.int64]]) -> float:
    return float(np.mean([np.isin(best, one).mean() for best, one in zip(wanted, found, strict=True)]))


def spread(name: str, seconds: list[float]) -> dict[str, float]:
    return {f"{name}_p50": float(np.percentile(seconds, 50)), f"{name}_p95": float(np.percentile(seconds, 95))}


def clock(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def comparison(measured: list[Measured], machine: str, notes: list[str]) -> str:
    """The table of all engines, in Markdown."""

    def ms(name: str) -> Callable[[dict[str, Any]], str]:
        return lambda about: f"{1e3 * about[f'{name}_p50']:.1f} / {1e3 * about[f'{name}_p95']:.1f} ms"

    rows: dict[str, Callable[[dict[str, Any]], str]] = {
        "rows written": lambda about: f"{about['fill']:.1f} s",
        "index built": lambda about: f"{about['index']:.1f} s",
        "size on disk": lambda about: f"{about['bytes'] / 2**20:,.0f} MiB",
        f"recall@{BEST}": lambda about: f"{about['recall']:.3f}",
        "one query, p50 / p95": ms("query"),
        f"recall@{BEST}, filtered": lambda about: f"{about['filtered_recall']:.3f}",
        "one query, filtered": ms("filtered"),
        f"{BEST} clips removed": lambda about: f"{1e3 * about['remove_100']:.0f} ms",
        f"{BEST} clips replaced": lambda about: f"{1e3 * about['replace_100']:.0f} ms",
        "of them found at once": lambda about: f"{100 * about['replaced_are_found']:.0f} %",
        "opened again, first answer": lambda about: f"{1e3 * about['opening']:.0f} ms",
    }  # fmt: skip
    lines = [
        fill(
            f"{machine}; `python -m benchmarks engines`; {', '.join(name for one in measured for name in one.packages)}. "
            f"{notes[0]} Recall is of the exact nearest; each engine's effort is the least of a few at which it holds "
            f"{ENOUGH:.0%} of those of 100 other queries without a filter, or the most.",
            118,
        ),
        "",
        "| | " + " | ".join(one.name for one in measured) + " |",
        "|---|" + "---|" * len(measured),
        *(f"| {name} | " + " | ".join(tell(one.about) for one in measured) + " |" for name, tell in rows.items()),
    ]
    return "\n".join(lines)
