"""The arrays of a store in a zarr folder: creating, writing and reading them. What they mean is left to the schema."""

import shutil
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from gaid.errors import StoreCorrupt, StoreInvalid
from gaid.files import sync_file, sync_folder
from gaid.stores.arrays import Reading, StoreArray
from gaid.stores.inventory import Inventory, digest_features
from gaid.stores.remote import Place, failed, is_of_obstore
from gaid.stores.scattered import can_read, read_elsewhere, read_scattered
from gaid.stores.schema import ArraySpec, number_rows
from gaid.stores.speech import NAMES, Speech, join, piece_of, read_piece, transcriber_of

SPARSE = 8  # rows that are further apart than this on average are read one by one
SMALL = 256  # bytes of a row up to which zarr takes longer for a file than for what is in it
# Arrays that are not sharded have their bytes on disk even where all values are the fill value.
_WRITE_ALL: Any = {"write_empty_chunks": True}


def create(path: Path, attributes: Mapping[str, Any], whole: Mapping[str, NDArray[Any]], filled: list[ArraySpec],
           shard_rows: int, chunk_rows: int) -> None:  # fmt: skip
    """A new group at `path` with attributes, the small arrays written and the others empty (sharded where rows are videos)."""
    shutil.rmtree(path, ignore_errors=True)
    group = zarr.create_group(path, zarr_format=3, attributes=dict(attributes))
    for name, values in whole.items():
        array = group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=(max(len(values), 1), *values.shape[1:]),
                                   compressors=None, fill_value=0, config=_WRITE_ALL)  # fmt: skip
        if len(values):
            array[:] = values
    for spec in filled:
        sharded = spec.rows == "videos"
        rows = chunk_rows if sharded else 4096
        group.create_array(
            spec.name, shape=spec.shape, dtype=spec.dtype, chunks=(rows, *spec.shape[1:]),
            shards=(shard_rows, *spec.shape[1:]) if sharded else None,
            compressors=None, fill_value=spec.fill, config=_WRITE_ALL,
        )  # fmt: skip


