"""Heads on a split of a store: the only place where a head meets a split.

`open_bench` decides for every command that ranks which heads, which store, which split and which sound they hear; a Bench
scores the heads under a condition and ranks the scores. What figures say of the ranks is left to the callers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gaid import metrics
from gaid.devices import parse_memory, pick_device
from gaid.errors import OptionInvalid, StoresDisagree
from gaid.evaluation.basis import Basis
from gaid.evaluation.conditioning import PROTOCOLS, OwnCaption
from gaid.evaluation.ranks import Ranks
from gaid.evaluation.scoring import ranks_of, score_all, select
from gaid.evaluation.subject import Subject, check_head_fits, load_subject
from gaid.evaluation.subsets import clips_with_sound, only_sound
from gaid.heads.base import Noise
from gaid.heads.features import Features
from gaid.runs import Run, load_run
from gaid.settings import check_seed
from gaid.stores import read_clips, valid_rows, with_audio
from gaid.stores.split import first_captions

if TYPE_CHECKING:
    from gaid.heads import Head
    from gaid.stores import Split, Store


@dataclass(frozen=True)
class View:
    """Which captions ask and which videos are searched (rows of the split; all by default), and how ties count.

    `directions`: those that are ranked, the bench's by default.
    """

    captions: np.ndarray | None = None
    videos: np.ndarray | None = None
    ties: metrics.Ties = "against"
    directions: Sequence[metrics.Direction] | None = None


@dataclass(frozen=True)
class Condition:
    """What is changed when a member scores.

    `own_caption` (videos): the row of the caption that each video reads; `reads`: which of several, where none is given
    (`conditioning.OWN_CAPTIONS`). `features` and `head` give a member's, by its number.
    """

    protocol: str = "query"
    own_caption: np.ndarray | None = None
    reads: OwnCaption = "first"
    features: Callable[[int], Features] | None = None
    head: "Callable[[int], Head] | None" = None

    @property
    def plain(self) -> bool:
        """Whether nothing is changed, as for the figures that we report."""
        changes = (self.own_caption, self.features, self.head)
        return self.protocol == "query" and all(one is None for one in changes)


QUERY = Condition()


@dataclass(eq=False)
class Bench:
    """A subject's heads on a split.

    `members`: the seeds that take part, by number. `memory`: bytes, a bound on what is held beside the features. `seed`: of
    trials, of intervals and of sounds that are exchanged. `noise`: how trials are drawn, None for the protocol's own way.
    `keeps_scores`: scores of unchanged members are kept, for callers that ask for them often.
    """

    subject: Subject
    store: "Store"
    split: "Split"
    members: range
    memory: int
    device: str
    seed: int = 0
    noise: Noise | None = None
    directions: Sequence[metrics.Direction] = metrics.DIRECTIONS
    keeps_scores: bool = False
    _features: dict[tuple[Any, ...], Features] = field(default_factory=dict, repr=False)
    _scores: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    # What is on it

    @cached_property
    def basis(self) -> Basis:
        """What the figures of this bench rest on."""
        return Basis.of(
            self.subject, self.store, self.split, device=self.device, members=self.members, noise=self.noise
        )

    @property
    def label(self) -> str:
        """The heads' name in a table."""
        return self.basis.label

    @property
    def run(self) -> Run:
        """The run of the heads. Raises ValueError for untrained ones."""
        if self.subject.run is None:
            raise ValueError(f"{self.subject.name} is not a run")
        return self.subject.run

    @property
    def owner(self) -> np.ndarray:
        """(captions) the row of each caption's video."""
        return self.split.caption_video

    @property
    def videos(self) -> int:
        """How many videos the gallery has."""
        return len(self.split.video_ids)

    @property
    def clusters(self) -> dict[metrics.Direction, np.ndarray]:
        """The video of each query of a direction: the units of a bootstrap."""
        return {one: metrics.videos_of_ranks(self.owner, one) for one in self.directions}

    @cached_property
    def first(self) -> np.ndarray:
        """(videos) the row of each video's first caption."""
        return first_captions(self.owner, self.videos)

    @cached_property
    def sounding(self) -> np.ndarray:
        """(videos) bool: at least one frame has sound."""
        return clips_with_sound(self.split)

    @cached_property
    def ranks(self) -> Ranks:
        """Ranks of the heads as they are, of all captions among all videos: the figures that we report."""
        return self.measure()[0]

    # Other benches

    def beside(self, other: "str | Path | Run | Subject", seeds: int | None = None) -> "Bench":
        """Another run's heads, or other heads, on the same split, with features in common; `seeds`: only the first so many."""
        subject = other if isinstance(other, Subject) else Subject.of_run(load_run(other), self.store, self.device)
        return replace(self, subject=subject, members=subject.members(seeds), _scores={})

    def on(self, split: "Split") -> "Bench":
        """The same heads on another split, or on the same one with something changed."""
        return replace(self, split=split, _features={}, _scores={})

    def alone(self, member: int) -> "Bench":
        """One of the members."""
        return replace(self, members=range(member, member + 1))

    # Scores and ranks

    def head(self, member: int | None = None) -> "Head":
        """A member's head; the first one's by default, for what all have in common."""
        return self.subject.head(self.members[0] if member is None else member)

    def features(self, head: "Head | None" = None, audio: str | None = None, seed: int | None = None) -> Features:
        """The split's features on the device, of the kind that a head takes (the first member's by default).

        The sound is the one that the heads were trained with, or `audio`, a name of `stores.with_audio`, drawn by `seed`.
        Raises HeadMismatch where a head was built for features of another size.
        """
        head = self.head() if head is None else head
        check_head_fits(head, self.split, self.subject.name)
        audio, seed = audio or self.subject.audio, self.seed if seed is None else seed
        if (audio, seed) != (self.subject.audio, self.seed):
            return Features.of(with_audio(self.split, audio, seed), self.device, head)
        key = (audio, head.text_input, head.visual_input, head.audio_input)
        if key not in self._features:
            self._features[key] = Features.of(with_audio(self.split, audio, seed), self.device, head)
        return self._features[key]

    def scores(self, member: int, condition: Condition = QUERY) -> np.ndarray:
        """Scores (captions, videos) of a member under a condition."""
        if condition.plain and member in self._scores:
            return self._scores[member]
        head = condition.head(member) if condition.head else self.head(member)
        found = score_all(
            head,
            condition.features(member) if condition.features else self.features(head),
            self.owner,
            PROTOCOLS[condition.protocol],
            memory=self.memory,
            seed=self.seed,
            own_caption=condition.own_caption,
            reads=condition.reads,
            noise=self.noise,
        )
        if condition.plain and self.keeps_scores:
            self._scores[member] = found
        return found

    def measure(
        self,
        *views: View,
        condition: Condition = QUERY,
        change: Callable[[np.ndarray, metrics.Direction, int], np.ndarray] | None = None,
        watch: Callable[[int, np.ndarray], None] | None = None,
    ) -> list[Ranks]:
        """Ranks of all members under a condition, for each view (all captions and videos by default) from the same scores.

        `change(scores, direction, member)` gives the scores that are ranked instead. `watch(member, scores)` sees the
        scores of each member before they are ranked.
        """
        views = views or (View(),)
        collected: list[dict[metrics.Direction, list[np.ndarray]]] = [
            {one: [] for one in view.directions or self.directions} for view in views
        ]
        for member in self.members:
            scores = self.scores(member, condition)
            if watch is not None:
                watch(member, scores)
            for view, ranks in zip(views, collected, strict=True):
                rows, columns, owner = self._rows(view)
                whole = view.captions is None and view.videos is None
                part = scores if whole else select(scores, rows, columns, self.memory)
                for one, found in ranks.items():
                    ranked = part if change is None else change(part, one, member)
                    found.append(ranks_of(ranked, owner, one, memory=self.memory, ties=view.ties))
        return [self._ranks(view, ranks) for view, ranks in zip(views, collected, strict=True)]

    def _rows(self, view: View) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Captions that ask, videos that are searched, and for each of these captions the place of its video among them."""
        rows = np.arange(len(self.owner)) if view.captions is None else view.captions
        columns = np.arange(self.videos) if view.videos is None else view.videos
        place = np.full(self.videos, -1)
        place[columns] = np.arange(len(columns))
        return rows, columns, place[self.owner[rows]]

    def _ranks(self, view: View, found: dict[metrics.Direction, list[np.ndarray]]) -> Ranks:
        _, columns, owner = self._rows(view)
        by = {one: np.stack(rows) for one, rows in found.items()}
        return Ranks(by, {one: columns[metrics.videos_of_ranks(owner, one)] for one in by}, len(columns))


def open_bench(
    run: "str | Path | Run | None" = None,
    *,
    store: "str | Path | Store | None" = None,
    preset: str | None = None,
    split: str | None = "test",
    split_protocol: str | None = None,
    seeds: int | None = None,
    memory: str | int = "auto",
    device: str = "auto",
    seed: int = 0,
    sense: str = "video",
    noise: Noise | None = None,
    directions: Sequence[metrics.Direction] = metrics.DIRECTIONS,
    keeps_scores: bool = False,
    met: int | None = None,
) -> Bench:
    """The heads of a run, or the untrained one of a preset, on a split.

    Args:
        run: a run folder or Run, on its own store or on `store`, which must hold features of the same backbones.
        store, preset: a store, and the preset of an untrained head.
        split, split_protocol: the part, and which of the data set's splits (`split_of`); None is for all clips with
            features, whatever their part: none of them is read here, `Bench.on` takes those that a caller reads.
        seeds: only the first so many members of the run.
        memory: as 1GiB, or a number of bytes; `auto`: by the device (`devices.default_memory`). device: auto, cpu, cuda.
            sense: `video`, or `sound` in the picture's place.
        met: clips, spread over the store, whose sounds an untrained head meets; all by default.

    Raises OptionInvalid, DataMissing, StoreIncomplete, StoresDisagree, HeadMismatch, RunInvalid.
    """
    device = pick_device(device)
    budget = parse_memory(memory, device)
    check_seed(seed)
    subject, opened = load_subject(run, store, preset, device, seed, sense, met)
    part = (
        read_clips(opened, valid_rows(opened)[:0])
        if split is None
        else split_of(subject.run, opened, split, split_protocol)
    )
    if sense == "sound":
        part = only_sound(part)
    return Bench(subject, opened, part, subject.members(seeds), budget, device, seed, noise, directions, keeps_scores)


def split_of(run: Run | None, store: "Store", part: str = "test", split_protocol: str | None = None) -> "Split":
    """The part that a run is judged on, with its captions: every command that ranks asks here.

    `split_protocol` names the split; without it, it is the one that the run was trained under where the store has that, so
    that no run is judged on its own training videos, else the store's default. Raises OptionInvalid, also for a part
    without captions.
    """
    if split_protocol is None and run is not None and run.split_protocol in store.protocols:
        split_protocol = run.split_protocol
    if not store.protocols:
        raise OptionInvalid(
            f"{store.path}: has no captions and so no parts; gaid export --split clips exports its clips"
        )
    split = store.split(part, split_protocol)
    if not split.caption_ids:
        raise OptionInvalid(f"{store.path}: the part {part!r} has no captions, and so no queries")
    return split


def same_queries(one: "Split", other: "Split", what: str) -> None:
    """Raises StoresDisagree where two splits don't hold the same videos and captions in the same order."""
    for kind in ("video_ids", "caption_ids"):
        left, right = getattr(one, kind), getattr(other, kind)
        if list(left) != list(right):
            raise StoresDisagree(
                f"{what}: its {one.part} part holds {len(right)} {kind.removesuffix('_ids')}s, not the same {len(left)}; "
                "figures can be compared on the same videos and captions only (--split-protocol NAME judges all on one split)"
            )
