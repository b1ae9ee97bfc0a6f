"""The results of `stress`: curves with intervals, as plain data with their JSON form. Nothing here computes scores."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from gaid.evaluation.basis import Basis, overlaps_of
from gaid.evaluation.figures import Figures
from gaid.metrics import NAMES

Kind = Literal["sound", "picture", "caption", "head", "media"]
KINDS: dict[str, str] = {
    "sound": "Faults of the sound",
    "picture": "Faults of the picture",
    "caption": "Faults of the captions",
    "head": "The head itself, changed",
    "media": "Faults of the real files",
}


@dataclass
class Point:
    """One strength of one fault: the figures, and their differences to the clean ones with paired 95 % intervals.

    `lead`, at the run's own points only: its R@1 minus that of each other head under the same fault, with the paired
    interval.
    """

    label: str
    strength: float | None
    figures: Figures
    difference: dict[str, float]
    spread: dict[str, tuple[float, float]]
    lead: dict[str, tuple[float, float, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "strength": self.strength if self.strength is not None and math.isfinite(self.strength) else None,
            **self.figures.to_dict(),
            "difference": {name: round(value, 4) for name, value in self.difference.items()},
            "difference_intervals": {name: [round(a, 4), round(b, 4)] for name, (a, b) in self.spread.items()},
            **({"lead": {head: [round(one, 4) for one in of] for head, of in self.lead.items()}} if self.lead else {}),
        }


@dataclass
class Curve:
    """One head under one fault, beginning with the clean point."""

    head: str
    points: list[Point]


@dataclass
class Finding:
    """One fault: a curve per head, and the heads that it does not apply to, with the reason."""

    name: str
    kind: Kind
    title: str
    axis: str
    how: str
    curves: list[Curve] = field(default_factory=list)
    not_applicable: dict[str, str] = field(default_factory=dict)
    examples: list[tuple[str, str]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "title": self.title,
            "axis": self.axis,
            "how": self.how,
            "curves": {curve.head: [point.to_dict() for point in curve.points] for curve in self.curves},
            "not_applicable": self.not_applicable,
            "examples": [list(pair) for pair in self.examples],
        }


@dataclass
class DaspEffect:
    """The effect of DASP on single queries: rank with the trained alpha compared with rank at alpha = 0.

    Shares are % of queries, means over seeds. `correlations` are Spearman's, of log2(rank without / rank with) and a property:
    above 0, DASP helps more where the property is larger. Intervals are from a bootstrap over videos.
    """

    head: str
    alphas: list[float]
    shares: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    correlations: dict[str, tuple[float, float, float]]

    def to_dict(self) -> dict[str, Any]:
        return {
            "alphas": [round(one, 4) for one in self.alphas],
            "shares": {
                name: {"value": round(value, 4), "interval": [round(x, 4) for x in self.intervals[name]]}
                for name, value in self.shares.items()
            },
            "correlations": {
                name: {"value": round(value, 4), "interval": [round(low, 4), round(high, 4)]}
                for name, (value, low, high) in self.correlations.items()
            },
        }


@dataclass
class MediaSample:
    """Which clips were decoded again, and the greatest difference of their features to the cached ones."""

    clips: int
    of: int
    queries: int
    failed: list[str]
    greatest_difference: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "clips": self.clips,
            "of": self.of,
            "queries": self.queries,
            "failed": self.failed,
            "greatest_difference": self.greatest_difference,
        }


@dataclass
class StressResults:
    """All faults of a run and of those that it stands against, text to video, under the query protocol.

    `heads`: what each of them rests on, by its label, the run first. `seed`: of all faults and intervals.
    """

    heads: dict[str, Basis]
    seed: int
    findings: list[Finding] = field(default_factory=list)
    dasp: list[DaspEffect] = field(default_factory=list)
    media: MediaSample | None = None
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def basis(self) -> Basis:
        """What the run's own figures rest on."""
        return next(iter(self.heads.values()))

    @property
    def hears(self) -> dict[str, str]:
        """What each head with a choice hears, in words."""
        return {label: one.hears for label, one in self.heads.items() if one.hears}

    def finding(self, name: str) -> Finding:
        """The fault of that name."""
        return next(one for one in self.findings if one.name == name)

    def to_dict(self) -> dict[str, Any]:
        """JSON types only; an infinite strength (no noise, noise alone) is null and has its label."""
        return {
            "run": self.basis.run,
            "heads": {label: one.seeds for label, one in self.heads.items()},
            **self.basis.to_dict("store", "dataset", "split", "split_protocol"),
            "protocol": "query",
            "direction": "t2v",
            "seed": self.seed,
            "queries": self.basis.captions,
            "gallery": self.basis.videos,
            **self.basis.to_dict("census", "gallery_hash", "backbones", "random_weights"),
            "audio_inputs": {label: one.audio_input for label, one in self.heads.items() if one.audio_input},
            "faults": {one.name: one.to_dict() for one in self.findings},
            "dasp": {one.head: one.to_dict() for one in self.dasp},
            "media": self.media.to_dict() if self.media else None,
            "notes": self.notes,
            "training_overlap": [one.to_dict() for one in overlaps_of(self.heads.values())],
            "seconds": round(self.seconds, 3),
        }

    def records(self) -> list[dict[str, Any]]:
        """One record per point, for a table."""
        out = []
        for finding in self.findings:
            for curve in finding.curves:
                for point in curve.points:
                    record: dict[str, Any] = {
                        "fault": finding.name,
                        "head": curve.head,
                        "strength": point.label,
                        "queries": point.figures.queries,
                        "gallery": point.figures.gallery,
                        "seeds": len(point.figures.per_seed),
                    }
                    for name in NAMES:
                        low, high = point.figures.intervals[name]
                        record |= {name: round(point.figures.values[name], 4), f"{name} low": round(low, 4)}
                        record |= {f"{name} high": round(high, 4), f"{name} change": round(point.difference[name], 4)}
                        below, above = point.spread[name]
                        record |= {f"{name} change low": round(below, 4), f"{name} change high": round(above, 4)}
                    for head, (value, low, high) in point.lead.items():
                        record |= {f"R@1 above {head}": round(value, 4), f"R@1 above {head} low": round(low, 4)}
                        record |= {f"R@1 above {head} high": round(high, 4)}
                    out.append(record)
        return out
