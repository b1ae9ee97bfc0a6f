"""The arrays of a store in an HDF5 file, which is complete and never extended (docs/format.md). Writing is `hdf5_writer`."""

import hashlib
import json
import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gaid.errors import StoreCorrupt, StoreInvalid
from gaid.stores.arrays import Reading, StoreArray, read_all
from gaid.stores.schema import digest_json, number_rows
from gaid.stores.speech import GROUP, TYPES, Speech

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
ATTRIBUTES = "gaid"  # a dataset of bytes: HDF5 holds no attribute over 64 KiB


class Hdf5Arrays:
    """The arrays of a store in a file, read only; the file stays open while this lives.

    Raises StoreInvalid for anything but a gaid store in HDF5, StoreCorrupt for a damaged one.
    """

    format = "hdf5"
    file_names = growth = None  # a library has them

    def __init__(self, path: Path) -> None:
        _check_length(path)
        try:
            self.file = h5py.File(path, "r")
            there = ATTRIBUTES in self.file
        except Exception as error:
            raise _damaged(path, error) from error
        if not there:
            raise StoreInvalid(f"{path}: an HDF5 file, but not a gaid store (it has no dataset {ATTRIBUTES!r})")
        try:
            text = self.file[ATTRIBUTES][...].tobytes()
            if hashlib.sha256(text).digest() != self.file[f"{ATTRIBUTES}_sha256"][...].tobytes():
                raise ValueError("its attributes are not those that were written")
            self.attributes: dict[str, Any] = json.loads(text)
            self._names = self._find_names()
        except Exception as error:
            raise _damaged(path, error) from error
        self.path = path
        self._checked: set[str] = set()

    def _find_names(self) -> list[str]:
        found: list[str] = []
        self.file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        return sorted(name for name in found if not name.startswith(ATTRIBUTES))

    def check(self) -> None:
        """Raises StoreCorrupt where an array that was written is missing."""
        for name in self.attributes.get("digests", {}):
            if name not in self._names:
                raise _damaged(self.path, KeyError(f"the array {name} is missing"))

    @property
    def failures(self) -> list[dict[str, str]]:
        """Videos without features."""
        return list(self.attributes.get("failures", []))

    @property
    def remarks(self) -> list[dict[str, str]]:
        """Notes on clips' pictures."""
        return list(self.attributes.get("remarks", []))

    @property
    def sources(self) -> list[Any] | None:
        """The source files of each row; None where none was recorded."""
        return self.attributes.get("sources")

    def source(self, row: int) -> list[Any]:
        """The source files of a row; none where they were not recorded."""
        found: list[Any] = self.sources[row] if self.sources else []
        return found

    def row_keys(self) -> NDArray[np.uint64]:
        """(V) a number for each row that changes with the bytes of the file."""
        return number_rows(digest_json(self.attributes.get("digests", {})), self.attributes["layout"]["videos"])

    def missing(self, parts: Iterable[str]) -> tuple[str, ...]:
        """A file is whole: none of the parts is missing."""
        return ()

    def names(self) -> list[str]:
        return list(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> StoreArray:
        place = f"{self.path}: {name}"
        with Reading(place, self.path):
            array = self.file[name]
        return StoreArray(array, place, self.path, lambda: self._check(name))

    def rows(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Some rows of an array, each once and ascending."""
        return self[name].rows(rows)

    def _check(self, name: str) -> None:
        """Compares arrays of one dimension, which have no checksum of their own, with their digest, once each."""
        array = self.file[name]
        expected = self.attributes.get("digests", {}).get(name)
        if array.ndim > 1 or name in self._checked or expected is None:
            return
        with Reading(f"{self.path}: {name}", self.path):
            if hashlib.sha256(array[...].tobytes()).hexdigest() != expected:
                raise ValueError("its values are not those that were written")
        self._checked.add(name)

    def bytes_on_disk(self, name: str) -> int:
        with Reading(f"{self.path}: {name}", self.path):
            return int(self.file[name].id.get_storage_size())

    @property
    def transcriber(self) -> dict[str, Any] | None:
        """Who transcribed the clips; None where they are not."""
        return self.attributes.get("transcriber")

    @cached_property
    def speech(self) -> Speech | None:
        """What is said in the clips; None where they are not transcribed."""
        if self.transcriber is None:
            return None
        arrays = {name: read_all(self[f"{GROUP}/{name}"]) for name in TYPES}
        return Speech(**arrays, transcriber=self.transcriber)

    def close(self) -> None:
        self.file.close()


def _check_length(path: Path) -> None:
    """Compares the file's length with the one in its first block; HDF5 itself accepts a longer file silently."""
    try:
        with path.open("rb") as file:
            head = file.read(48)
            length = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise StoreInvalid(f"{path}: can't be opened: {error.strerror or error}") from error
    if not head.startswith(_SIGNATURE):
        raise StoreInvalid(f"{path}: not a gaid store in HDF5 (it does not begin as an HDF5 file does)")
    if len(head) == 48 and head[8] in (2, 3) and head[9] == 8:  # the block's version, and numbers of eight bytes
        told = int.from_bytes(head[28:36], "little")
        if told != length:
            raise _damaged(path, ValueError(f"has {length:,} bytes, {told:,} were written"))


def _damaged(path: Path, error: Exception) -> StoreCorrupt:
    reason = " ".join(str(error.args[0] if error.args else error).split())[:200]
    return StoreCorrupt(f"{path}: is damaged ({reason}); put a copy of it back, or delete it and extract again")
