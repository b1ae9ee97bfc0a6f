"""What a figure rests on: heads, store, split, encoders, and what a reader must know of them. Every result embeds a Basis.

Provenance is put together here and nowhere else. Nothing is scored here; what the heads are is `subject`'s.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from gaid.evaluation.conditioning import PROTOCOLS
from gaid.evaluation.overlap import TrainingOverlap, find_overlap
from gaid.heads.base import Noise
from gaid.stores import hash_gallery

if TYPE_CHECKING:
    from gaid.evaluation.subject import Subject
    from gaid.heads import Head
    from gaid.stores import Split, Store

RANDOM_WEIGHTS = "backbones with RANDOM weights: these results show that the programs run, and nothing else"
_AUDIO_INPUTS = {
    "clip": "sound tokens of the whole clip",
    "tokens": "sound tokens",
    "frames": "one embedding per frame",
}


@dataclass(frozen=True)
class Basis:
    """Whose heads were measured, and on what.

    `seeds` are those that take part. `audio_input` is what the head was built to hear, `frames`, `tokens` or `clip`, and None for
    a head without that choice. `noise` says, for a head with trials, how its noise is drawn under each protocol (a name
    of `conditioning.NOISES`); it is empty for other heads. `notes` are what a reader must know of these heads.
    """

    preset: str
    trained: bool
    run: str | None
    seeds: list[int]
    store: str
    dataset: str
    split: str
    split_protocol: str
    videos: int
    captions: int
    census: dict[str, Any]
    gallery_hash: str
    backbones: dict[str, str]
    random_weights: bool
    device: str
    audio_input: str | None
    noise: dict[str, Noise]
    notes: list[str]
    training_overlap: TrainingOverlap | None

    @classmethod
    def of(
        cls,
        subject: "Subject",
        store: "Store",
        split: "Split",
        *,
        device: str,
        members: Iterable[int] = (),
        noise: Noise | None = None,
    ) -> "Basis":
        """The basis of a subject's figures on a split. `members` are the seeds that take part, by number; all by default.

        `noise` is the way of drawing that was asked for, None for that of each protocol.
        """
        return cls(
            **_heads_on(subject, store, split.video_ids, device, members, noise),
            split=split.part,
            split_protocol=split.protocol,
            captions=len(split.caption_ids),
            census=dict(split.census),
            gallery_hash=split.gallery_hash,
        )

    @classmethod
    def of_library(cls, subject: "Subject", store: "Store", video_ids: list[str], device: str) -> "Basis":
        """The basis of a search over these videos of a store, with the first seed's head; there are no captions."""
        return cls(
            **_heads_on(subject, store, video_ids, device, [0], None),
            split="all clips",
            split_protocol="none",
            captions=0,
            census={},
            gallery_hash=hash_gallery(video_ids),
        )

    @property
    def label(self) -> str:
        """The head's name in a table: its preset, and whether it was trained."""
        return self.preset if self.trained else f"{self.preset} (untrained)"

    @property
    def hears(self) -> str:
        """What the head hears, in words; empty for a head without a choice."""
        return _AUDIO_INPUTS.get(self.audio_input or "", "")

    def to_dict(self, *names: str) -> dict[str, Any]:
        """JSON types only: the fields of these names in their order, all of them by default."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        plain["training_overlap"] = [one.to_dict() for one in overlaps_of([self])]
        return {name: plain[name] for name in names or plain}


def _heads_on(
    subject: "Subject",
    store: "Store",
    video_ids: Sequence[str],
    device: str,
    members: Iterable[int],
    noise: Noise | None,
) -> dict[str, Any]:
    """The fields of a Basis that say whose heads, on which store, over which gallery."""
    head = subject.head(0)
    return {
        "preset": subject.preset,
        "trained": subject.trained,
        "run": str(subject.run.path) if subject.run else None,
        "seeds": [subject.seeds[member] for member in members] or list(subject.seeds),
        "store": str(store.path),
        "dataset": store.dataset,
        "videos": len(video_ids),
        "backbones": {kind: str(one.get("name", "?")) for kind, one in store.attrs.get("backbones", {}).items()},
        "random_weights": store.random_weights,
        "device": device,
        "audio_input": audio_input_of(head),
        "noise": noise_by_protocol(head, noise),
        "notes": list(subject.notes),
        "training_overlap": find_overlap(subject.run, store, video_ids) if subject.run else None,
    }


def audio_input_of(head: "Head") -> str | None:
    """What a head that has the choice was built to hear, `frames`, `tokens` or `clip`; None for one that has not."""
    chosen = head.config.get("audio_input")
    return None if chosen is None else str(chosen)


def noise_by_protocol(head: "Head", asked: Noise | None = None) -> dict[str, Noise]:
    """How a head's trials are drawn under each protocol; empty for a head without trials."""
    if not head.has_trials:
        return {}
    return {name: asked or protocol.noise for name, protocol in PROTOCOLS.items()}


def notes_of(bases: Sequence[Basis], labels: Sequence[str] = ()) -> list[str]:
    """What a reader must know of these heads, random weights first; `labels` begin each head's notes, one label per head."""
    notes = [RANDOM_WEIGHTS] if any(one.random_weights for one in bases) else []
    for number, one in enumerate(bases):
        notes += [f"{labels[number]}: {note}" if labels else note for note in one.notes]
    return notes


def overlap_notes(bases: Iterable[Basis]) -> list[str]:
    """Which heads have seen gallery videos in training, a sentence each, none twice."""
    return list(dict.fromkeys(one.note for one in overlaps_of(bases) if one.note))


def overlaps_of(bases: Iterable[Basis]) -> list[TrainingOverlap]:
    """How many gallery videos each trained head has seen in training; an untrained head has none."""
    return [one.training_overlap for one in bases if one.training_overlap is not None]
