"""Deletes stores, and only what is recognisably one; renamed first, so that no half of one is left under its name."""

import json
import shutil
from pathlib import Path

from gaid.errors import StoreCorrupt, StoreInvalid
from gaid.stores.hdf5 import Hdf5Arrays
from gaid.stores.inventory import PLAN, read_marker


def _is_store(folder: Path) -> bool:
    """Whether a folder is a store, possibly a damaged one, by its attributes or its first marker."""
    try:
        return "gaid_schema" in json.loads((folder / "zarr.json").read_text())["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        return "attributes" in read_marker(folder / "shards" / f"{PLAN}.json")
    except StoreCorrupt:
        return False


def clear_deletion(path: Path) -> None:
    """Removes what an interrupted deletion of the store at `path` left."""
    if _doomed(path).is_dir():
        shutil.rmtree(_doomed(path))


def _doomed(path: Path) -> Path:
    """The name that a store has while it is deleted."""
    return path.with_name(f".{path.name}.deleting")


def delete_store(path: str | Path) -> None:
    """Deletes a store. Raises StoreInvalid for anything that is not recognisably one."""
    path = Path(path)
    if path.is_dir():
        if not _is_store(path):
            raise StoreInvalid(f"{path}: not deleted, since it is not a gaid store")
        clear_deletion(path)
        doomed = _doomed(path)
        path.rename(doomed)
        shutil.rmtree(doomed)
    else:
        Hdf5Arrays(path).close()
        path.unlink()
