"""What a search gives back: clips, why they were found, and what the answer rests on. Plain data."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gaid.evaluation.basis import Basis

if TYPE_CHECKING:
    from gaid.retrieval.filters import Filters
    from gaid.retrieval.threshold import Threshold
    from gaid.stores import Store

NOT_IN_JSON = ("frames",)


@dataclass
class Hit:
    """One clip of an answer.

    score: by which clips are ranked.
    sound: the share of the clip's sound in the embedding that was compared, 0 to 1, or None.
    senses: the score without the clip's sound (`picture`) and what the sound adds to it (`sound`), of a head that uses both; and
        what is said in the clip adds (`speech`), where it does.
    carried: the sense that lifts the clip above the others, `picture`, `sound` or `speech`; None where only one was asked.
    moment: the run of frames that fits best, as start and end in seconds from the clip's start; None where no frame
        fits better than another. Where speech carried the clip, it is when the words are said.
    words: what is said, where speech carried the clip or adds much to its score.
    path, start, end: the clip's file, and the clip's seconds in it where it is a part of the file.
    frames: gate, attention and sound weight (F) where the head explains them.
    """

    place: int
    video: str
    score: float
    sound: float | None = None
    audio: str = "sound"
    duration: float = 0.0
    path: str | None = None
    start: float | None = None
    end: float | None = None
    senses: dict[str, float] = field(default_factory=dict)
    carried: str | None = None
    moment: tuple[float, float] | None = None
    words: str | None = None
    frames: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON types only; without `frames`."""
        plain = {name: value for name, value in vars(self).items() if name not in NOT_IN_JSON}
        return plain | {
            "score": round(self.score, 6),
            "sound": None if self.sound is None else round(self.sound, 4),
            "senses": {name: round(value, 6) for name, value in self.senses.items()},
            "moment": None if self.moment is None else [round(one, 3) for one in self.moment],
        }


@dataclass
class Answer:
    """The clips that answer one query, best first. `fitting`: how many of them lie above the threshold; None without one."""

    query: str
    hits: list[Hit]
    fitting: int | None = None

    @property
    def nothing_fits(self) -> bool:
        """Whether no clip of the library fits, as far as the threshold says."""
        return self.fitting == 0

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {"query": self.query, "fitting": self.fitting, "hits": [hit.to_dict() for hit in self.hits]}


@dataclass
class SearchResults:
    """A search. `seconds` has the times of loading, of encoding the queries, and of scoring. `clips`: how many were compared, those that
    `filters` let through.

    `opened` and `root`, the store and where its clips lie if not where it says, are what a page's pictures are drawn from; they
    are kept in memory only.
    """

    answers: list[Answer]
    basis: Basis
    clips: int
    sense: str
    filters: "Filters"
    threshold: "Threshold | None"
    text_backbone: str | None
    audio_text_backbone: str | None
    frames: int
    seconds: dict[str, float]
    notes: list[str] = field(default_factory=list)
    opened: "Store | None" = field(default=None, repr=False)
    root: str | Path | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "answers": [answer.to_dict() for answer in self.answers],
            "clips": self.clips,
            "sense": self.sense,
            "filters": self.filters.to_dict(),
            "threshold": self.threshold.to_dict() if self.threshold else None,
            **self.basis.to_dict("store", "dataset", "preset", "trained", "run"),
            "seed": self.basis.seeds[0],
            "text_backbone": self.text_backbone,
            "audio_text_backbone": self.audio_text_backbone,
            "random_weights": self.basis.random_weights,
            "frames": self.frames,
            "audio_input": self.basis.audio_input,
            "notes": self.notes,
            **self.basis.to_dict("training_overlap"),
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
        }
