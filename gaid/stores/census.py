"""Counts of a store's videos and captions, over all of it and for each part of each split.

Every table shows these counts and the hash of the gallery's ids: two figures with the same hash were measured over the same
videos. No features are read here.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import OptionInvalid
from gaid.stores.arrays import read_all
from gaid.stores.reader import StoreReader
from gaid.stores.schema import AUDIO_STATES
from gaid.stores.split import hash_gallery


@dataclass(frozen=True)
class Members:
    """The rows of a part: `videos` that its captions name, `gallery` those with features, `captions` of the latter in order.

    `caption_video` is the row of each caption's video, `valid` says of all the store's videos whether they have features.
    """

    videos: NDArray[np.int64]
    gallery: NDArray[np.int64]
    captions: NDArray[np.int64]
    caption_video: NDArray[np.int64]
    valid: NDArray[np.bool_]


def members_of(store: StoreReader, part: str, protocol: str) -> Members:
    """The rows of a part of a split. Raises OptionInvalid for a part or protocol that is not there."""
    protocols = store.protocols
    if protocol not in protocols:
        raise OptionInvalid(
            f"{store.path}: no protocol {protocol!r}; there are: {', '.join(protocols) or 'none (no captions)'}"
        )
    if part not in protocols[protocol]:
        raise OptionInvalid(
            f"{store.path}: no part {part!r} in {protocol}; there are: {', '.join(protocols[protocol])}"
        )
    rows = np.sort(read_all(store[f"splits/{protocol}/{part}"]))
    of_video = read_all(store["captions/video"])[rows].astype(np.int64)
    valid = store.whole("videos/valid")
    named = np.unique(of_video)
    return Members(named, named[valid[named]], rows[valid[of_video]], of_video[valid[of_video]], valid)


def census_of(store: StoreReader, videos: NDArray[np.int64], captions: NDArray[np.int64]) -> dict[str, int]:
    """The census of some rows: asked for, found and unreadable, and the audio and length of those with features."""
    valid = store.whole("videos/valid")[videos]
    states = store.whole("videos/audio_state")[videos][valid]
    texts = store["captions/text"]
    asked = {store.ids[row] for row in videos}
    reasons = Counter(failure["reason"] for failure in store.failures if failure["id"] in asked)
    remarks = Counter(remark["kind"] for remark in store.remarks if remark["id"] in asked)
    failed = int((~valid).sum())
    missing = reasons.get("missing", 0)
    return {
        "asked": len(videos),
        "found": len(videos) - missing,
        "unreadable": failed - missing,
        "valid": int(valid.sum()),
        "failed": failed,
        **{f"failed: {reason}": number for reason, number in sorted(reasons.items())},
        **{name: int((states == code).sum()) for code, name in enumerate(AUDIO_STATES[:3])},
        "audio failed": int((states == 3).sum()),
        "short": int(store.whole("videos/short")[videos][valid].sum()),
        **dict(sorted(remarks.items())),
        "captions": len(captions),
        "duplicate captions": len(captions) - len({texts[row] for row in captions}),
    }


def take_census(store: StoreReader) -> dict[str, int]:
    """The census of the whole store, over all its videos and captions."""
    return census_of(store, np.arange(store.layout["videos"]), np.arange(store.layout["captions"]))


def census_of_parts(store: StoreReader) -> dict[str, dict[str, dict[str, Any]]]:
    """The census of each part of each split protocol, with the `gallery_hash` of its evaluations. Empty while unfinished."""
    if not store.complete:
        return {}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for protocol, parts in store.protocols.items():
        found[protocol] = {}
        for part in parts:
            members = members_of(store, part, protocol)
            ids = [store.ids[row] for row in members.gallery]
            census = census_of(store, members.videos, members.captions)
            found[protocol][part] = {**census, "gallery_hash": hash_gallery(ids)}
    return found
