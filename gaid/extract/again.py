"""What has changed since an extraction, when it is started again: files that have arrived, and files that were replaced."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gaid.console import printable
from gaid.datasets.types import Dataset, Video
from gaid.source_files import changed_clips

if TYPE_CHECKING:
    from gaid.stores import Store, StoreWriter

_NAMED = 3


def arrived_since(store: "Store", dataset: Dataset) -> list[str]:
    """Ids of clips that failed because their file was missing, and whose file is there now."""
    # The data set's own list of missing files leaves out links that lead nowhere, so the file itself is looked at.
    there = {video.id for video in dataset.videos if video.path.exists()}.difference(dataset.missing)
    return [one["id"] for one in store.failures if one["reason"] == "missing" and one["id"] in there]


def take_arrived(writer: "StoreWriter", store: "Store", arrived: Iterable[str]) -> None:
    """Makes the shards of some clips pending again. Their other rows get the same bytes when they are extracted again."""
    row_of = {name: row for row, name in enumerate(store.ids)}
    writer.reopen({row_of[name] // store.layout["shard_rows"] for name in arrived})


def changed_since(store: "Store", videos: Iterable[Video]) -> list[str]:
    """Ids of clips whose file is another one than the features were made of; none where the store did not record it."""
    known = store.sources
    files = (
        (video.id, [str(video.path), None if video.audio_path is None else str(video.audio_path)])
        for video in videos
        if video.id in known
    )
    return changed_clips(known, files)


def name_some(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(printable, names[:_NAMED])) + more


def describe_changed(changed: Sequence[str]) -> str:
    """A line about clips whose files were replaced."""
    clips = "1 clip has" if len(changed) == 1 else f"{len(changed)} clips have"
    return f"{clips} another file than the one whose features the store holds: {name_some(changed)}"
