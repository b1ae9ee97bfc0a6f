"""An array of a store as readers see it: shape, type, slices and rows in memory. Damage to it raises StoreCorrupt."""

import math
from collections.abc import Callable
from itertools import pairwise
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import GaidError, StoreCorrupt
from gaid.stores.remote import failed, is_of_obstore

# Rows are read in pieces of about this size, so that a few rows of a large store don't bring all of it into memory.
_PIECE_BYTES = 64 * 2**20


class Reading:
    """Turns every error that a library raises for damaged bytes within this block into StoreCorrupt.

    A class, since a generator's frames would form a cycle with the error (Python 3.13): the file would stay open until the
    garbage collector runs, and HDF5 would answer from it after a good copy was put back.
    """

    def __init__(self, place: Any, store: Any) -> None:
        self._place, self._store = place, store

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception) or isinstance(error, (GaidError, IndexError, MemoryError)):
            return  # a slice that does not exist, or is too large, is the caller's mistake
        if is_of_obstore(error):
            raise failed(str(self._store), error) from error
        reason = " ".join(str(error).split())[:200]
        raise StoreCorrupt(
            f"{self._place}: can't be read ({type(error).__name__}: {reason}); `gaid store verify {self._store}` lists all "
            "damage; put the store's files back, or extract again with --overwrite"
        ) from error


class StoreArray:
    """Array-like and read only: `array[...]` reads, as numpy does. `check` runs before every reading.

    `rows_per_chunk` are read at once and `rows_per_file` lie in one file, where the format says so.
    """

    def __init__(self, array: Any, place: Any, store: Any, check: Callable[[], None]) -> None:
        self._array, self._place, self._store, self._check = array, place, store, check
        with Reading(place, store):
            self.shape: tuple[int, ...] = tuple(array.shape)
            self.dtype = np.dtype(array.dtype)
            chunks = getattr(array, "chunks", None) or self.shape
            self.rows_per_chunk = max(1, int(chunks[0]))
            self.rows_per_file = max(1, int((getattr(array, "shards", None) or chunks)[0]))

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.dtype.itemsize * math.prod(self.shape[1:])

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        self._check()
        with Reading(self._place, self._store):
            found: NDArray[Any] = np.asarray(self._array[key])
        return found

    def rows(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Some rows, each once and ascending. Rows that lie further apart than a chunk are read separately."""
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        row_bytes = max(1, found[:1].nbytes)
        piece = max(1, _PIECE_BYTES // row_bytes // self.rows_per_chunk) * self.rows_per_chunk
        cuts = np.flatnonzero((np.diff(rows) > self.rows_per_chunk) | (np.diff(rows // piece) > 0)) + 1
        for start, stop in pairwise([0, *cuts.tolist(), len(rows)] if len(rows) else []):
            wanted = rows[start:stop]
            read = self[int(wanted[0]) : int(wanted[-1]) + 1]
            found[start:stop] = read if len(read) == len(wanted) else read[wanted - wanted[0]]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[...].astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"<{self.dtype} {self.shape} of {self._place}>"


def read_all(array: Any) -> NDArray[Any]:
    """An array in memory, C-ordered."""
    return np.ascontiguousarray(array[...])
