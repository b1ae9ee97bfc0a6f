"""A data set of your own, by name: `file.py:NAME` or `module:NAME`.

NAME is a Dataset, or a function of `root`, the folder of its files, that returns one, or a whole DatasetSpec.
"""

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gaid import plugins
from gaid.datasets.types import Dataset, DatasetSpec
from gaid.errors import GaidError, OptionInvalid
from gaid.paths import whole_path


def own_spec(name: str) -> DatasetSpec:
    """What is known of the data set. Raises OptionInvalid, and CodeRefused for code within a run or store."""
    found = plugins.load_object(name, "data set", _fits, "Dataset, DatasetSpec or function of root ")
    if isinstance(found, DatasetSpec):
        return replace(found, name=name, load=_named(name, found.load))
    attribute = name.rpartition(":")[2]
    default_root = str(found.root) if isinstance(found, Dataset) else f"data/{attribute}"
    load = _from_object(name, found) if isinstance(found, Dataset) else _called(name, found)
    return DatasetSpec(
        name=name,
        summary="a data set of your own",
        source=plugins.shown(name),
        load=_named(name, load),
        default_root=default_root,
    )


def _fits(found: Any) -> bool:
    """A function must have a parameter `root`: a store from elsewhere could name any function, such as one that deletes."""
    if isinstance(found, Dataset | DatasetSpec):
        return True
    try:
        return not isinstance(found, type) and "root" in inspect.signature(found).parameters
    except (TypeError, ValueError):  # not callable, or written in C
        return False


def _from_object(name: str, dataset: Dataset) -> Callable[[Path], Dataset]:
    def load(root: Path) -> Dataset:
        if whole_path(root) != whole_path(dataset.root):
            raise OptionInvalid(
                f"--root {root}: data set {plugins.shown(name)!r} is at {dataset.root}; where its files may lie elsewhere, "
                "name a function of `root` that returns the Dataset"
            )
        return dataset

    return load


def _called(name: str, function: Callable[..., Any]) -> Callable[[Path], Any]:
    def load(root: Path) -> Any:
        try:
            return function(root=root)
        except GaidError:
            raise
        except Exception as error:  # a user's function may raise anything
            raise OptionInvalid(
                f"data set {plugins.shown(name)!r}: called with {root}, it raised {type(error).__name__}: {error}"
            ) from error

    return load


def _named(name: str, load: Callable[..., Any]) -> Callable[..., Dataset]:
    """What `load` returns, if it is a Dataset, with the name by which it is found again."""

    def load_named(root: Path, **options: Any) -> Dataset:
        dataset = load(root, **options)
        if not isinstance(dataset, Dataset):
            raise OptionInvalid(
                f"data set {plugins.shown(name)!r}: returned {type(dataset).__name__}, not a gaid.datasets.Dataset"
            )
        return replace(dataset, loader=plugins.absolute(name))

    return load_named
