"""Filling a store shard by shard, so that a kill at any instant loses at most the shards in flight.

"Done" is a marker, written last: a shard's arrays are written whole and synced, then `shards/NNNNN.json` with the digests of
their bytes. That data is present means nothing. One shard has one writer (zarr loses data where two write one shard).
"""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from gaid.errors import DataInvalid, OptionInvalid, StoreInvalid, StoreLocked, StoresDisagree
from gaid.files import follow, sync_folder, write_bytes
from gaid.paths import local_path
from gaid.source_files import Sources
from gaid.stores import zarr as zarr_arrays
from gaid.stores.creation import attributes_of, create_folder, digest_files, finish_folder, lock_store, write_marker
from gaid.stores.deletion import clear_deletion, delete_store
from gaid.stores.differences import differences
from gaid.stores.hdf5 import Hdf5Arrays
from gaid.stores.hdf5_writer import HDF5_SUFFIXES, write_hdf5
from gaid.stores.inventory import sources_file
from gaid.stores.library import FOLDER
from gaid.stores.schema import StorePlan, caption_arrays, to_json, video_arrays
from gaid.stores.speech_writer import drop_piece
from gaid.stores.store import Store, open_store

CAPTIONS = "captions"
WRITERS = 4  # arrays of a shard that are written at once


