"""A finished store written into one HDF5 file, which is whole at once or not there at all (docs/format.md)."""

import hashlib
import json
from pathlib import Path

import h5py
import numpy as np

from gaid.files import replacing
from gaid.stores.hdf5 import ATTRIBUTES
from gaid.stores.reader import StoreReader

HDF5_SUFFIXES = (".h5", ".hdf5")
# What a file's attributes hold in their own form, or not at all.
_OF_FILES = ("digests", "failures", "remarks", "sources", "library", "arrays", "transcriber")


def write_hdf5(store: StoreReader, target: Path) -> None:
    """Writes a finished store to `target`, shard by shard."""
    layout = store.layout
    attributes = {key: value for key, value in store.arrays.attributes.items() if key not in _OF_FILES}
    attributes["arrays"] = store.arrays.names()
    attributes["failures"] = store.failures
    if store.remarks:
        attributes["remarks"] = store.remarks
    if store.arrays.transcriber is not None:
        attributes["transcriber"] = store.arrays.transcriber
    if store.arrays.sources is not None:
        attributes["sources"] = store.arrays.sources
    digests = {}
    with replacing(target) as working, h5py.File(working, "w", libver="latest") as file:
        for name in store.arrays.names():
            array = store.arrays[name]
            shape = array.shape
            chunks = (min(layout["chunk_rows"], shape[0]), *shape[1:]) if len(shape) > 1 and 0 not in shape else None
            written = file.create_dataset(name, shape, array.dtype, chunks=chunks, fletcher32=chunks is not None)
            digest, step = hashlib.sha256(), layout["shard_rows"] if name.startswith("videos/") else 4096
            for start in range(0, len(array), step):
                piece = np.ascontiguousarray(array[start : start + step])
                written[start : start + len(piece)] = piece
                digest.update(piece.tobytes())
            digests[name] = digest.hexdigest()
        text = json.dumps({**attributes, "digests": digests}, sort_keys=True).encode()
        file.create_dataset(ATTRIBUTES, data=np.frombuffer(text, np.uint8))
        file.create_dataset(f"{ATTRIBUTES}_sha256", data=np.frombuffer(hashlib.sha256(text).digest(), np.uint8))
