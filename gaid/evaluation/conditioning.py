"""Whose caption conditions a gallery video: the protocols of an evaluation. Scoring is left to the heads.

Under `query` the text that asks gates and pools every video. The published evaluation of T-MASS and GAID gates and pools
every gallery video by its own caption instead, so that the gallery has read the answers; the other two protocols separate
the two halves of that leak.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gaid.errors import OptionInvalid
from gaid.heads.base import By, Noise
from gaid.settings import nearest
from gaid.stores.split import first_captions

NOISES: dict[Noise, str] = {
    "text": "noise drawn once per text for all videos; a pair's best trial counts",
    "pair": "noise drawn anew for each pair, as in T-MASS's published code; the trial that is nearest to the video as pooled by the query counts",
}
"""How an evaluation draws the noise of a head with trials (STP); other heads draw none."""
OwnCaption = Literal["first", "same"]
OWN_CAPTIONS: dict[OwnCaption, str] = {
    "first": "each gallery video has read its first caption",
    "same": "for k-th captions each gallery video is pooled by its own k-th caption, as in the published code, and gated by its first",
}
"""Which of several captions of its own a gallery video reads; with one caption per video both are the same."""


@dataclass(frozen=True)
class Protocol:
    """Which text gates the audio, and which text pools the frames."""

    name: str
    gate_by: By
    pool_by: By
    summary: str

    @property
    def gallery_reads_captions(self) -> bool:
        """Whether a gallery video's embedding depends on the caption that is to find it."""
        return "own_caption" in (self.gate_by, self.pool_by)

    @property
    def noise(self) -> Noise:
        """How trials are drawn unless chosen otherwise: anew for each pair where the published evaluation is followed."""
        return "pair" if self.gallery_reads_captions else "text"


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("query", "query", "query", "gate and pooling by the text that asks"),
        Protocol("published", "own_caption", "own_caption", "gate and pooling by each gallery video's own caption"),
        Protocol("published-gate", "own_caption", "query", "gate by the own caption, pooling by the text that asks"),
        Protocol("published-pooling", "query", "own_caption", "gate by the text that asks, pooling by the own caption"),
    )
}


def captions_of_place(place: int, caption_video: np.ndarray, videos: int) -> np.ndarray:
    """(videos) the row of each video's caption at a place, or of its first where it has fewer captions."""
    rows = first_captions(caption_video, videos)
    of_place = np.flatnonzero(places_of(caption_video) == place)
    rows[np.asarray(caption_video)[of_place]] = of_place
    return rows


def get_protocol(name: str) -> Protocol:
    """The protocol of that name (dashes or underscores). Raises OptionInvalid."""
    try:
        return PROTOCOLS[name.replace("_", "-")]
    except KeyError:
        raise OptionInvalid(f"--protocol {name!r} does not exist; {nearest(name, PROTOCOLS)}") from None


def places_of(caption_video: np.ndarray) -> np.ndarray:
    """(captions) the place of each caption among those of its video, in the order of rows, from 0."""
    owner = np.asarray(caption_video)
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], owner[order])
    places = np.empty(len(owner), np.int64)
    places[order] = np.arange(len(owner)) - starts
    return places
