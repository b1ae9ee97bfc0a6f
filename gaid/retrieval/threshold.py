"""From which score on a clip counts as an answer, so that a search can say that nothing fits.

Sentences that have nothing to do with the library say what its best clip scores by chance. Where the library has captions,
they show what a clip scores that fits. The score itself separates the two better than its distance from the library's mean,
and much better than that distance in standard deviations, which is small for a sentence that many clips fit.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gaid.stores.census import members_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gaid.stores import Store

CAPTIONS, ENOUGH = 200, 20  # the most captions that are looked at, and the fewest that say something
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


@dataclass(frozen=True)
class Threshold:
    """The smallest score of an answer. `unrelated`: the share of the unrelated sentences whose best clip lies above it. `captions`:
    how many were looked at, and `found` the share of them whose best clip does; None without captions."""

    score: float
    unrelated: float
    captions: int = 0
    found: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        found = None if self.found is None else round(self.found, 4)
        return {**vars(self), "score": round(self.score, 6), "unrelated": round(self.unrelated, 4), "found": found}

    def __str__(self) -> str:
        rest = f"{self.unrelated:.0%} of {len(UNRELATED)} sentences about other things"
        captions = "" if self.found is None else f"{self.found:.0%} of {self.captions} captions and "
        return f"a score of {self.score:.3f}, which the best clips of {captions}{rest} reach"


def captions_to_judge_by(store: "Store", rows: "NDArray[np.int64]") -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """Rows of up to CAPTIONS captions of the clips in `rows`, of the validation part or else the training part, and of their clips;
    none where there are fewer than ENOUGH."""
    none = np.empty(0, np.int64)
    protocol = store.default_protocol
    sizes = store.protocols.get(protocol, {})
    part = next((one for one in ("val", "train") if sizes.get(one, 0) >= ENOUGH), None)
    if part is None:
        return none, none
    members = members_of(store, part, protocol)
    usable = np.flatnonzero(np.isin(members.caption_video, rows))
    some = usable[np.unique(np.linspace(0, len(usable) - 1, CAPTIONS).astype(np.int64))] if len(usable) else usable
    if len(some) < ENOUGH:
        return none, none
    return np.sort(members.captions[some]), np.unique(members.caption_video[some])


def find_threshold(unrelated: "NDArray[np.floating]", captions: "NDArray[np.floating] | None" = None) -> Threshold:
    """The threshold, from the best scores of unrelated sentences (N) and of captions (M).

    With captions it is the score at which the shares of both above it differ most; without, the one that all but FALSE_SHARE of the
    unrelated sentences stay below.
    """
    if captions is None:
        score = float(np.quantile(unrelated, 1 - FALSE_SHARE))
        return Threshold(score, _share(unrelated, score))
    tried = np.sort(np.concatenate([captions, unrelated]))
    score = max(tried.tolist(), key=lambda one: _share(captions, one) - _share(unrelated, one))
    return Threshold(score, _share(unrelated, score), len(captions), _share(captions, score))


def _share(scores: "NDArray[np.floating]", least: float) -> float:
    return float((scores >= least).mean())
