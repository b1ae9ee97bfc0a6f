"""The results of an evaluation as plain data, with their JSON form. Nothing here computes scores or prints."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gaid import metrics
from gaid.evaluation.basis import Basis
from gaid.evaluation.conditioning import NOISES, OWN_CAPTIONS, PROTOCOLS, OwnCaption
from gaid.evaluation.figures import Figures, rounded
from gaid.evaluation.index import CandidateSearch
from gaid.evaluation.scoring import DUAL_SOFTMAX, DualSoftmax
from gaid.heads.base import Noise

if TYPE_CHECKING:
    from gaid.evaluation.bench import Bench
    from gaid.evaluation.overlap import TrainingOverlap
    from gaid.evaluation.sound import SoundTruth

DIRECTION_NAMES = {"t2v": "text to video", "v2t": "video to text"}
# A gallery of fewer videos makes any figure high: chance alone gives R@5 above 25.
FEW_VIDEOS = 20


def noise_in_words(query: Noise | None, others: Mapping[str, Noise | None]) -> list[str]:
    """How the trials of a head were drawn, in one sentence at most: under query, and under `others`, by protocol."""
    if query is None:
        return []
    words = [f"under `{name}` {NOISES[noise]}" for name, noise in others.items() if noise and noise != query]
    apart = ", so a part of the difference is due to the noise" if words else ""
    return ["trials: " + "; ".join([f"under `query` {NOISES[query]}", *words]) + apart]


@dataclass
class DualSoftmaxGain:
    """Figures with a second softmax, and their difference to the plain ones of the same protocol with paired intervals.

    `form`: what the softmax is taken over, a name of `scoring.DUAL_SOFTMAX`.
    """

    form: DualSoftmax
    figures: dict[str, Figures]
    difference: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, tuple[float, float]]]

    def to_dict(self) -> dict[str, Any]:
        return {
            "form": self.form,
            "meaning": DUAL_SOFTMAX[self.form],
            **{
                direction: {
                    **figures.to_dict(),
                    "gain": rounded(self.difference[direction]),
                    "gain intervals": {
                        n: [round(low, 4), round(high, 4)] for n, (low, high) in self.intervals[direction].items()
                    },
                }
                for direction, figures in self.figures.items()
            },
        }


@dataclass
class Leak:
    """Figures under a protocol in which the gallery reads captions, and their difference to the query protocol's.

    `own_caption`: which of several captions of its own a video reads, a name of `conditioning.OWN_CAPTIONS`. `noise`: how the
    trials of a head are drawn, a name of `conditioning.NOISES`.
    """

    protocol: str
    figures: dict[str, Figures]
    difference: dict[str, dict[str, float]]
    own_caption: OwnCaption = "first"
    noise: Noise | None = None
    dual_softmax: DualSoftmaxGain | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "protocol": self.protocol,
            "meaning": PROTOCOLS[self.protocol].summary,
            "own_caption": self.own_caption,
            "own_caption_meaning": OWN_CAPTIONS[self.own_caption],
            "noise": self.noise,
            **({"noise_meaning": NOISES[self.noise]} if self.noise else {}),
            **{
                direction: {**figures.to_dict(), "leak": rounded(self.difference[direction])}
                for direction, figures in self.figures.items()
            },
            **({"dual_softmax": self.dual_softmax.to_dict()} if self.dual_softmax else {}),
        }


@dataclass
class Comparison:
    """Difference of the evaluated head to a baseline on the same queries, with paired intervals."""

    baseline: str
    difference: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, tuple[float, float]]]

    def to_dict(self) -> dict[str, Any]:
        return {
            direction: {
                "difference": rounded(self.difference[direction]),
                "intervals": {
                    name: [round(low, 4), round(high, 4)] for name, (low, high) in self.intervals[direction].items()
                },
            }
            for direction in self.difference
        }


@dataclass
class Results:
    """An evaluation. `figures` are always the query protocol's; those of another protocol are in `leak`.

    `training_overlap`: of the head and of its baselines. What a page is drawn from is kept in memory only: `bench`, the best
    videos of each caption by the first seed (`best_rows`, `best_scores`), and `root`, where the clips lie.
    """

    basis: Basis
    figures: dict[str, Figures]
    sense: str = "video"
    index: str = "exact"
    seconds: float = 0.0
    leak: Leak | None = None
    with_sound: dict[str, Figures] | None = None
    subset: str = "all"
    all_clips: dict[str, Figures] | None = None
    first_caption: bool = False
    all_captions: dict[str, Figures] | None = None
    dual_softmax: DualSoftmaxGain | None = None
    sound_weight: "SoundTruth | None" = None
    search: CandidateSearch | None = None
    baselines: list["Results"] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    training_overlap: list["TrainingOverlap"] = field(default_factory=list)
    saved_ranks: Path | None = None
    ranks: dict[metrics.Direction, np.ndarray] = field(default_factory=dict, repr=False)
    bench: "Bench | None" = field(default=None, repr=False)
    best_rows: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.int64), repr=False)
    best_scores: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32), repr=False)
    root: str | Path | None = None

    @property
    def label(self) -> str:
        """The head's name in a table."""
        return self.basis.label

    @property
    def noise(self) -> Noise | None:
        """How the trials of the head were drawn under the query protocol; None for a head without trials."""
        return self.basis.noise.get("query")

    @property
    def ways(self) -> dict[str, str]:
        """The directions that were measured, in words: "text to video", or "text to sound" where sounds alone were compared."""
        return {
            one: words.replace("video", self.sense) for one, words in DIRECTION_NAMES.items() if one in self.figures
        }

    @property
    def protocol(self) -> str:
        """The protocol that was asked for."""
        return self.leak.protocol if self.leak else "query"

    def to_dict(self) -> dict[str, Any]:
        """JSON types only. `t2v` and `v2t` are the query protocol's figures, whatever else was asked for."""
        out: dict[str, Any] = {direction: figures.to_dict() for direction, figures in self.figures.items()}
        if self.leak:
            out["leak"] = self.leak.to_dict()
        if self.with_sound:
            out["with_sound"] = {direction: figures.to_dict() for direction, figures in self.with_sound.items()}
        if self.all_clips:
            out["all_clips"] = {direction: figures.to_dict() for direction, figures in self.all_clips.items()}
        if self.all_captions:
            out["all_captions"] = {direction: figures.to_dict() for direction, figures in self.all_captions.items()}
        if self.dual_softmax:
            out["dual_softmax"] = self.dual_softmax.to_dict()
        if self.sound_weight is not None:
            out["sound_weight"] = self.sound_weight.to_dict()
        if self.search is not None:
            out["search"] = self.search.to_dict()
        out |= {
            **self.basis.to_dict("preset", "trained", "run", "store", "dataset", "split", "split_protocol"),
            "protocol": self.protocol,
            "sense": self.sense,
            "subset": self.subset,
            "first_caption": self.first_caption,
            "index": self.index,
            **self.basis.to_dict("seeds", "census", "gallery_hash", "random_weights", "backbones", "audio_input"),
            "noise": self.noise,
            "device": self.basis.device,
            "seconds": round(self.seconds, 3),
            "notes": self.notes,
            "training_overlap": [one.to_dict() for one in self.training_overlap],
            "baselines": [baseline.to_dict() for baseline in self.baselines],
            "against": {one.baseline: one.to_dict() for one in self.comparisons},
            "saved_ranks": str(self.saved_ranks) if self.saved_ranks else None,
        }
        return out


def note_on_size(videos: int) -> list[str]:
    """A warning for figures among few videos; nothing where there are enough."""
    if videos == 1:
        return ["only one video in the gallery: R@1 is 100 whatever the head does"]
    if videos < FEW_VIDEOS:
        return [
            f"only {videos} videos in the gallery: chance alone gives R@1 {100 / videos:.1f} and R@5 {min(500 / videos, 100):.1f}, "
            "so these figures say little"
        ]
    return []
