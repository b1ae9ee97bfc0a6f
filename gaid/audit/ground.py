"""What all questions of an audit share: a run's heads on a split, their scores under any condition, and ranks from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gaid import metrics
from gaid.audit.results import Ranks
from gaid.errors import OptionInvalid, StoresDisagree
from gaid.evaluation.basis import Basis
from gaid.evaluation.conditioning import first_captions
from gaid.evaluation.evaluate import Measurement
from gaid.evaluation.results import DIRECTION
from gaid.evaluation.scoring import ranks_of, select
from gaid.evaluation.subject import Subject, clips_with_sound
from gaid.heads.features import Features
from gaid.runs import Run

if TYPE_CHECKING:
    from gaid.heads import Head
    from gaid.stores import Split, Store

BOTH = ("t2v", "v2t")


@dataclass(frozen=True)
class View:
    """Which captions ask and which videos are searched (rows of the split; all by default), and how ties count."""

    captions: np.ndarray | None = None
    videos: np.ndarray | None = None
    ties: metrics.Ties = "against"
    directions: Sequence[str] = BOTH


@dataclass
class Condition:
    """What is changed when a member scores: protocol, own captions, features (by member), head (by member)."""

    protocol: str = "query"
    own_caption: np.ndarray | None = None
    features: Callable[[int], Features] | None = None
    head: Callable[[int], Any] | None = None

    @property
    def plain(self) -> bool:
        """Whether nothing is changed."""
        return self.protocol == "query" and self.own_caption is None and self.features is None and self.head is None


@dataclass
class Ground:
    """A run on a split. `members` are the numbers of the seeds that take part."""

    subject: Subject
    run: Run
    store: "Store"
    split: "Split"
    measurement: Measurement
    members: range
    seed: int = 0
    _plain: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, run: Run, store: "Store", split: "Split", *, memory: int, device: str, seeds: int | None, seed: int
    ) -> "Ground":
        """Raises StoresDisagree where the head was trained on other backbones' features."""
        subject = Subject.of_run(run, store, device)
        if seeds is not None and seeds < 1:
            raise OptionInvalid(f"--seeds {seeds}: one at least")
        members = range(min(len(subject.seeds), seeds or len(subject.seeds)))
        return cls(subject, run, store, split, Measurement(split, BOTH, memory, device, seed), members, seed)

    @property
    def label(self) -> str:
        """The head's name for a table."""
        return self.subject.preset

    @property
    def memory(self) -> int:
        return self.measurement.memory

    @property
    def owner(self) -> np.ndarray:
        """(captions) the row of each caption's video."""
        return self.split.caption_video

    @property
    def videos(self) -> int:
        return len(self.split.video_ids)

    @cached_property
    def first(self) -> np.ndarray:
        """(videos) the row of each video's first caption."""
        return first_captions(self.owner, self.videos)

    @cached_property
    def sounding(self) -> np.ndarray:
        """(videos) bool: at least one frame is heard."""
        return clips_with_sound(self.split)

    @cached_property
    def hears(self) -> bool:
        """Whether the head takes sound in at all."""
        return self._head.uses_audio

    @cached_property
    def basis(self) -> Basis:
        """What the figures rest on."""
        return Basis.of(self.subject, self.store, self.split, device=self.measurement.device, members=self.members)

    @property
    def _head(self) -> "Head":
        """The first member's, for what all members share."""
        return self.subject.head(self.members[0])

    @cached_property
    def query(self) -> Ranks:
        """The figures that we report: nothing changed."""
        return self.measure()[0]

    def features(self, split: "Split") -> Features:
        """A changed split's features on the device: what the head takes."""
        return Features.of(split, self.measurement.device, self._head)

    def untrained(self, member: int) -> "Head":
        """The member's head as it was built, before it learned: same parts, same sizes, same seed."""
        import torch

        one = self.run.members[member]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(one.seed)
            head = one.build_head()
        return head.to(self.measurement.device).eval()

    def scores(self, member: int, condition: Condition | None = None) -> np.ndarray:
        """Scores (captions, videos) of a member; those without a condition are kept, since every question asks for them."""
        condition = condition or Condition()
        if condition.plain and member in self._plain:
            return self._plain[member]
        found = self.measurement.scores(
            self.subject,
            member,
            condition.protocol,
            features=condition.features(member) if condition.features else None,
            head=condition.head(member) if condition.head else None,
            own_caption=condition.own_caption,
        )
        if condition.plain:
            self._plain[member] = found
        return found

    def measure(
        self,
        *views: View,
        condition: Condition | None = None,
        change: Callable[[np.ndarray, str, int], np.ndarray] | None = None,
    ) -> list[Ranks]:
        """Ranks under a condition, for each view (all captions and videos by default) from the same scores.

        `change(scores, direction, member)` gives the scores that are ranked instead.
        """
        views = views or (View(),)
        collected: list[dict[str, list[np.ndarray]]] = [{one: [] for one in view.directions} for view in views]
        for member in self.members:
            scores = self.scores(member, condition)
            for view, into in zip(views, collected, strict=True):
                part, owner = self._take(scores, view)
                for one in view.directions:
                    ranked = part if change is None else change(part, one, member)
                    into[one].append(ranks_of(ranked, owner, one, memory=self.memory, ties=view.ties))
        return [
            self._ranks(view, {one: np.stack(rows) for one, rows in into.items()})
            for view, into in zip(views, collected, strict=True)
        ]

    def _take(self, scores: np.ndarray, view: View) -> tuple[np.ndarray, np.ndarray]:
        rows, columns, owner = self._rows(view)
        if view.captions is None and view.videos is None:
            return scores, owner
        return select(scores, rows, columns, self.memory), owner

    def _rows(self, view: View) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = np.arange(len(self.owner)) if view.captions is None else view.captions
        columns = np.arange(self.videos) if view.videos is None else view.videos
        place = np.full(self.videos, -1)
        place[columns] = np.arange(len(columns))
        return rows, columns, place[self.owner[rows]]

    def _ranks(self, view: View, by: dict[str, np.ndarray]) -> Ranks:
        _, columns, owner = self._rows(view)
        clusters = {one: columns[metrics.videos_of_ranks(owner, DIRECTION[one])] for one in by}
        return Ranks(by, clusters, len(columns))


def same_queries(one: "Split", other: "Split", what: str) -> None:
    """Raises StoresDisagree where two splits don't hold the same videos and captions in the same order."""
    for kind in ("video_ids", "caption_ids"):
        left, right = getattr(one, kind), getattr(other, kind)
        if list(left) != list(right):
            raise StoresDisagree(
                f"{what}: its {one.part} part holds {len(right)} {kind.removesuffix('_ids')}s, not the same {len(left)}; "
                "figures can be compared on the same videos and captions only (--split-protocol NAME judges all on one split)"
            )
