"""The data sets by name. A data set's module is imported when it is first asked for, so that this costs nothing."""

import difflib
import os
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from gaid.datasets.reading import unreadable_folders
from gaid.datasets.types import PARTS, Caption, Dataset, DatasetSpec, Progress, Video
from gaid.errors import OptionInvalid

__all__ = [
    "DATASETS",
    "PARTS",
    "Caption",
    "Dataset",
    "DatasetSpec",
    "Progress",
    "Video",
    "get_spec",
    "load_dataset",
    "load_truth",
]

DATASETS = {
    "demo": "gaid.datasets.demo",
    "demo-same-times": "gaid.datasets.demo.same_times",
    "stamps": "gaid.datasets.stamps",
    "folder": "gaid.datasets.folder",
    "csv": "gaid.datasets.table",
    "msrvtt": "gaid.datasets.msrvtt",
    "didemo": "gaid.datasets.didemo",
    "lsmdc": "gaid.datasets.lsmdc",
    "vatex": "gaid.datasets.vatex",
}


def get_spec(name: str) -> DatasetSpec:
    """The data set called `name`. Raises `OptionInvalid` with the nearest name where there is none."""
    if name not in DATASETS:
        if os.sep in name or Path(name).is_dir():
            raise OptionInvalid(
                f"--dataset takes a name, not a place; for your own videos: --dataset folder --root {name}"
            )
        near = difflib.get_close_matches(name, DATASETS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"it is one of {', '.join(DATASETS)}"
        raise OptionInvalid(f"no data set is called {name!r}; {hint}")
    spec: DatasetSpec = import_module(DATASETS[name]).SPEC
    return spec


def load_dataset(
    name: str, root: str | os.PathLike[str] | None = None, *, progress: Progress | None = None, **options: Any
) -> Dataset:
    """Reads the annotations of a data set under `root` (default: the data set's own, `data/NAME`); opens no video.

    `demo` is made first where it is absent; `progress` is told how far that is. `options` are the data set's own.
    Raises `DataMissing` where files that are needed are absent, `DataInvalid` where they contradict each other.
    """
    spec = get_spec(name)
    place = Path(spec.default_root if root is None else root).expanduser()
    if spec.prepare is not None:
        spec.prepare(place, progress)
    dataset = spec.load(place, **options)
    dataset.validate()
    return _with_unreadable(dataset, place)


def _with_unreadable(dataset: Dataset, place: Path) -> Dataset:
    """The data set, and which folders under its place could not be looked into."""
    shut = tuple(unreadable_folders(place)) if place.is_dir() else ()
    if not shut:
        return dataset
    shown = ", ".join(map(str, shut[:5])) + (", ..." if len(shut) > 5 else "")
    note = f"{len(shut)} folders can't be read, so what is in them is left out: {shown}; change their permissions"
    return replace(dataset, unreadable_folders=shut, notes=(*dataset.notes, note))


def load_truth(
    name: str, root: str | os.PathLike[str] | None, video_id: str, times: Sequence[float], duration: float
) -> Any:
    """Whether the sound is informative at each of `times` (F, seconds): a bool array (F,), or None where nobody knows.

    Only the demo's worlds know, since they were made with the answer beside them.
    """
    spec = get_spec(name)
    module = import_module(DATASETS[name])
    if not hasattr(module, "load_truth"):
        return None
    return module.load_truth(Path(spec.default_root if root is None else root).expanduser(), video_id, times, duration)
