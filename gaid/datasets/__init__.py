"""Data sets by name: those built in, and your own as `file.py:NAME`.

To add one, add a module with a `SPEC` (DatasetSpec) whose name is the module's. A module is imported when its data set is
first asked for.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gaid import plugins
from gaid.datasets.own import own_spec
from gaid.datasets.parts import with_sounds_beside
from gaid.datasets.reading import unreadable_folders
from gaid.datasets.types import PARTS, USUAL_BACKBONES, Caption, Dataset, DatasetSpec, Progress, Video
from gaid.errors import OptionInvalid
from gaid.settings import nearest

__all__ = [
    "DATASETS",
    "PARTS",
    "USUAL_BACKBONES",
    "Caption",
    "Dataset",
    "DatasetSpec",
    "Progress",
    "Video",
    "get_spec",
    "load_dataset",
    "load_truth",
    "name_in",
]

# Each is a module of this folder with its SPEC; the others of the folder are what they share.
DATASETS: Mapping[str, DatasetSpec] = plugins.BuiltIn(__name__, __path__, besides=("own", "parts", "reading", "types"))


def get_spec(name: str) -> DatasetSpec:
    """The data set called `name`, built in or `file.py:NAME`. Raises OptionInvalid with the nearest name for any other."""
    if name in DATASETS:
        return DATASETS[name]
    if (os.sep in name and ":" not in name) or Path(name).is_dir():
        raise OptionInvalid(f"--dataset takes a name, not a place; for your own videos: --dataset folder --root {name}")
    if ":" in name:
        return own_spec(name)
    raise OptionInvalid(f"no data set is called {name!r}; {nearest(name, DATASETS)} (your own is file.py:NAME)")


def name_in(about: Mapping[str, Any]) -> str:
    """The name by which the data set that a store says it is of can be loaded; empty where it can't be."""
    if about.get("loader"):
        return str(about["loader"])
    return str(about["name"]) if about.get("name") in DATASETS else ""


def load_dataset(
    name: str,
    root: str | os.PathLike[str] | None = None,
    *,
    audio_root: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Dataset:
    """Reads the annotations of a data set under `root` (default: the data set's own, `data/NAME`); opens no video.

    `demo` is generated first where it is absent; `progress` is called meanwhile. `options` are the data set's own. A file of
    sound under `audio_root` (default: `root`) that is named like a video's file is that video's sound.
    Raises `DataMissing` where files that are needed are absent, `DataInvalid` where they contradict each other.
    """
    spec = get_spec(name)
    place = Path(spec.default_root if root is None else root).expanduser()
    if audio_root is not None and not spec.sounds_beside:
        raise OptionInvalid(f"--audio-root: {name} says itself where its sounds are; leave the option out")
    if spec.prepare is not None:
        spec.prepare(place, progress)
    dataset = spec.load(place, **options)
    if spec.sounds_beside:
        dataset = with_sounds_beside(dataset, _audio_folder(place, audio_root))
        dataset = replace(dataset, audio_root=None if audio_root is None else Path(audio_root))
    dataset.validate()
    return _with_unreadable(dataset, place)


def _audio_folder(place: Path, audio_root: str | os.PathLike[str] | None) -> Path:
    """Where files of sound are looked for."""
    folder = place if audio_root is None else Path(audio_root).expanduser()
    if audio_root is not None and not folder.is_dir():
        raise OptionInvalid(f"--audio-root {folder} is {'not a folder' if folder.exists() else 'not there'}")
    return folder if folder.is_dir() else folder.parent  # a table's root is the table


def _with_unreadable(dataset: Dataset, place: Path) -> Dataset:
    """The data set, and which folders under its place could not be looked into."""
    shut = tuple(unreadable_folders(place)) if place.is_dir() else ()
    if not shut:
        return dataset
    shown = ", ".join(map(str, shut[:5])) + (", ..." if len(shut) > 5 else "")
    note = f"{len(shut)} folders cannot be read, so their contents are left out: {shown}; change their permissions"
    return replace(dataset, unreadable_folders=shut, notes=(*dataset.notes, note))


def load_truth(
    name: str, root: str | os.PathLike[str] | None, video_id: str, times: Sequence[float], duration: float
) -> Any:
    """Whether the sound is informative at each of `times` (F, seconds): a bool array (F,), or None where that is not known.

    It is known only of the generated demo worlds.
    """
    spec = get_spec(name)
    if spec.truth is None:
        return None
    return spec.truth(Path(spec.default_root if root is None else root).expanduser(), video_id, times, duration)
