"""An array of a store as readers see it: shape, type, and slices in memory. Whatever damage does to a slice is one line."""

from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import GaidError, StoreCorrupt


class Reading:
    """Libraries have errors of every kind for damaged bytes; within this block all of them are StoreCorrupt.

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
            return  # a slice that does not exist, or is too large, is the caller's
        reason = " ".join(str(error).split())[:200]
        raise StoreCorrupt(
            f"{self._place}: can't be read ({type(error).__name__}: {reason}); `gaid store verify {self._store}` lists all "
            "damage; put the store's files back, or extract again with --overwrite"
        ) from error


class StoreArray:
    """Array-like and read only: `array[...]` reads, as numpy does. `check` runs before every reading."""

    def __init__(self, array: Any, place: Any, store: Any, check: Callable[[], None]) -> None:
        self._array, self._place, self._store, self._check = array, place, store, check
        with Reading(place, store):
            self.shape: tuple[int, ...] = tuple(array.shape)
            self.dtype = np.dtype(array.dtype)

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

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[...].astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"<{self.dtype} {self.shape} of {self._place}>"
