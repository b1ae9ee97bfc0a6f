"""Rows that lie far apart in a sharded array of zarr, or that are small, read from their files as they lie there.

zarr reads whole chunks, which for a search's candidates is fifty times what is wanted, and takes a millisecond for each file,
which holds no more than a few hundred bytes of a small array. Only arrays laid out as the format
says (docs/format.md) are read so: shards cut along the first axis, chunks without compression, the index at the end.
"""

import os
from collections.abc import Callable
from functools import lru_cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, ShardingCodec

from gaid.stores.remote import RemotePath

_NONE = 2**64 - 1  # the place of a chunk that holds the fill value only


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


def read_scattered(array: Any, rows: NDArray[np.int64], file_of: Callable[[int], str]) -> NDArray[Any]:
    """Some rows (ascending) of an array that `can_read` allows; `file_of` gives the file of a shard. Raises OSError, ValueError."""
    found = np.full((len(rows), *array.shape[1:]), array.fill_value, array.dtype)
    per_shard, per_chunk, size = array.shards[0], array.chunks[0], found[:1].nbytes
    cuts = np.flatnonzero((np.diff(rows) != 1) | (np.diff(rows // per_chunk) != 0)) + 1
    runs = pairwise(
        [0, *cuts.tolist(), len(rows)] if len(rows) else []
    )  # rows that lie together in a chunk are read at once
    for shard, of_shard in groupby(runs, lambda run: int(rows[run[0]]) // per_shard):
        file = file_of(shard)
        try:
            opened = os.open(file, os.O_RDONLY)
        except FileNotFoundError:
            continue  # zarr makes none where all is the fill value
        try:
            facts = os.fstat(opened)
            starts = _starts(file, per_shard // per_chunk, facts.st_size, facts.st_mtime_ns)
            for start, stop in of_shard:
                chunk, within = divmod(int(rows[start]) % per_shard, per_chunk)
                if starts[chunk] != _NONE:
                    read = os.pread(opened, size * (stop - start), starts[chunk] + within * size)
                    found[start:stop] = _rows(read, found[start:stop])
        finally:
            os.close(opened)
    return found


def read_elsewhere(array: Any, rows: NDArray[np.int64], file_of: Callable[[int], RemotePath]) -> NDArray[Any]:
    """The same from object storage: two requests per shard, or a few more where rows lie far apart."""
    found = np.full((len(rows), *array.shape[1:]), array.fill_value, array.dtype)
    per_shard, per_chunk, size = array.shards[0], array.chunks[0], found[:1].nbytes
    for shard, of_shard in groupby(enumerate(rows.tolist()), lambda one: one[1] // per_shard):
        file = file_of(shard)
        if not file.is_file():
            continue
        chunks = per_shard // per_chunk
        (index,) = file.read_parts([file.stat().st_size - 16 * chunks - 4], [16 * chunks])
        starts = np.frombuffer(index, "<u8")[::2].tolist()
        places = [(place, *divmod(row % per_shard, per_chunk)) for place, row in of_shard]
        wanted = {place: starts[chunk] + within * size for place, chunk, within in places if starts[chunk] != _NONE}
        parts = file.read_parts([*wanted.values()], [size] * len(wanted)) if wanted else []
        for place, part in zip(wanted, parts, strict=True):
            found[place] = _rows(bytes(part), found[place])
    return found


def _rows(read: bytes, like: NDArray[Any]) -> NDArray[Any]:
    if len(read) != like.nbytes:
        raise ValueError("the file ends within a row")
    return np.frombuffer(read, like.dtype).reshape(like.shape)


@lru_cache(maxsize=1 << 16)
def _starts(file: str, chunks: int, size: int, changed_ns: int) -> list[int]:
    """Where each chunk of a shard begins: the index at the end of its file, which a checksum of four bytes follows."""
    with Path(file).open("rb", buffering=0) as opened:
        opened.seek(size - 16 * chunks - 4)
        index = np.frombuffer(opened.read(16 * chunks), "<u8").reshape(chunks, 2)
    found: list[int] = index[:, 0].tolist()
    return found
