"""What an extraction tells when it is over. Plain data: printing is the command's."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Failure:
    """A clip without features: `reason` is a class to count by, `message` says what was found."""

    video: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{printable(self.video)}: {self.reason}: {printable(self.message)}"


@dataclass(frozen=True)
class ExtractReport:
    """The store that an extraction left, and how it came about.

    `failed` is of the whole store, whichever run found it; `extracted` counts the clips that this run decoded.
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
    random_weights: bool = False
    already_complete: bool = False

    @property
    def reasons(self) -> dict[str, int]:
        """How many clips failed for each reason, the commonest first."""
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
            "random_weights": self.random_weights,
            "already_complete": self.already_complete,
        }

    def __str__(self) -> str:
        text = f"{self.store}: {self.done} of {self.clips} clips, {self.captions} captions"
        if self.failed:
            counted = ", ".join(f"{number} {reason}" for reason, number in self.reasons.items())
            text += f"; {len(self.failed)} failed ({counted})"
        if self.already_complete:
            return text + "; it was complete already, so nothing was done"
        return text + f"; {self.extracted} extracted now in {self.seconds:.1f} s"


def printable(text: str) -> str:
    """`text` on one line, with whatever could move a terminal's cursor written out; other scripts stay as they are."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
