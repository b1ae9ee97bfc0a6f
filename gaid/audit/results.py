"""What an audit found: sections of lines of figures with intervals, as plain data that prints and serialises."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gaid import metrics
from gaid.evaluation.basis import Basis
from gaid.evaluation.overlap import TrainingOverlap
from gaid.evaluation.results import signed


@dataclass(frozen=True)
class Measured:
    """A figure and its 95 % interval; `signed` is a difference. `low` and `high` are None where there is nothing to draw."""

    value: float
    low: float | None = None
    high: float | None = None
    signed: bool = False

    def to_dict(self) -> dict[str, float | None]:
        return {name: None if x is None else round(float(x), 4) for name, x in
                (("value", self.value), ("low", self.low), ("high", self.high))}  # fmt: skip

    @property
    def text(self) -> str:
        """As it is printed: one digit, a difference with its sign."""
        return signed(self.value) if self.signed else f"{self.value:.1f}"

    @property
    def interval(self) -> str:
        """`low–high`, or nothing."""
        if self.low is None or self.high is None:
            return ""
        if self.signed:
            return f"{signed(self.low)} to {signed(self.high)}"
        return f"{self.low:.1f}–{self.high:.1f}"

    def __str__(self) -> str:
        return f"{self.text} ({self.interval})" if self.interval else self.text


@dataclass
class Ranks:
    """Ranks of the same queries by several members: by direction (members, queries), and each query's video."""

    by: dict[str, np.ndarray]
    clusters: dict[str, np.ndarray]
    gallery: int

    def hits(self, direction: str = "t2v", k: int = 1) -> np.ndarray:
        """(queries) the share of members that found the query among the best k, in per cent."""
        return 100.0 * (self.by[direction] <= k).mean(axis=0)

    def values(self, against: "Ranks | None" = None, seed: int = 0) -> dict[str, Measured]:
        """All metrics as `t2v R@1` ...; with `against`, of the same queries, the paired differences as `change t2v R@1` ..."""
        found: dict[str, Measured] = {}
        for one, ranks in self.by.items():
            means = metrics.metrics_of_ranks(ranks)
            spread = metrics.intervals(ranks, self.clusters[one], seed=seed)
            found |= {f"{one} {name}": Measured(means[name], *spread[name]) for name in metrics.NAMES}
            if against is not None and one in against.by:
                other = metrics.metrics_of_ranks(against.by[one])
                spread = metrics.intervals(ranks, self.clusters[one], seed=seed, against=against.by[one])
                found |= {
                    f"change {one} {name}": Measured(means[name] - other[name], *spread[name], signed=True)
                    for name in metrics.NAMES
                }
        return found


@dataclass
class Line:
    """A line of a section. `kind`: main (what we report), control, leak (what flatters), baseline, chance or part."""

    label: str
    values: dict[str, Measured]
    kind: str = "control"
    group: str = ""

    def to_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {"label": self.label, "kind": self.kind}
        if self.group:
            out["group"] = self.group
        return out | {name: one.to_dict() for name, one in self.values.items()}


RECALLS = ("t2v R@1", "change t2v R@1", "t2v R@10", "v2t R@1", "change v2t R@1")


@dataclass
class Section:
    """One question. `unmeasured` says why there is no answer, and how to get one; `drawn` is the column of its figure."""

    name: str
    title: str
    question: str
    lines: list[Line] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    columns: tuple[str, ...] = RECALLS
    drawn: str = "t2v R@1"
    unmeasured: str = ""

    @property
    def shown(self) -> list[str]:
        """The columns that at least one line fills."""
        return [name for name in self.columns if any(name in line.values for line in self.lines)]

    @property
    def groups(self) -> list[tuple[str, list[Line]]]:
        """Lines by their groups, in order."""
        names = list(dict.fromkeys(line.group for line in self.lines))
        return [(name, [line for line in self.lines if line.group == name]) for name in names]

    def line(self, label: str, group: str = "") -> Line:
        """The line of a label (and group, where several groups have one). Raises KeyError."""
        for line in self.lines:
            if line.label == label and (not group or line.group == group):
                return line
        raise KeyError(label)

    def to_dict(self) -> dict[str, Any]:
        return {
            "question": self.question,
            "findings": self.findings,
            "notes": self.notes,
            "unmeasured": self.unmeasured or None,
            "lines": [line.to_dict() for line in self.lines],
        }


@dataclass
class Audit:
    """How much of a run's figure is real: the answer in a sentence, a section per question, and what all of them rest on.

    `against`: the folders of the other runs; `training_overlap`: of the run and of these.
    """

    basis: Basis
    sections: list[Section]
    answer: str
    notes: list[str] = field(default_factory=list)
    training_overlap: list[TrainingOverlap] = field(default_factory=list)
    against: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __getitem__(self, name: str) -> Section:
        return next(section for section in self.sections if section.name == name)

    def to_dict(self) -> dict[str, Any]:
        """JSON types only; `sections` by the questions' names."""
        return {
            "answer": self.answer,
            **self.basis.to_dict(
                "run", "preset", "store", "dataset", "split", "split_protocol", "seeds", "videos", "captions", "census",
                "gallery_hash", "backbones", "audio_input", "noise",
            ),
            "notes": self.notes,
            "against": self.against,
            "training_overlap": [one.to_dict() for one in self.training_overlap],
            "seconds": round(self.seconds, 1),
            "sections": {section.name: section.to_dict() for section in self.sections},
        }  # fmt: skip
