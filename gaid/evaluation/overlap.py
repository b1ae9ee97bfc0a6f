"""How many videos of a gallery a head was trained on: counted here for every command that ranks, with a sentence for the reader.

Ids are compared and no features are read, so this is cheap on a large store.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gaid.errors import GaidError
from gaid.runs import Run
from gaid.stores import members_of, open_store

if TYPE_CHECKING:
    from gaid.stores import Store


@dataclass(frozen=True)
class TrainingOverlap:
    """How many of a gallery's videos lie in the part that a run was trained on; `videos` is None where that is unknown.

    `note` is the sentence for the reader, empty where there is no such video.
    """

    run: str
    part: str
    gallery: int
    videos: int | None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return vars(self).copy()


def find_overlap(run: Run, store: "Store", video_ids: Collection[str]) -> TrainingOverlap:
    """The overlap of a gallery of a store with what a run was trained on, all its seeds together."""
    gallery = set(video_ids)
    if run.imported:
        note = f"{run.path} was imported: whether gallery videos are among those that it was trained on is not known"
        return TrainingOverlap(str(run.path), "", len(gallery), None, note)
    parts: list[str] = []
    found: set[str] = set()
    for member in {(one.fingerprint, one.split_protocol): one for one in run.members}.values():
        source = _training_store(member, store)
        protocol = member.split_protocol or (source.default_protocol if source is not None else None)
        parts.append(f"train ({protocol})")
        if source is None or "train" not in source.protocols.get(protocol or "", {}):
            note = (
                f"whether gallery videos are among those that {run.path} was trained on is not known: no store with its "
                f"training part is here (it was {member.store_path})"
            )
            return TrainingOverlap(str(run.path), ", ".join(parts), len(gallery), None, note)
        ids = source.ids
        found |= gallery.intersection(ids[row] for row in members_of(source, "train", str(protocol)).gallery)
    where = ", ".join(parts)
    if not found:
        return TrainingOverlap(str(run.path), where, len(gallery), 0)
    same = all(member.fingerprint == store.fingerprint for member in run.members)
    what = "lie in" if same else "have the id of a video in"
    note = (
        f"{len(found)} of {len(gallery)} gallery videos {what} the part that {run.path} was trained on, {where}: a head "
        "finds these more easily than videos that are new to it"
    )
    return TrainingOverlap(str(run.path), where, len(gallery), len(found), note)


def _training_store(member: Run, store: "Store") -> "Store | None":
    """The store that a run was trained on, or one with the same parts; None where neither is available."""
    if member.fingerprint == store.fingerprint:
        return store
    try:
        trained_on = open_store(member.store_path, incomplete=True)
        if trained_on.fingerprint == member.fingerprint:
            return trained_on
    except (GaidError, OSError):
        pass
    return store if member.dataset == store.dataset and member.split_protocol in store.protocols else None