def write_rows(path: Path, name: str, start: int, values: NDArray[Any]) -> list[Path]:
    """Writes and syncs rows from `start` on, which are whole shards or chunks, or the last one. Returns their files.

    zarr makes no file where all values are the fill value.
    """
    if not len(values):
        return []
    array = zarr.open_array(path / name, mode="r+", zarr_format=3, config=_WRITE_ALL)
    size = (array.shards or array.chunks)[0]
    files = [
        path / _file_of(name, number, array.ndim) for number in range(start // size, -(-(start + len(values)) // size))
    ]
    for file in files:
        # From a writer that was killed, or from before the shard was made anew. zarr would keep what else it holds, and where
        # no file follows, this one must not come back after a power cut.
        if file.exists():
            file.unlink()
            sync_folder(file.parent)
    array[start : start + len(values)] = values
    written = [file for file in files if file.is_file()]
    for file in written:
        sync_file(file)
    return written


def _file_of(name: str, number: int, ndim: int) -> str:
    """The file of a shard or chunk of an array that is cut along its first axis only, as seen from the store."""
    return "/".join([name, "c", str(number), *["0"] * (ndim - 1)])


class ZarrArrays:
    """The arrays of a store on disk, read only, and its markers."""

    format = "zarr"
    file_names = growth = None  # a library has them

    def __init__(self, path: Place) -> None:
        damaged = (path / "shards" / "plan.json").is_file()
        if not (path / "zarr.json").is_file():
            if damaged:
                raise StoreCorrupt(f"{path / 'zarr.json'}: is missing; put it back, or extract again with --overwrite")
            raise StoreInvalid(f"{path}: a folder, but not a zarr store (it has no zarr.json); name a gaid store")
        try:
            where: Any = {"store": path} if isinstance(path, Path) else path.for_zarr()
            self.group = zarr.open_group(**where, mode="r", zarr_format=3)
            self.attributes: dict[str, Any] = dict(self.group.attrs)
        except Exception as error:
            if is_of_obstore(error):
                raise failed(str(path), error) from error
            if isinstance(error, OSError) and error.strerror and not isinstance(error, FileNotFoundError):
                raise StoreInvalid(f"{path}: can't be opened: {error.strerror}") from error
            if damaged:
                raise StoreCorrupt(
                    f"{path / 'zarr.json'}: is damaged ({type(error).__name__}); put it back, or extract again with --overwrite"
                ) from error
            raise StoreInvalid(
                f"{path}: not a zarr group of format 3 ({type(error).__name__}); name a gaid store"
            ) from error
        self.path = path
        self._inventory: Inventory | None = None
        self._facts: tuple[str, range, list[Any]] = ("", range(0), [])
        self._opened: dict[str, Any] = {}  # opening an array reads its metadata, which takes longer than reading a row

    @property
    def inventory(self) -> Inventory:
        """The store's markers and files, as they were at the first access. Raises StoreCorrupt."""
        if self._inventory is None:
            self._inventory = Inventory(self.path)
        return self._inventory

    def check(self) -> None:
        """Raises StoreCorrupt where the files are not those that the markers list."""
        self.inventory.check(self.attributes)

    @property
    def failures(self) -> list[dict[str, str]]:
        """Videos without features, in the order of the shards."""
        markers = self.inventory.markers
        return [failure for name, marker in markers.items() if name.isdigit() for failure in marker["failures"]]

    @property
    def remarks(self) -> list[dict[str, str]]:
        """Notes on clips' pictures, in the order of the shards."""
        markers = self.inventory.markers
        return [one for name, marker in markers.items() if name.isdigit() for one in marker.get("remarks", [])]

    @property
    def sources(self) -> list[Any] | None:
        """The source files of each row as the markers have them, none for rows that are not done; None where none was
        recorded."""
        return self.inventory.sources(self.attributes["layout"]["videos"])

    def source(self, row: int) -> list[Any]:
        """The source files of a row; none where they were not recorded, or the row is not done. Raises StoreCorrupt."""
        shard = f"{row // self.attributes['layout']['shard_rows']:05d}"
        if shard not in self.inventory.markers:
            return []
        kept = self._facts  # those of the shard asked for last; several threads ask
        if kept[0] != shard:
            self._facts = kept = (shard, *self.inventory.sources_of_shard(shard))
        _, rows, sources = kept
        found: list[Any] = sources[row - rows.start] if sources else []
        return found

    def done_rows(self) -> NDArray[np.int64]:
        """The rows of the shards that are written."""
        shards = (marker for name, marker in self.inventory.markers.items() if name.isdigit())
        return np.concatenate([np.empty(0, np.int64), *(np.arange(*marker["rows"]) for marker in shards)])

    def row_keys(self) -> NDArray[np.uint64]:
        """(V) a number for each row that changes with the bytes of its shard; 0 for rows that are not done."""
        keys = np.zeros(self.attributes["layout"]["videos"], np.uint64)
        for name, marker in self.inventory.markers.items():
            if name.isdigit():
                rows = slice(*marker["rows"])
                keys[rows] = number_rows(digest_features(marker), rows.stop - rows.start)
        return keys

    def missing(self, parts: Iterable[str]) -> tuple[str, ...]:
        """Those of a store's parts (shard numbers, `captions`) that are not written yet."""
        there = self.inventory.markers
        return tuple(name for name in parts if name not in there)

    def names(self) -> list[str]:
        """As the attributes list them: the folder holds the markers too, which are not arrays."""
        return sorted([*self.attributes["arrays"], *(NAMES if self.transcriber else ())])

    def __contains__(self, name: str) -> bool:
        return name in self.attributes["arrays"] or (name in NAMES and self.transcriber is not None)

    def __getitem__(self, name: str) -> StoreArray:
        if name in NAMES and self.speech is not None:
            return StoreArray(self.speech.arrays[name], self.path / name, self.path, lambda: None)
        array = self._open(name)
        return StoreArray(
            array, self.path / name, self.path, lambda: self._check(self.inventory.of_array(name), array.dtype)
        )

    def _open(self, name: str) -> Any:
        if name not in self._opened:
            with Reading(self.path / name, self.path):
                self._opened[name] = self.group[name]
        return self._opened[name]

    def rows(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Some rows of an array, each once and ascending. Raises StoreCorrupt where a file of theirs went after the opening."""
        array = self[name]
        if not len(rows):
            return np.empty((0, *array.shape[1:]), array.dtype)
        places = [_file_of(name, number, array.ndim) for number in np.unique(rows // array.rows_per_file).tolist()]
        self.inventory.check_sizes(places)
        dense = rows[-1] - rows[0] < SPARSE * len(rows)
        small = isinstance(self.path, Path) and array.row_bytes <= SMALL
        if dense and not small:
            return array.rows(rows)
        with Reading(self.path / name, self.path):
            raw = self._open(name)
            if not can_read(raw):
                return array.rows(rows)
            self._check(places, array.dtype)
            if isinstance(self.path, Path):
                return read_scattered(raw, rows, lambda number: f"{self.path}/{_file_of(name, number, array.ndim)}")
            root = self.path
            return read_elsewhere(raw, rows, lambda number: root / _file_of(name, number, array.ndim))

    def _check(self, places: Iterable[str], dtype: Any) -> None:
        """Compares files of everything but features, which are in half precision, with their digests."""
        if np.dtype(dtype) != np.float16:
            self.inventory.check_bytes(places)

    def bytes_on_disk(self, name: str) -> int:
        if name in NAMES:
            return sum(self.inventory.bytes_of(piece_of(name, shard)) for shard in self._shards)
        return self.inventory.bytes_of(name)

    @property
    def _shards(self) -> range:
        layout = self.attributes["layout"]
        return range(-(-layout["videos"] // layout["shard_rows"]))

    @property
    def transcriber(self) -> dict[str, Any] | None:
        """Who transcribed the clips; None where not all of them are."""
        return transcriber_of(self.inventory, self._shards)

    @cached_property
    def speech(self) -> Speech | None:
        """What is said in the clips; None where not all of them are transcribed."""
        if self.transcriber is None:
            return None
        return join([read_piece(self.path, self.inventory, shard) for shard in self._shards])

    def close(self) -> None:
        """Nothing is held open."""
