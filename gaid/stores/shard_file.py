"""One shard of a zarr array as one file, written and read at the speed of the disk.

zarr's sharding codec without compression is simple: the chunks as they lie in memory, one after the other, then for each its
offset and length, then the index's crc32c. Through zarr a chunk costs Python half a millisecond, which made writing three times
and reading twice as slow (docs/performance.md). The bytes are those that zarr writes, which a test holds, but that a chunk of
nothing but the fill value is written too; whatever else a file holds is left to zarr to read.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

# The codecs of our arrays, as zarr.json tells them (format 3).
_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
_CODEC_NAMES = (["bytes"], ["bytes", "crc32c"])
_ABSENT = 2**64 - 1


@dataclass(frozen=True)
class ShardLayout:
    """How an array of this name is cut: `shape` of the array, rows a shard and a chunk, both cut along the first axis only."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    shard_rows: int
    chunk_rows: int
    fill: Any

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    @property
    def index_bytes(self) -> int:
        return 16 * (self.shard_rows // self.chunk_rows) + 4

    def file(self, folder: Path, number: int) -> Path:
        """Where shard `number` lies in the array's folder."""
        return folder / "c" / "/".join(map(str, (number, *[0] * (len(self.shape) - 1))))

    @classmethod
    def of(cls, folder: Path) -> "ShardLayout | None":
        """As the array's zarr.json tells; None for an array that is cut or coded in another way."""
        try:
            told = json.loads((folder / "zarr.json").read_text())
            (codec,) = told["codecs"]
            grid, options, shape = (
                told["chunk_grid"]["configuration"]["chunk_shape"],
                codec["configuration"],
                told["shape"],
            )
            names = tuple([c["name"] for c in options[kind]] for kind in ("codecs", "index_codecs"))
            plain = (
                codec["name"] == "sharding_indexed"
                and options["index_location"] == "end"
                and names == _CODEC_NAMES
                and all(c.get("configuration", _BYTES["configuration"]) == _BYTES["configuration"] for c in
                        (*options["codecs"], *options["index_codecs"]))
                and told["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "/"}}
                and grid[1:] == options["chunk_shape"][1:] == shape[1:]
                and grid[0] % options["chunk_shape"][0] == 0
            )  # fmt: skip
            dtype = np.dtype(told["data_type"]).newbyteorder("<")
            fill = np.nan if told["fill_value"] == "NaN" else told["fill_value"]
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            return None
        return cls(tuple(shape), dtype, grid[0], options["chunk_shape"][0], fill) if plain else None


def write_shard(folder: Path, layout: ShardLayout, number: int, values: NDArray[Any]) -> tuple[Path, dict[str, Any]]:
    """Writes and syncs a whole shard; its file, with how many bytes it has and their sha256."""
    file = layout.file(folder, number)
    file.parent.mkdir(parents=True, exist_ok=True)
    chunks = -(-len(values) // layout.chunk_rows)
    size = layout.chunk_rows * layout.row_bytes
    pieces: list[Any] = [_raw(np.ascontiguousarray(values, layout.dtype))]
    lacking = chunks * layout.chunk_rows - len(values)
    if lacking:  # the last chunk is whole on disk too
        pieces.append(np.full((lacking, *layout.shape[1:]), layout.fill, layout.dtype).tobytes())
    index = np.full((layout.shard_rows // layout.chunk_rows, 2), _ABSENT, "<u8")
    index[:chunks] = [(chunk * size, size) for chunk in range(chunks)]
    pieces += [index.tobytes(), google_crc32c.value(index.tobytes()).to_bytes(4, "little")]
    digest = hashlib.sha256()
    with file.open("wb", buffering=0) as target:
        for piece in pieces:
            digest.update(piece)
            _write_all(target, piece)
        os.fsync(target.fileno())
    return file, {"bytes": chunks * size + layout.index_bytes, "sha256": digest.hexdigest()}


def read_rows(folder: Path, layout: ShardLayout, rows: NDArray[np.int64]) -> NDArray[Any] | None:
    """Some rows, which rise; None where a file is missing or holds its chunks in another way."""
    found = np.empty((len(rows), *layout.shape[1:]), layout.dtype)
    for number, of_found in _runs(rows // layout.shard_rows):
        wanted = rows[of_found] - number * layout.shard_rows
        first, last = int(wanted[0]), int(wanted[-1])
        with_gaps = last - first + 1 != len(wanted)
        target = np.empty((last - first + 1, *layout.shape[1:]), layout.dtype) if with_gaps else found[of_found]
        if not _read_run(layout.file(folder, number), layout, first, target):
            return None
        if with_gaps:
            found[of_found] = target[wanted - first]
    return found


def _runs(shards: NDArray[np.int64]) -> Iterator[tuple[int, slice]]:
    """Each shard's number, and which of the rows are its."""
    starts = np.flatnonzero(np.diff(shards, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(shards)], strict=True):
        yield int(shards[start]), slice(int(start), int(stop))


def _read_run(file: Path, layout: ShardLayout, first: int, target: NDArray[Any]) -> bool:
    """Fills `target` with a shard's rows from `first` on; False where the file is not as we write it."""
    size = layout.chunk_rows * layout.row_bytes
    try:
        with file.open("rb", buffering=0) as source:
            source.seek(-layout.index_bytes, os.SEEK_END)
            told = source.read(layout.index_bytes)
            index = np.frombuffer(told[:-4], "<u8").reshape(-1, 2)
            used = -(-(first + len(target)) // layout.chunk_rows)
            in_order = np.array([(chunk * size, size) for chunk in range(used)], "<u8")
            if not np.array_equal(index[:used], in_order):
                return False
            if google_crc32c.value(told[:-4]).to_bytes(4, "little") != told[-4:]:
                return False
            source.seek(first * layout.row_bytes)
            view = _raw(target)
            while view:
                count = source.readinto(view)
                if not count:
                    return False
                view = view[count:]
    except OSError:
        return False
    return True


def _raw(array: NDArray[Any]) -> memoryview:
    """The bytes of an array as they lie in memory."""
    return array.reshape(-1).view(np.uint8).data


def _write_all(target: Any, piece: Any) -> None:
    view = memoryview(piece)
    while view:
        view = view[target.write(view) :]
