"""Rows that lie far apart in a sharded array of zarr, read from their files one by one.

zarr reads whole chunks, which for a search's candidates is fifty times what is wanted. Only arrays laid out as the format
says (docs/format.md) are read so: shards cut along the first axis, chunks without compression, the index at the end.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, ShardingCodec

_NONE = np.uint64(2**64 - 1)  # the place of a chunk that holds the fill value only


def can_read(array: Any) -> bool:
    """Whether an array of zarr is laid out so."""
    codecs = array.metadata.codecs
    sharding: Any = codecs[0]
    if len(codecs) != 1 or not isinstance(sharding, ShardingCodec) or len(sharding.codecs) != 1:
        return False
    inner = sharding.codecs[0]
    if not isinstance(inner, BytesCodec) or (inner.endian is None and array.dtype.itemsize > 1):
        return False
    if inner.endian is not None and inner.endian.value != "little":
        return False
    whole = array.shards[1:] == array.chunks[1:] == array.shape[1:]
    return whole and sharding.index_location.value == "end" and len(sharding.index_codecs) == 2


def read_scattered(array: Any, rows: NDArray[np.int64], file_of: Callable[[int], Path]) -> NDArray[Any]:
    """Some rows of an array that `can_read` allows; `file_of` gives the file of a shard. Raises OSError, ValueError."""
    found = np.full((len(rows), *array.shape[1:]), array.fill_value, array.dtype)
    row_bytes, (per_shard, per_chunk) = found[:1].nbytes, (array.shards[0], array.chunks[0])
    for shard in np.unique(rows // per_shard).tolist():
        file = file_of(shard)
        if not file.is_file():
            continue  # zarr makes none where all is the fill value
        facts = file.stat()
        starts = _starts(file, per_shard // per_chunk, facts.st_size, facts.st_mtime_ns)
        with file.open("rb", buffering=0) as opened:
            for place in np.flatnonzero(rows // per_shard == shard).tolist():
                chunk, row = divmod(int(rows[place]) % per_shard, per_chunk)
                if starts[chunk] != _NONE:
                    opened.seek(int(starts[chunk]) + row * row_bytes)
                    _fill(opened, found[place : place + 1])
    return found


def _fill(opened: Any, row: NDArray[Any]) -> None:
    if opened.readinto(row.view(np.uint8)) != row.nbytes:
        raise ValueError("the file ends within a row")


@lru_cache(maxsize=4096)
def _starts(file: Path, chunks: int, size: int, changed_ns: int) -> NDArray[np.uint64]:
    """Where each chunk of a shard begins: the index at the end of its file, which a checksum of four bytes follows."""
    with file.open("rb", buffering=0) as opened:
        opened.seek(size - 16 * chunks - 4)
        index = np.frombuffer(opened.read(16 * chunks), "<u8").reshape(chunks, 2)
    return index[:, 0]
