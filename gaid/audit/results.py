"""The results of an audit: sections of lines, figures with intervals, as plain data. Nothing here measures or prints."""

from dataclasses import dataclass, field
from typing import Any

from gaid.evaluation.basis import Basis
from gaid.evaluation.overlap import TrainingOverlap
from gaid.evaluation.ranks import Estimate


@dataclass
class Line:
    """A line of a section. `kind`: main (the figure that we report), control, leak (a flattered one), baseline, chance or part."""

    label: str
    values: dict[str, Estimate]
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
    """One question. `unmeasured` is why there is no answer and how to get one; `drawn` is the column of its figure."""

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
        """The columns that have a value in at least one line."""
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
