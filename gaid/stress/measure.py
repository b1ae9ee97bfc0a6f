"""Ranks of several heads under every fault, and curves of their figures. The faults themselves are in `faults` and `captions`."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gaid import metrics
from gaid.evaluation.bench import Bench, Condition
from gaid.evaluation.figures import figures_of
from gaid.evaluation.ranks import Ranks
from gaid.stress import probes
from gaid.stress.captions import CaptionFault
from gaid.stress.faults import Fault
from gaid.stress.results import Curve, Finding, Kind, Point

if TYPE_CHECKING:
    from gaid.heads import Head
    from gaid.stores import Split

EXAMPLES = 3


@dataclass
class StressTest:
    """Several heads on one split under the same faults: their benches by label, the run's first."""

    benches: dict[str, Bench]

    @property
    def first(self) -> Bench:
        """The run's own bench."""
        return next(iter(self.benches.values()))

    @property
    def split(self) -> "Split":
        """The split that all of them are on."""
        return self.first.split

    @property
    def seed(self) -> int:
        """The seed of faults and intervals."""
        return self.first.seed

    def on(self, split: "Split") -> "StressTest":
        """The same heads on another split; they share its features."""
        first = self.first.on(split)
        return StressTest({label: first.beside(one.subject) for label, one in self.benches.items()})

    def point(self, label: str, strength: float | None, ranks: Ranks, clean: Ranks) -> Point:
        """Figures of these ranks, and their paired differences to the clean ones."""
        figures = figures_of(ranks, self.seed)["t2v"]
        before = metrics.metrics_of_ranks(clean.by["t2v"])
        return Point(
            label,
            strength,
            figures,
            {name: value - before[name] for name, value in figures.values.items()},
            _paired(ranks, clean, self.seed),
        )

    # Faults of sound, picture and captions

    def feature_fault(self, fault: Fault) -> Finding:
        """Curves of all heads under a fault of sound or picture."""
        return self.fault_of_splits(
            fault, "sound" if fault.touches == "audio" else "picture",
            lambda strength: fault(self.split, strength, self.seed),
        )  # fmt: skip

    def fault_of_splits(self, fault: Fault, kind: Kind, corrupt: Callable[[float], "Split"], name: str = "") -> Finding:
        """Curves under a fault; `corrupt` returns the corrupted split for each strength."""
        finding = Finding(name or fault.name, kind, fault.title, fault.axis, fault.how)
        found = []
        for strength in fault.strengths:
            corrupted = self.on(corrupt(strength))
            found.append([
                one.ranks if fault.touches == "audio" and not one.head().uses_audio else corrupted.benches[label].ranks
                for label, one in self.benches.items()
            ])  # fmt: skip
        finding.curves = self.curves(found, [(fault.label(strength), strength) for strength in fault.strengths])
        return finding

    def curves(self, found: list[list[Ranks]], strengths: Sequence[tuple[str, float]]) -> list[Curve]:
        """Ranks of every head at every strength as curves; those of the first head have its lead over the others."""
        curves = []
        for place, (head, one) in enumerate(self.benches.items()):
            points = []
            for ranks, (label, strength) in zip(found, strengths, strict=True):
                point = self.point(label, strength, ranks[place], one.ranks)
                if place == 0:
                    point.lead = {
                        other: self.lead(ranks[0], theirs)
                        for other, theirs in zip(list(self.benches)[1:], ranks[1:], strict=True)
                    }
                points.append(point)
            curves.append(Curve(head, points))
        return curves

    def lead(self, ranks: Ranks, others: Ranks) -> tuple[float, float, float]:
        """R@1 of these ranks minus that of others, with the paired interval."""
        own, theirs = (metrics.metrics_of_ranks(one.by["t2v"])["R@1"] for one in (ranks, others))
        low, high = _paired(ranks, others, self.seed)["R@1"]
        return own - theirs, low, high

    def caption_fault(self, fault: CaptionFault, encode: Callable[[list[str]], dict[str, Any]]) -> Finding:
        """Curves under a fault of captions; only changed captions are encoded, into the fields of a split that `encode` gives."""
        finding = Finding(fault.name, "caption", fault.title, fault.axis, fault.how)
        own = self.split.caption_texts
        found = []
        for strength in fault.strengths:
            texts = fault(own, strength, self.seed)
            changed = [row for row, (new, old) in enumerate(zip(texts, own, strict=True)) if new != old]
            fields: dict[str, Any] = {}
            if changed:
                encoded = encode([texts[row] for row in changed])
                fields = {name: getattr(self.split, name).copy() for name in encoded}
                for name, values in encoded.items():
                    fields[name][changed] = values
                finding.examples = [(own[row], texts[row]) for row in changed[:: max(1, len(changed) // EXAMPLES)]]
                finding.examples = finding.examples[:EXAMPLES]
            corrupted = self.on(replace(self.split, **fields))
            found.append([one.ranks for one in corrupted.benches.values()])
        finding.curves = self.curves(found, [(fault.label(strength), strength) for strength in fault.strengths])
        return finding

    # Changes to the heads

    def changed_heads(
        self,
        name: str,
        title: str,
        axis: str,
        how: str,
        able: Callable[["Head"], bool],
        lacks: str,
        changes: Sequence[tuple[str, float | None, Callable[["Head", Bench], None]]],
    ) -> Finding:
        """Curves of the heads that have a part, with that part changed; the first point is the head as trained."""
        finding = Finding(name, "head", title, axis, how)
        for head, one in self.benches.items():
            if not all(able(one.head(member)) for member in one.members):
                finding.not_applicable[head] = lacks
                continue
            points = [self.point("as trained", None, one.ranks, one.ranks)]
            points += [
                self.point(label, strength, ranks_changed(one, change), one.ranks)
                for label, strength, change in changes
            ]
            finding.curves.append(Curve(head, points))
        return finding

    def gate(self) -> Finding:
        """The gate forced to 0, 0.5, 1 and to its mean."""

        def to_mean(head: "Head", bench: Bench) -> None:
            probes.force_gate(head, probes.mean_gate(head, bench.features(head), bench.owner))

        fixed = [
            (f"{value:g}", value, lambda head, _, value=value: probes.force_gate(head, value)) for value in (0, 0.5, 1)
        ]
        return self.changed_heads(
            "gate", "the gate forced", "gate of every frame that has sound",
            "one gate for all frames and texts: 0 is the picture alone, 1 the sound alone, and the mean is over the sounding "
            "frames of all captions with their own clips",
            probes.has_gate, "has no gate of this kind", [*fixed, ("its mean", None, to_mean)],
        )  # fmt: skip

    def alpha(self) -> Finding:
        """DASP's alpha from 0 to 4."""
        sweep = [
            (f"{value:g}", value, lambda head, _, value=value: probes.set_alpha(head, value)) for value in probes.ALPHAS
        ]
        return self.changed_heads(
            "alpha", "DASP's alpha swept", "alpha",
            "the text is moved by alpha times its std, 0 leaves it where it is; nothing is trained again",
            probes.has_dasp, "does not move its texts by DASP", sweep,
        )  # fmt: skip

    def direction(self) -> Finding:
        """DASP's direction replaced by its negative and by random ones, and left out."""

        def back(head: "Head", _: Bench) -> None:
            probes.set_alpha(head, -probes.alpha(head))

        return self.changed_heads(
            "direction", "DASP's direction replaced", "direction in which the text is moved",
            "the text is moved as far as trained: the other way, or with a random sign for each number of std (one draw a text)",
            probes.has_dasp, "does not move its texts by DASP",
            [("none", None, lambda head, _: probes.set_alpha(head, 0.0)), ("random", None, lambda head, _: probes.turn_direction(head)),
             ("negative", None, back)],
        )  # fmt: skip


def ranks_changed(bench: Bench, change: Callable[["Head", Bench], None]) -> Ranks:
    """Ranks of a bench's heads after `change` of a copy of each."""

    def changed(member: int) -> "Head":
        head = copy.deepcopy(bench.head(member))
        change(head, bench)
        return head.eval()

    return bench.measure(condition=Condition(head=changed))[0]


def _paired(ranks: Ranks, against: Ranks, seed: int) -> dict[str, tuple[float, float]]:
    """Intervals of the difference, text to video."""
    return metrics.intervals(ranks.by["t2v"], ranks.clusters["t2v"], seed=seed, against=against.by["t2v"])
