"""Where the clips of a store lie: it names its data set and where that lay when it was extracted. Decodes no clip."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gaid.errors import DataMissing
from gaid.paths import shown_path

if TYPE_CHECKING:
    from gaid.datasets import Dataset, Video
    from gaid.stores import Store


def find_dataset(store: "Store", root: str | Path | None = None) -> "Dataset":
    """The store's data set at `root` (default: where the store says), a folder or a table. Raises DataMissing."""
    from gaid.datasets import DATASETS, load_dataset

    about = store.attrs.get("dataset") or {}
    name, place = about.get("name"), about.get("root") if root is None else root
    if name not in DATASETS or not place:
        raise DataMissing("the store does not name a data set that can be read here")
    if not Path(place).expanduser().exists():  # else a data set that makes itself would be made anew
        raise DataMissing(f"{shown_path(place)} is not there")
    return load_dataset(name, place)


def find_videos(store: "Store", ids: Iterable[str], root: str | Path | None = None) -> list["Video"]:
    """Those of the clips that the data set at `root` (default: where the store says) has. Raises DataMissing for none."""
    dataset = find_dataset(store, root)
    by_id = {video.id: video for video in dataset.videos}
    found = [by_id[one] for one in dict.fromkeys(ids) if one in by_id]
    if not found:
        raise DataMissing(f"{shown_path(dataset.root)} holds none of these clips")
    return found
