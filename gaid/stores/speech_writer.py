"""Writing what is said in a shard's clips into the folder of a store or part: arrays first, their marker last."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from gaid.files import sync_folder
from gaid.stores.creation import digest_files, write_marker
from gaid.stores.inventory import Inventory
from gaid.stores.schema import digest_json
from gaid.stores.speech import GROUP, TYPES, Speech, marker_of

# An array has its bytes on disk even where all values are the fill value.
_WRITE_ALL: Any = {"write_empty_chunks": True}


def write_piece(root: Path, fingerprint: str, shard: int, speech: Speech, lacking: Iterable[int] = ()) -> None:
    """Writes the speech of a shard's rows into the folder of a store or part, then its marker. `lacking`: rows of it, counted
    from its first, that were not heard."""
    drop_piece(root, shard)
    inventory, place = Inventory(root), root / GROUP / f"{shard:05d}"
    group = zarr.open_group(root, mode="r+", zarr_format=3)
    sizes = {}
    for name, dtype in TYPES.items():
        values = np.ascontiguousarray(getattr(speech, name), dtype)
        sizes[name] = list(values.shape)
        array = group.create_array(
            f"{GROUP}/{shard:05d}/{name}", shape=values.shape, dtype=dtype, chunks=tuple(max(n, 1) for n in values.shape),
            compressors=None, fill_value=0, config=_WRITE_ALL,
        )  # fmt: skip
        if values.size:
            array[...] = values
    files = digest_files(root, (file for file in place.rglob("*") if file.is_file()))
    for folder in {root / parent for file in files for parent in Path(file).parents}:
        sync_folder(folder)
    marker = {
        "fingerprint": fingerprint,
        "shard": digest_json(inventory.markers[f"{shard:05d}"]["files"]),
        "transcriber": dict(speech.transcriber),
        "lacking": sorted(lacking),
        "shapes": sizes,
        "files": files,
    }
    write_marker(root / "shards" / f"{marker_of(shard)}.json", marker)


def drop_piece(root: Path, shard: int) -> None:
    """Deletes the speech of a shard, its marker first."""
    (root / "shards" / f"{marker_of(shard)}.json").unlink(missing_ok=True)
    shutil.rmtree(root / GROUP / f"{shard:05d}", ignore_errors=True)
