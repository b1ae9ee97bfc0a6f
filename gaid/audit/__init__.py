"""How much of a figure is real: `audit` asks a number of questions about a run, `compare` compares two runs.

Each question has a file of its own and gives a Section: lines of figures with intervals. Scores come from `evaluation`,
trainings from `training`; pages and tables are left to `report`.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaid.audit.answer import answer
from gaid.audit.captions import captions
from gaid.audit.compare import RunComparison, compare
from gaid.audit.leak import leak
from gaid.audit.pool import pool, protocol
from gaid.audit.results import Audit, Line, Section
from gaid.audit.seeds import seeds as over_seeds
from gaid.audit.selection import selection
from gaid.audit.senses import Senses, senses, senses_of_runs
from gaid.audit.softmax import softmax
from gaid.audit.sound import alignment, audio
from gaid.errors import OptionInvalid
from gaid.evaluation.basis import notes_of, overlap_notes, overlaps_of
from gaid.evaluation.bench import Bench, open_bench
from gaid.evaluation.ranks import Estimate
from gaid.runs import Run
from gaid.settings import nearest
from gaid.stores import open_store

if TYPE_CHECKING:
    from gaid.stores import Store

__all__ = ["QUESTIONS", "Audit", "Estimate", "Line", "RunComparison", "Section", "Senses", "audit", "compare", "senses"]

QUESTIONS = (
    "leak",
    "selection",
    "dual-softmax",
    "alignment",
    "pool",
    "seeds",
    "audio",
    "captions",
    "senses",
    "protocol",
)


def audit(
    run: "str | Path | Run",
    *,
    store: "str | Path | Store | None" = None,
    split: str = "test",
    split_protocol: str | None = None,
    against: "Iterable[str | Path | Run]" = (),
    only: Iterable[str] = (),
    retrain: bool = False,
    work: str | Path | None = None,
    published_sampling: "str | Path | Store | None" = None,
    seeds: int | None = None,
    memory: str | int = "auto",
    device: str = "auto",
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> Audit:
    """Answers `only` these of QUESTIONS (all by default) for a run, with 95 % intervals by a bootstrap over videos.

    Args:
        run: a run folder or Run; on its own store, or on `store` of the same backbones.
        split, split_protocol: part of the data set, and which of its splits (default: the one trained under).
        against: other runs on the same store, for baselines, leaks beside, and the chance that rankings turn round.
        retrain: also train the controls: the same again keeping every evaluation, with another clip's sound, with none.
        work: where these trainings go (`RUN/audit` by default); finished ones are used again.
        published_sampling: a store of the same clips extracted with `--audio-sampling published`.
        seeds: only the first so many members of every run.
        memory, device: as in `evaluate`. seed: of draws. progress: is called with a line before each question and each training.

    Raises OptionInvalid, DataMissing, StoresDisagree, RunInvalid, HeadMismatch.
    """
    started = time.perf_counter()
    asked = _questions(only)
    bench = open_bench(
        run, store=store, split=split, split_protocol=split_protocol, seeds=seeds, memory=memory, device=device,
        seed=seed, keeps_scores=True,
    )  # fmt: skip
    loaded = bench.run
    if retrain and loaded.imported:
        raise OptionInvalid(f"{run}: was imported, so there is no training to repeat; leave out --retrain")
    if bench.videos < 4:
        raise OptionInvalid(f"{bench.store.path}: the part {split!r} has {bench.videos} videos, too few to audit on")
    sampled = open_store(published_sampling) if isinstance(published_sampling, str | Path) else published_sampling
    others = [bench.beside(one, seeds) for one in against]
    trainer = _Trainer(loaded, bench, Path(work) if work else loaded.pages / "audit", progress) if retrain else None
    answers: dict[str, Callable[[], Section]] = {
        "leak": lambda: leak(bench, others),
        "selection": lambda: selection(bench, trainer),
        "dual-softmax": lambda: softmax(bench),
        "alignment": lambda: alignment(bench, sampled, trainer),
        "pool": lambda: pool(bench),
        "seeds": lambda: over_seeds(bench, others),
        "audio": lambda: audio(bench, others, trainer),
        "captions": lambda: captions(bench, others),
        "senses": lambda: senses_of_runs(bench, others),
        "protocol": lambda: protocol(bench),
    }
    sections = []
    for question in asked:
        progress(f"{bench.label}: {question}")
        sections.append(answers[question]())
    bases = [one.basis for one in (bench, *others)]
    return Audit(
        basis=bench.basis,
        sections=sections,
        answer=answer(bench.label, sections),
        notes=notes_of([bench.basis]) + overlap_notes(bases),
        training_overlap=overlaps_of(bases),
        against=[str(other.run.path) for other in others],
        seconds=time.perf_counter() - started,
    )


class _Trainer:
    """Trains a run again with something changed; a training that has finished before is used as it is."""

    def __init__(self, run: Run, bench: Bench, work: Path, progress: Callable[[str], None]) -> None:
        self.run, self.bench, self.work, self.progress = run, bench, work, progress

    def __call__(self, name: str, changes: Mapping[str, Any], store: "Store | None" = None) -> Run:
        from gaid.training import train

        self.progress(f"{self.run.preset}: training again, {name}")
        config = {**self.run.settings, **changes}
        return train(
            store or self.bench.store,
            out=self.work / name,
            config=config,
            device=self.bench.device,
            memory=self.bench.memory,
            resume=True,
            progress=False,
        )


def _questions(only: Iterable[str]) -> list[str]:
    chosen = [name.replace("_", "-") for name in only]
    for name in chosen:
        if name not in QUESTIONS:
            raise OptionInvalid(f"--only {name!r} does not exist; {nearest(name, QUESTIONS)}")
    return [name for name in QUESTIONS if not chosen or name in chosen]
