"""From which fit on a clip counts as an answer, so that a search can say that nothing fits.

Fits of clips that are known to belong to a sentence are held against the best fits of clips that do not; or, where the library
has no captions to learn this from, against the best fits of sentences that have nothing to do with it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CAPTIONS = 200
FALSE_SHARE = 0.1  # of unrelated sentences that may find something
# Things that hardly any library shows. A few may be in yours, which the share above allows for.
UNRELATED = (
    "the annual report of a ministry of finance", "a proof of a theorem about prime numbers", "the grammar of Old Norse verbs",
    "a contract for the lease of an office", "the tax rates of the year 1987", "the periodic table of the elements",
    "an argument about the existence of God", "instructions for filing a patent", "the genome of a fruit fly",
    "a history of the gold standard", "the rules of parliamentary procedure", "an equation for the flow of heat",
    "the price of copper in London", "a lecture on monetary policy", "the bylaws of a housing cooperative",
    "a table of logarithms", "the etymology of the word silly", "an obituary of a botanist",
    "the treaty that ended a war in 1648", "a survey of voters in Ohio", "the syntax of a programming language",
    "a catalogue of medieval manuscripts", "an essay on the social contract", "a list of Roman emperors",
    "the warranty terms of a washing machine", "a comparison of pension funds", "minutes of a meeting of shareholders",
    "the structure of a protein", "a dispute over fishing rights", "a footnote on the categorical imperative",
)  # fmt: skip
Source = Literal["captions", "unrelated sentences"]


@dataclass(frozen=True)
class Threshold:
    """The smallest fit of an answer. `source`: what it was found on, `count` of them. `kept`: the share of right clips that
    lie above it, None where none is known. `false`: the share of sentences for which a clip that is not theirs lies above."""

    fit: float
    source: Source
    count: int
    kept: float | None
    false: float

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        kept = None if self.kept is None else round(self.kept, 4)
        return {**vars(self), "fit": round(self.fit, 4), "kept": kept, "false": round(self.false, 4)}

    def __str__(self) -> str:
        found = f"found on {self.count} {self.source}, of which {self.false:.0%} find a clip that is not theirs"
        return f"fit {self.fit:.1f} ({found}" + (
            f" and {self.kept:.0%} find their own)" if self.kept is not None else ")"
        )


def threshold_of_captions(own: "NDArray[np.floating]", others: "NDArray[np.floating]") -> Threshold:
    """The fit that tells best a caption's own clip, `own` (N), from the best of the others, `others` (N): the difference of the
    shares above it is the largest."""
    tried = np.sort(np.concatenate([own, others]))
    kept = 1 - np.searchsorted(np.sort(own), tried, side="left") / len(own)
    false = 1 - np.searchsorted(np.sort(others), tried, side="left") / len(others)
    best = int(np.argmax(kept - false))
    return Threshold(float(tried[best]), "captions", len(own), float(kept[best]), float(false[best]))


def threshold_of_unrelated(best: "NDArray[np.floating]") -> Threshold:
    """The fit that all but FALSE_SHARE of unrelated sentences, whose best fits are `best` (N), stay below."""
    fit = float(np.quantile(best, 1 - FALSE_SHARE))
    return Threshold(fit, "unrelated sentences", len(best), None, float((best >= fit).mean()))