class StoreWriter:
    """One store being filled. Open with `StoreWriter.open` (the run) or `StoreWriter.attach` (a worker of it)."""

    def __init__(self, path: Path, target: Path, lock: FileLock | None) -> None:
        self.path = path
        self.target = target
        self._lock = lock
        self._pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="store-writer")
        # A file of HDF5 is never extended: nothing is left to do where one of the same plan is there.
        self._whole = path.is_file()
        self._attributes = _attributes_of(path)
        self.layout = self._attributes["layout"]
        self.fingerprint: str = self._attributes["fingerprint"]

    # Opening

    @classmethod
    def open(cls, path: str | Path, plan: StorePlan, overwrite: bool = False) -> "StoreWriter":
        """Begins the store of this plan at `path` (.zarr, .h5, .hdf5), or resumes it. A store that was begun in schema 1 is resumed in
        schema 1, and so has no captions in the sound's own text space: `has_audio_text` says what it has.

        Raises: StoresDisagree when another plan's store is there, naming what differs; StoreLocked when another process
        writes it; StoreInvalid when something else is there; OptionInvalid for another suffix.
        """
        target = follow(local_path(path))
        if target.suffix not in (".zarr", *HDF5_SUFFIXES):
            raise OptionInvalid(f"{target}: a store's name ends in .zarr, .h5 or .hdf5")
        working = target if target.suffix == ".zarr" else target.with_name(f"{target.name}.shards.zarr")
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = lock_store(target)
        try:
            for place in {target, working}:
                clear_deletion(place)
            if overwrite:
                for place in {target, working}:
                    if place.exists():
                        delete_store(place)
            if target != working and target.exists():
                _check_same(target, open_store(target), plan)
                # The file is whole, since it was renamed into place; shards beside it are left from an interrupted deletion.
                shutil.rmtree(working, ignore_errors=True)
                return cls(target, target, lock)
            if working.exists():
                _check_same(target, open_store(working, incomplete=True), plan)
                if (working / FOLDER).is_dir():
                    raise StoreInvalid(
                        f"{target}: is a library that has grown; extract its whole folder again by name (--dataset folder)"
                    )
            else:
                _create(working, plan)
            return cls(working, target, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def attach(cls, path: str | Path, fingerprint: str) -> "StoreWriter":
        """The writer of a worker, for a store that another process opened and keeps locked."""
        writer = cls(Path(path), Path(path), None)
        if writer.fingerprint != fingerprint:
            raise StoresDisagree(f"{path}: not the store that this shard was planned for; start the extraction again")
        return writer

    def __enter__(self) -> "StoreWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Releases the lock."""
        self._pool.shutdown()
        if self._lock is not None:
            self._lock.release()

    # What there is to do

    @property
    def shards(self) -> range:
        """Numbers of all shards."""
        return range(-(-self.layout["videos"] // self.layout["shard_rows"]))

    @property
    def pending_shards(self) -> tuple[int, ...]:
        """Shards without a marker."""
        return tuple(number for number in self.shards if not self._done(number))

    @property
    def captions_done(self) -> bool:
        return self._done(CAPTIONS)

    @property
    def has_audio_text(self) -> bool:
        """Whether captions are written in the sound's own text space as well."""
        return bool(self.layout.get("audio_text"))

    @property
    def finished(self) -> bool:
        return "census" in self._attributes and not self.pending_shards and self.captions_done

    def shard_slice(self, number: int) -> slice:
        """Rows of a shard."""
        rows = self.layout["shard_rows"]
        return slice(number * rows, min((number + 1) * rows, self.layout["videos"]))

    def _done(self, name: int | str) -> bool:
        return self._whole or self._marker(name).exists()

    def _marker(self, name: int | str) -> Path:
        return self.path / "shards" / (f"{name:05d}.json" if isinstance(name, int) else f"{name}.json")

    def reopen(self, numbers: Iterable[int]) -> None:
        """Makes finished shards pending again, to be extracted anew; everything else stays as it is."""
        for number in numbers:
            drop_piece(self.path, number)
            self._marker(number).unlink(missing_ok=True)
        sync_folder(self.path / "shards")

    # Writing

    def write_shard(
        self,
        number: int,
        arrays: Mapping[str, NDArray[Any]],
        failures: list[dict[str, str]] | None = None,
        sources: Sequence[Sources] | None = None,
        remarks: list[dict[str, str]] | None = None,
    ) -> None:
        """Writes a shard's rows: `visual`, `audio`, `audio_mask`, ... by name (`short` may be absent), then its marker.

        `sources`: the files that each row comes from, where they are known. `remarks`: notes on clips' pictures (id, kind,
        message).

        Raises DataInvalid for arrays that do not fit the plan and for valid rows that are not finite; StoreLocked for a shard
        that is written already.
        """
        if number not in self.shards or self._done(number):
            raise StoreLocked(f"{self.target}: shard {number} is written already; a shard has one writer")
        rows = self.shard_slice(number)
        given = {f"videos/{name}": values for name, values in arrays.items()}
        specs = video_arrays(self.layout)
        given.setdefault("videos/short", np.zeros(rows.stop - rows.start, bool))
        if set(given) != set(specs):
            raise DataInvalid(f"shard {number}: arrays {sorted(set(given) ^ set(specs))} are missing or unknown")
        for name, spec in specs.items():
            wanted = (rows.stop - rows.start, *spec.shape[1:])
            if given[name].shape != wanted:
                raise DataInvalid(f"shard {number}: {name} has shape {given[name].shape}, expected {wanted}")
        valid = given["videos/valid"].astype(bool)
        floats = [name for name, spec in specs.items() if spec.dtype.startswith("float")]
        for name, finite in zip(
            floats, self._pool.map(lambda name: is_finite(given[name], valid), floats), strict=True
        ):
            if not finite:
                raise DataInvalid(f"shard {number}: {name} of a valid row is not finite")
        more: dict[str, Any] = {"failures": failures or []}
        if remarks:
            more["remarks"] = remarks
        files = self._write_sources(number, sources) if sources is not None else {}
        self._write(
            number, rows.start, {name: given[name].astype(specs[name].dtype, copy=False) for name in specs}, more, files
        )

    def _write_sources(self, number: int, sources: Sequence[Sources]) -> dict[str, dict[str, Any]]:
        """Writes the facts about a shard's source files, and returns its file as a marker lists it."""
        file = self.path / sources_file(f"{number:05d}")
        write_bytes(file, to_json([[one and one.plain() for one in of_row] for of_row in sources]))
        return digest_files(self.path, [file])

    def write_captions(
        self, embedding: NDArray[Any], tokens: NDArray[Any], audio_embedding: NDArray[Any] | None = None
    ) -> None:
        """Writes all captions' embeddings (C, Dt), tokens (L, Dt) and, where the plan has them, embeddings in the sound's own
        text space (C, Da), then their marker.

        Raises DataInvalid for arrays that do not fit the plan.
        """
        given = {"captions/embedding": embedding, "captions/tokens": tokens}
        if audio_embedding is not None:
            given["captions/audio_embedding"] = audio_embedding
        specs = caption_arrays(self.layout)
        if set(given) != set(specs):
            raise DataInvalid(f"captions: arrays {sorted(set(given) ^ set(specs))} are missing or unknown")
        for name, spec in specs.items():
            if given[name].shape != spec.shape or not is_finite(given[name], np.ones(len(given[name]), bool)):
                raise DataInvalid(f"{name} has shape {given[name].shape}, expected {spec.shape}, all finite")
        self._write(
            CAPTIONS, 0, {name: values.astype(np.float16, copy=False) for name, values in given.items()}, {}, {}
        )

    def _write(
        self,
        name: int | str,
        start: int,
        arrays: Mapping[str, NDArray[Any]],
        more: Mapping[str, Any],
        files: Mapping[str, dict[str, Any]],
    ) -> None:
        """Arrays first, synced with the folders that name their files; their marker last. `files`: written already."""

        def write(array: str, values: NDArray[Any]) -> dict[str, dict[str, Any]]:
            return digest_files(self.path, zarr_arrays.write_rows(self.path, array, start, values))

        # Writes, digests and syncs would wait for one another in one thread.
        digests = dict(files)
        for of_array in self._pool.map(write, arrays, arrays.values()):
            digests |= of_array
        folders = {self.path / parent for file in digests for parent in Path(file).parents}
        list(self._pool.map(sync_folder, folders))
        count = len(next(iter(arrays.values())))
        marker = {
            "rows": [start, start + count],
            "fingerprint": self.fingerprint,
            **more,
            "files": dict(sorted(digests.items())),
        }
        write_marker(self._marker(name), marker)

    def finish(self) -> Store:
        """Takes the census, writes failures.jsonl, and makes the HDF5 file where one was asked for.

        Raises StoreInvalid while shards or captions are missing.
        """
        if self._whole:
            return open_store(self.target)
        if self.pending_shards or not self.captions_done:
            raise StoreInvalid(f"{self.target}: {len(self.pending_shards)} shards are not written yet")
        finish_folder(self.path, open_store(self.path, incomplete=True))
        if self.target == self.path:
            return open_store(self.path)
        write_hdf5(open_store(self.path), self.target)
        finished = open_store(self.target)
        shutil.rmtree(self.path)
        return finished


def _create(path: Path, plan: StorePlan) -> None:
    """Creates a store with everything but features; whole at once, or not there."""
    whole = plan.small_arrays()
    filled = [*video_arrays(plan.layout).values(), *caption_arrays(plan.layout).values()]
    create_folder(path, attributes_of(plan, [*whole, *(spec.name for spec in filled)]), whole, filled)


def _attributes_of(path: Path) -> dict[str, Any]:
    """The attributes of a store that was opened and found in order."""
    if path.is_dir():
        attributes: dict[str, Any] = json.loads((path / "zarr.json").read_text())["attributes"]
        return attributes
    with closing(Hdf5Arrays(path)) as arrays:
        return arrays.attributes


def _check_same(target: Path, store: Store, plan: StorePlan) -> None:
    found = differences(store, plan.as_of(store.schema))
    if found:
        raise StoresDisagree(
            f"{target}: can't be resumed, since it was begun with other settings or data: {'; '.join(found)}; give those, "
            "extract elsewhere (--out), or replace it (--overwrite)"
        )


def is_finite(values: NDArray[Any], rows: NDArray[np.bool_]) -> bool:
    """Whether the chosen rows hold finite numbers only."""
    chosen = values if rows.all() else values[rows]
    # A thousand rows at a time, so that intermediate results stay in the cache.
    return all(_block_is_finite(chosen[start : start + 1000]) for start in range(0, len(chosen), 1000))


def _block_is_finite(values: NDArray[Any]) -> bool:
    if values.dtype == np.float16:
        # All bits of the exponent set means infinite or NaN; numpy's own test in half precision is many times slower.
        return not bool(((np.ascontiguousarray(values).view(np.uint16) & 0x7C00) == 0x7C00).any())
    return bool(np.isfinite(values).all())
