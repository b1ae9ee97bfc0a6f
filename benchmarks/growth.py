"""How each stage's time and memory grow: four sizes, each double the one before, and the exponent that fits them.

Time is taken as `seconds = c * size ** exponent`, fitted to the logarithms of all rounds at once; 1 is linear. What a stage
costs before its first item pulls the exponent below 1, never above. Memory is the most beyond what was held before,
less a result that has to be that large.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.features import draw_rows, plan_store, write_store
from benchmarks.harness import Case, Findings, Goal, Options, race
from benchmarks.media import make_clip
from benchmarks.score import MEMORY, Inputs, make_head
from benchmarks.train import Ours
from gaid.datasets.types import Caption, Dataset, Video
from gaid.extract import extract
from gaid.stores import StoreWriter

OURS = "gaid"
FLAT = 64 << 20  # bytes by which memory may grow from the smallest size to the largest and still count as flat
FILES = 4  # clips that extraction's videos share: making hundreds would take longer than extracting them
Call = Callable[[], Any]


@dataclass(frozen=True)
class Stage:
    """One stage at four sizes. `prepare` gives a call a size, whose preparation is not timed; `result` its bytes that must grow."""

    name: str
    sizes: Sequence[int]
    prepare: Callable[[int], Any]
    unit: str
    result: Callable[[int], int] = lambda size: 0


@dataclass(frozen=True)
class Fit:
    """The exponent with its 95 % interval, over all rounds of all sizes."""

    exponent: float
    low: float
    high: float

    @classmethod
    def of(cls, sizes: Sequence[int], seconds: Sequence[Sequence[float]]) -> "Fit":
        """`seconds`: the rounds of each size."""
        x = np.log(np.repeat(np.asarray(sizes, float), [len(rounds) for rounds in seconds]))
        found = stats.linregress(x, np.log(np.concatenate([np.asarray(rounds) for rounds in seconds])))
        reach = stats.t.ppf(0.975, len(x) - 2) * found.stderr
        return cls(float(found.slope), float(found.slope - reach), float(found.slope + reach))


@contextmanager
def scoring(texts: int, videos: int, seed: int, dim: int, frames: int) -> Iterator[Call]:
    """All pairs of so many by the preset `gaid`."""
    head = make_head("gaid", dim, frames, seed)
    inputs = Inputs.draw(texts, videos, dim, frames, seed)
    yield lambda: head.score(*inputs.all(), memory=MEMORY)


@contextmanager
def training(clips: int, batch: int, seed: int, dim: int, frames: int) -> Iterator[Call]:
    """An epoch's steps, without an evaluation."""
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(Path(folder) / "random.zarr", clips + 4, dim, frames, 4, seed)
        ours = Ours(store, batch, Path(folder), seed)
        yield lambda: ours.steps(ours.loop.batches.batches_per_epoch)


@contextmanager
def writing(clips: int, seed: int, dim: int, frames: int) -> Iterator[Call]:
    """A store of so many clips; each shard's arrays are the same ones."""
    plan = plan_store(clips, dim, frames)
    arrays = draw_rows(np.random.default_rng(seed), plan.shard_rows, dim, frames)
    text = np.zeros((clips, dim), np.float16)
    number = 0

    def call() -> None:
        nonlocal number
        number += 1
        with StoreWriter.open(Path(folder) / f"{number}.zarr", plan) as writer:
            writer.write_captions(text, text)
            for shard in writer.pending_shards:
                rows = writer.shard_slice(shard)
                writer.write_shard(shard, {name: part[: rows.stop - rows.start] for name, part in arrays.items()})

    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DISK")) as folder:
        yield call


