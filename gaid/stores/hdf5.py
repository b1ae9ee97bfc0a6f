"""HDF5 behind a store: a finished file, written under another name and renamed. It is never extended (docs/format.md)."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gaid.errors import StoreInvalid
from gaid.files import replacing

ATTRIBUTES = "gaid"  # a dataset of bytes: HDF5 holds no attribute over 64 KiB


def write(path: Path, attributes: Mapping[str, Any], arrays: Iterable[tuple[str, tuple[int, ...], Any, Iterable[NDArray[Any]]]],
          chunk_rows: int) -> None:  # fmt: skip
    """A file of arrays (name, shape, dtype, pieces along the first axis); whole at once or not there at all."""
    digests = {}
    with replacing(path) as working, h5py.File(working, "w", libver="latest") as file:
        for name, shape, dtype, pieces in arrays:
            chunks = (min(chunk_rows, shape[0]), *shape[1:]) if len(shape) > 1 and 0 not in shape else None
            target = file.create_dataset(name, shape, dtype, chunks=chunks, fletcher32=chunks is not None)
            digest, start = hashlib.sha256(), 0
            for piece in pieces:
                whole = np.ascontiguousarray(piece)
                target[start : start + len(whole)] = whole
                digest.update(whole.tobytes())
                start += len(whole)
            digests[name] = digest.hexdigest()
        text = json.dumps({**attributes, "digests": digests}, sort_keys=True).encode()
        file.create_dataset(ATTRIBUTES, data=np.frombuffer(text, np.uint8))
        file.create_dataset(f"{ATTRIBUTES}_sha256", data=np.frombuffer(hashlib.sha256(text).digest(), np.uint8))


class Hdf5Arrays:
    """The arrays of a store in a file, read only; the file stays open while this lives."""

    def __init__(self, path: Path) -> None:
        try:
            self.file = h5py.File(path, "r")
            text = self.file[ATTRIBUTES][...].tobytes()
            if hashlib.sha256(text).digest() != self.file[f"{ATTRIBUTES}_sha256"][...].tobytes():
                raise StoreInvalid(
                    f"{path}: its attributes are not those that were written; convert or extract it again"
                )
            self.attributes: dict[str, Any] = json.loads(text)
        except (OSError, KeyError, ValueError, AttributeError) as error:
            if isinstance(error, StoreInvalid):
                raise
            raise StoreInvalid(f"{path}: not a gaid store in HDF5 ({type(error).__name__}: {error})") from error
        self.path = path

    def names(self) -> list[str]:
        found: list[str] = []
        self.file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        return sorted(name for name in found if not name.startswith(ATTRIBUTES))

    def __contains__(self, name: str) -> bool:
        return name in self.file

    def __getitem__(self, name: str) -> Any:
        return self.file[name]

    def rows(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Some rows of an array in memory; `rows` rise. Everything between the first and the last is read, as chunks are."""
        first, stop = int(rows[0]), int(rows[-1]) + 1
        found = self.file[name][first:stop]
        return np.asarray(found if stop - first == len(rows) else found[rows - first])

    def bytes_on_disk(self, name: str) -> int:
        return int(self.file[name].id.get_storage_size())

    def close(self) -> None:
        self.file.close()
