"""What an extraction reports at its end. Plain data: printing is left to the command."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaid.console import printable

if TYPE_CHECKING:
    from gaid.datasets.types import Dataset, Video
    from gaid.stores import Store

# s by which a clip may be shorter than what was asked for: files end with a picture, annotations with a digit.
TOLERANCE = 0.1


@dataclass(frozen=True)
class Failure:
    """A clip without features: `reason` is the class that it is counted under, `message` says what was found."""

    video: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{printable(self.video)}: {self.reason}: {printable(self.message)}"


@dataclass(frozen=True)
class Changes:
    """How a folder differed from its library when it was extracted again: ids of clips.

    `added`: new files. `replaced`: another file under the name. `recognised`: a file whose bytes the library knew, since
    it was renamed or copied or came back. `gone`: no longer there.
    """

    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    recognised: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        words = {
            "added": "new",
            "replaced": "replaced",
            "recognised": "recognised (renamed, copied or back)",
            "gone": "gone",
        }
        return ", ".join(f"{len(clips)} {words[name]}" for name, clips in vars(self).items() if clips)


@dataclass(frozen=True)
class ExtractReport:
    """The store that an extraction left, and what happened on the way.

    `failed` lists the clips of the whole store, whichever run found them; `extracted` counts the clips that this run
    decoded. `cut_short` has a line for each clip that ends with its file before the end that was asked for, `remarks` a
    line for each clip some of whose pictures were replaced, or whose pictures are one, or mostly one. `features` has a
    line for each kind of feature that looks wrong (`gaid.stores.features`). `changed` lists clips whose file is not the
    one that was decoded, `arrived` those that were missing and are there now, but that the store can't take any more.
    `changes`: how a folder differed from its library. `transcribed` counts the clips in which this run listened to speech.
    """

    store: Path
    clips: int
    done: int
    failed: list[Failure]
    captions: int
    extracted: int
    seconds: float
    fingerprint: str
    census: dict[str, Any] = field(default_factory=dict)
    cut_short: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    random_weights: bool = False
    already_complete: bool = False
    features: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    arrived: list[str] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)
    transcribed: int = 0

    @property
    def reasons(self) -> dict[str, int]:
        """How many clips failed per reason, the most frequent first."""
        return dict(Counter(failure.reason for failure in self.failed).most_common())

    def to_dict(self) -> dict[str, Any]:
        """For machines: JSON types only."""
        return {
            "store": str(self.store),
            "clips": self.clips,
            "done": self.done,
            "failed": [vars(failure) for failure in self.failed],
            "reasons": self.reasons,
            "captions": self.captions,
            "extracted": self.extracted,
            "seconds": round(self.seconds, 3),
            "fingerprint": self.fingerprint,
            "census": self.census,
            "cut_short": self.cut_short,
            "remarks": self.remarks,
            "random_weights": self.random_weights,
            "already_complete": self.already_complete,
            "features": self.features,
            "changed": self.changed,
            "arrived": self.arrived,
            "changes": vars(self.changes),
            "transcribed": self.transcribed,
        }

    def __str__(self) -> str:
        text = f"{self.store}: {self.done} of {self.clips} clips, {self.captions} captions"
        if self.failed:
            counted = ", ".join(f"{number} {reason}" for reason, number in self.reasons.items())
            text += f"; {len(self.failed)} failed ({counted})"
        if self.changed:
            text += f"; {len(self.changed)} with another file by now"
        if str(self.changes):
            text += f"; {self.changes}"
        if self.transcribed:
            text += f"; listened to {self.transcribed} for speech"
        if self.already_complete:
            return text + "; it was complete already, so nothing was done"
        return text + f"; {self.extracted} extracted now in {self.seconds:.1f} s"


@dataclass(frozen=True)
class CutShort:
    """A clip whose file ends before the end that its entry asks for: it lasts `seconds` of the seconds `asked`."""

    video: "Video"
    seconds: float
    asked: float

    @property
    def message(self) -> str:
        file, entry = self.video.path.name, self.video.entry
        return f"lasts {self.seconds:.2f} s of the {self.asked:.2f} s asked for, then {file} ends ({entry})"

    def __str__(self) -> str:
        return printable(f"{self.video.id}: {self.message}")


def judge_length(video: "Video", seconds: float) -> CutShort | None:
    """Whether a clip that lasts `seconds` is cut short. An end without an entry (the longest that annotators saw) is a bound,
    and not judged."""
    if video.end is None or not video.entry:
        return None
    asked = video.end - (video.start or 0.0)
    return None if seconds >= asked - TOLERANCE else CutShort(video, seconds, asked)


def find_cut_short(dataset: "Dataset", store: "Store") -> list[CutShort]:
    """The clips of a store that are cut short; they are kept, as long as they are."""
    videos = {video.id: video for video in dataset.videos if video.end is not None}
    if not videos:
        return []
    rows = zip(store.ids, store["videos/valid"][:], store["videos/duration"][:], strict=True)
    judged = [judge_length(videos[name], float(seconds)) for name, valid, seconds in rows if valid and name in videos]
    return [one for one in judged if one is not None]


def describe_clip_tokens(shape: tuple[int, int], clips: int, shard_rows: int) -> str:
    """What tokens of whole clips take on disk, and in memory while a shard is made and the one before is written."""
    count, dim = shape
    each = 2e-6 * count * dim
    return (
        f"{count:,} audio tokens of {dim} numbers per clip: {each:.1f} MB each, {1e-3 * each * clips:.1f} GB for {clips:,} "
        f"clips; up to {2e-3 * each * min(shard_rows, clips):.1f} GB of memory while they are made"
    )


def no_clip_has_a_track(store: "Store") -> bool:
    """Whether no clip that could be decoded has a sound track."""
    from gaid.stores.schema import AUDIO_STATES

    valid, states = store["videos/valid"][:], store["videos/audio_state"][:]
    return bool(valid.any()) and bool((states[valid] == AUDIO_STATES.index("no track")).all())