@contextmanager
def extracting(clips: int, threads: int, length: float) -> Iterator[Call]:
    """So many clips through `tiny`; they share a few files."""
    paths = [make_clip("360p", 30, length, seed) for seed in range(FILES)]
    videos = tuple(Video(f"clip{row:05d}", paths[row % FILES]) for row in range(clips))
    captions = tuple(Caption(f"c{row}", video.id, f"clip {row}") for row, video in enumerate(videos))
    dataset = Dataset("bench", paths[0].parent, videos, captions, {"all": {"test": tuple(range(clips))}}, "all")
    number = 0

    def call() -> None:
        nonlocal number
        number += 1
        extract(
            dataset, out=Path(folder) / f"{number}.zarr", visual="tiny", audio="tiny", text="tiny", device="cpu",
            workers=threads, progress=False,
        )  # fmt: skip

    with tempfile.TemporaryDirectory() as folder:
        yield call


def stages(options: Options) -> list[Stage]:
    """All stages, at sizes where the first item's cost is small beside the rest."""
    quick, seed = options.quick, options.seed
    dim, frames = (32, 4) if quick else (512, 12)

    def doubled(first: int) -> tuple[int, ...]:
        return tuple(first * 2**power for power in range(4))

    one_side = 16 if quick else 256
    return [
        Stage(
            "extraction, clips", (1, 2, 3, 4) if quick else doubled(24),
            lambda clips: extracting(clips, options.threads, 1.0 if quick else 5.0), "clips",
        ),
        Stage(
            "store, clips written", doubled(50 if quick else 4000), lambda clips: writing(clips, seed, dim, frames), "clips"
        ),
        Stage(
            "training, clips an epoch", doubled(8 if quick else 512),
            lambda clips: training(clips, 8 if quick else 128, seed, dim, frames), "clips",
        ),
        Stage(
            f"scoring {one_side} videos, texts", doubled(16 if quick else 1000),
            lambda texts: scoring(texts, one_side, seed, dim, frames), "texts", lambda texts: 4 * texts * one_side,
        ),
        Stage(
            f"scoring {one_side} texts, videos", doubled(16 if quick else 1000),
            lambda videos: scoring(one_side, videos, seed, dim, frames), "videos", lambda videos: 4 * videos * one_side,
        ),
    ]  # fmt: skip


def measure(stage: Stage, options: Options) -> tuple[list[Case], Fit]:
    """A case a size, and the fit over them."""
    cases = []
    for size in stage.sizes:
        with stage.prepare(size) as call:
            timing = race({OURS: call}, options, rounds=min(options.rounds, 3))[OURS]
        timing.peak_bytes = max(0, timing.peak_bytes - stage.result(size))
        cases.append(Case(f"{stage.name}: {size:,}", OURS, {OURS: timing}, units=size, unit=stage.unit))
    return cases, Fit.of(stage.sizes, [case.timings[OURS].seconds for case in cases])


def run(options: Options) -> Findings:
    """Every stage at its sizes."""
    cases, goals, notes, figures = [], [], [], {}
    for stage in stages(options):
        found, fit = measure(stage, options)
        cases += found
        exponent = f"{fit.exponent:.2f} ({fit.low:.2f} to {fit.high:.2f})"
        # Linear or less: an exponent above 1 by more than the fit's uncertainty is growth that should not be.
        goals.append(Goal(f"{stage.name}: linear", f"exponent {exponent}", fit.low <= 1.0 or fit.exponent <= 1.05))
        peaks = [case.timings[OURS].peak_bytes for case in found]
        grown = peaks[-1] - peaks[0]
        goals.append(
            Goal(
                f"{stage.name}: memory flat (under {FLAT >> 20} MiB more at eight times the size)",
                f"{peaks[0] / 2**20:.0f} to {peaks[-1] / 2**20:.0f} MiB",
                grown < FLAT,
            )
        )
        notes.append(f"{stage.name}: seconds grow as size to the power {exponent}.")
        figures[stage.name] = vars(fit)
    notes += [
        f"Extraction's videos share {FILES} files of 360p; its seconds hold the start of its workers.",
        "Memory of scoring is without its matrix of scores, that of training without the split, which is in memory before.",
    ]
    return Findings("growth", cases, goals, notes, {"fits": figures})
