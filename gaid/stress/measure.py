"""Scores of several heads under every fault, and the curves that follow from them."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gaid import metrics
from gaid.evaluation.basis import Basis
from gaid.evaluation.conditioning import PROTOCOLS
from gaid.evaluation.results import Figures
from gaid.evaluation.scoring import ranks_of, score_all
from gaid.evaluation.subject import Subject, check_head_fits
from gaid.heads.features import Features
from gaid.stress import probes
from gaid.stress.captions import CaptionFault
from gaid.stress.faults import Fault
from gaid.stress.results import Curve, Finding, Kind, Point

if TYPE_CHECKING:
    from gaid.heads import Head
    from gaid.stores import Split, Store

Ranks = NDArray[np.float64]  # (seeds, queries)
EXAMPLES = 3


@dataclass
class Contender:
    """A head under its name, its seeds loaded."""

    label: str
    basis: Basis
    heads: list["Head"]

    @classmethod
    def of(cls, subject: Subject, store: "Store", split: "Split", device: str, label: str) -> "Contender":
        heads = [subject.head(number) for number in range(len(subject.seeds))]
        for head in heads:
            check_head_fits(head, split, subject.name)
        return cls(label, Basis.of(subject, store, split, device=device), heads)

    @property
    def looks_at(self) -> str:
        """`frames` or `patches`."""
        return self.heads[0].visual_input

    @property
    def listens_to(self) -> str:
        """`frames`, an embedding a frame, or `tokens`."""
        return self.heads[0].audio_input

    @property
    def hears(self) -> bool:
        """Whether sound can change anything for it."""
        return any(head.uses_audio for head in self.heads)


class Bench:
    """Contenders on one split; all of them meet the same faults."""

    def __init__(self, contenders: Sequence[Contender], split: "Split", memory: int, device: str, seed: int) -> None:
        self.contenders, self.split = list(contenders), split
        self.memory, self.device, self.seed = memory, device, seed
        self.clean = [self.rank(one.heads, split) for one in self.contenders]

    def features(self, head: "Head") -> Features:
        """The undisturbed features that a head takes."""
        return Features.of(self.split, self.device, head)

    def rank(self, heads: Sequence["Head"], split: "Split") -> Ranks:
        """Ranks of all captions on a split that may be spoilt, a row a seed."""
        owner, features = split.caption_video, Features.of(split, self.device, heads[0])
        return np.stack([
            ranks_of(
                score_all(head, features, owner, PROTOCOLS["query"], memory=self.memory, seed=self.seed),
                owner, "t2v", memory=self.memory,
            )
            for head in heads
        ])  # fmt: skip

    def point(self, label: str, strength: float | None, ranks: Ranks, clean: Ranks) -> Point:
        """Figures of these ranks, and their paired distance from the clean ones."""
        owner = self.split.caption_video
        figures = Figures.of_ranks(ranks, owner, "t2v", len(self.split.video_ids), self.seed)
        before = metrics.metrics_of_ranks(clean)
        return Point(
            label,
            strength,
            figures,
            {name: value - before[name] for name, value in figures.values.items()},
            metrics.intervals(ranks, owner, seed=self.seed, against=clean),
        )

    # Faults of what is looked at, listened to and read

    def feature_fault(self, fault: Fault) -> Finding:
        """Curves of all heads under a fault of sound or picture."""
        return self.fault_of_splits(
            fault, "sound" if fault.touches == "audio" else "picture",
            lambda strength: fault(self.split, strength, self.seed),
        )  # fmt: skip

    def fault_of_splits(self, fault: Fault, kind: Kind, spoil: Callable[[float], "Split"], name: str = "") -> Finding:
        """Curves under a fault whose spoilt features `spoil` gives for each strength."""
        finding = Finding(name or fault.name, kind, fault.title, fault.axis, fault.how)
        found = []
        for strength in fault.strengths:
            spoilt = spoil(strength)
            found.append([
                clean if fault.touches == "audio" and not one.hears else self.rank(one.heads, spoilt)
                for one, clean in zip(self.contenders, self.clean, strict=True)
            ])  # fmt: skip
        finding.curves = self.curves(found, [(fault.label(strength), strength) for strength in fault.strengths])
        return finding

    def curves(self, found: list[list[Ranks]], strengths: Sequence[tuple[str, float]]) -> list[Curve]:
        """Ranks of every head at every strength as curves; the first head's also tell how far it leads."""
        curves = []
        for place, (one, clean) in enumerate(zip(self.contenders, self.clean, strict=True)):
            points = []
            for ranks, (label, strength) in zip(found, strengths, strict=True):
                point = self.point(label, strength, ranks[place], clean)
                if place == 0:
                    point.lead = {
                        other.label: self.lead(ranks[0], theirs)
                        for other, theirs in zip(self.contenders[1:], ranks[1:], strict=True)
                    }
                points.append(point)
            curves.append(Curve(one.label, points))
        return curves

    def lead(self, ranks: Ranks, others: Ranks) -> tuple[float, float, float]:
        """R@1 of these ranks above that of others, with the paired interval."""
        value = metrics.metrics_of_ranks(ranks)["R@1"] - metrics.metrics_of_ranks(others)["R@1"]
        low, high = metrics.intervals(ranks, self.split.caption_video, seed=self.seed, against=others)["R@1"]
        return value, low, high

    def caption_fault(self, fault: CaptionFault, encode: Callable[[list[str]], NDArray[np.float16]]) -> Finding:
        """Curves under a fault of captions; only captions that changed are encoded."""
        finding = Finding(fault.name, "caption", fault.title, fault.axis, fault.how)
        own = self.split.caption_texts
        found = []
        for strength in fault.strengths:
            texts = fault(own, strength, self.seed)
            changed = [row for row, (new, old) in enumerate(zip(texts, own, strict=True)) if new != old]
            text = self.split.text.copy()
            if changed:
                text[changed] = encode([texts[row] for row in changed])
                finding.examples = [(own[row], texts[row]) for row in changed[:: max(1, len(changed) // EXAMPLES)]]
                finding.examples = finding.examples[:EXAMPLES]
            spoilt = replace(self.split, text=text)
            found.append([self.rank(one.heads, spoilt) for one in self.contenders])
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
        changes: Sequence[tuple[str, float | None, Callable[["Head"], None]]],
    ) -> Finding:
        """Curves of the heads that have a part, with that part changed; the first point is the head as trained."""
        finding = Finding(name, "head", title, axis, how)
        for one, clean in zip(self.contenders, self.clean, strict=True):
            if not all(able(head) for head in one.heads):
                finding.not_applicable[one.label] = lacks
                continue
            points = [self.point("as trained", None, clean, clean)]
            for label, strength, change in changes:
                ranks = self.rank(list(_changed(one.heads, change)), self.split)
                points.append(self.point(label, strength, ranks, clean))
            finding.curves.append(Curve(one.label, points))
        return finding

    def gate(self) -> Finding:
        """The gate forced to 0, 0.5, 1 and to its mean."""
        owner = self.split.caption_video

        def to_mean(head: "Head") -> None:
            probes.force_gate(head, probes.mean_gate(head, self.features(head), owner))

        fixed = [
            (f"{value:g}", value, lambda head, value=value: probes.force_gate(head, value)) for value in (0, 0.5, 1)
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
            (f"{value:g}", value, lambda head, value=value: probes.set_alpha(head, value)) for value in probes.ALPHAS
        ]
        return self.changed_heads(
            "alpha", "DASP's alpha swept", "alpha",
            "the text is moved by alpha times its std, 0 leaves it where it is; nothing is trained again",
            probes.has_dasp, "does not move its texts by DASP", sweep,
        )  # fmt: skip

    def direction(self) -> Finding:
        """DASP's direction replaced by its negative and by random ones, and left out."""

        def back(head: "Head") -> None:
            probes.set_alpha(head, -probes.alpha(head))

        return self.changed_heads(
            "direction", "DASP's direction replaced", "direction in which the text is moved",
            "the text is moved as far as trained: the other way, or with a random sign for each number of std (one draw a text)",
            probes.has_dasp, "does not move its texts by DASP",
            [("none", None, lambda head: probes.set_alpha(head, 0.0)), ("random", None, probes.turn_direction),
             ("negative", None, back)],
        )  # fmt: skip


def _changed(heads: Sequence["Head"], change: Callable[["Head"], None]) -> Iterator["Head"]:
    for head in heads:
        changed = copy.deepcopy(head)
        change(changed)
        yield changed.eval()
