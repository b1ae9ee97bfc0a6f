"""Subtitles as what is said: the file NAME.srt or NAME.vtt beside a video, else the text subtitles within it.

Reading them is `gaid.media.subtitles`; here cues become sentences. Nothing is recognised, so nothing is wrong but what the
subtitles have wrong, translations included.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from gaid.backbones.protocol import BackboneSpec, BackboneStatus
from gaid.backbones.spoken import clean
from gaid.specs import Segment

VERSION = 1
"""Changes whenever the same cues would give other segments."""

PAUSE, LONGEST = (
    1.0,
    12.0,
)  # s: a longer pause ends a segment, and so does the cue with which it becomes longer than this
ENDS = (".", "!", "?", "…", '."', '!"', '?"')


class Subtitles:
    """Cues joined to sentences, without their marks and without notes about other sounds."""

    name = "subtitles"
    rate = 0
    thread_safe = True

    def __init__(self) -> None:
        self.provenance: dict[str, Any] = {
            "name": self.name,
            "version": VERSION,
            "weights": "none",
            "input": "subtitles",
            "random_weights": False,
        }

    def read(self, cues: Sequence[Segment]) -> list[Segment]:
        """A segment for each sentence; cues that stand for the same words twice (roll-up captions) count once."""
        found: list[Segment] = []
        for cue in cues:
            text = clean(cue.text)
            last = found[-1] if found else None
            if not text or (last is not None and last.text.endswith(text) and cue.start - last.end < PAUSE):
                continue
            follows = (
                last is not None
                and cue.start - last.end < PAUSE
                and cue.end - last.start <= LONGEST
                and not last.text.endswith(ENDS)
            )
            if last is not None and follows:
                found[-1] = Segment(f"{last.text} {text}", last.start, max(last.end, cue.end))
            else:
                found.append(Segment(text, cue.start, cue.end))
        return found


def find(kind: str, variant: str, random_weights: bool) -> Callable[[str, int], Any]:
    """What builds it; it is the same on every device."""
    return lambda device, seed: _build()


@lru_cache(maxsize=1)
def _build() -> Subtitles:
    return Subtitles()


def statuses() -> list[BackboneStatus]:
    """Always at hand."""
    return [BackboneStatus("subtitles", "speech", "none needed", "")]


SPEC = BackboneSpec(name="subtitles", usage="subtitles", kinds=("speech",), find=find, statuses=statuses)
