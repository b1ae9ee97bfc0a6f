"""Reading a store: its arrays, splits of it, census and failures. Writing is `writer`, checking `verify`."""

import hashlib
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import DataMissing, OptionInvalid, StoreIncomplete, StoreInvalid
from gaid.files import check_folder
from gaid.paths import local_path
from gaid.source_files import Source, Sources
from gaid.stores import hdf5
from gaid.stores.census import census_of, census_of_parts, members_of
from gaid.stores.hdf5 import Hdf5Arrays
from gaid.stores.schema import (
    SCHEMA_VERSION,
    TEXTS,
    StorePlan,
    caption_arrays,
    decode_texts,
    digest_json,
    video_arrays,
)  # fmt: skip
from gaid.stores.split import Split, hash_gallery
from gaid.stores.zarr import ZarrArrays, read_all

if TYPE_CHECKING:
    from gaid.stores.verify import VerifyReport

HDF5_SUFFIXES = (".h5", ".hdf5")


class Store:
    """A finished store (or, asked for, an unfinished one), read only. `store["videos/visual"]` is array-like; `[:]` reads it."""

    def __init__(self, path: Path, arrays: ZarrArrays | Hdf5Arrays) -> None:
        self.path = path
        self.arrays = arrays
        raw = arrays.attributes
        schema = raw.get("gaid_schema")
        if schema is None and (isinstance(arrays, Hdf5Arrays) or not arrays.inventory.markers):
            raise StoreInvalid(f"{path}: no gaid store (it has no gaid_schema); make one with `gaid extract`")
        if isinstance(schema, int) and schema > SCHEMA_VERSION:
            raise StoreInvalid(f"{path}: schema {schema}; this gaid reads up to {SCHEMA_VERSION}: install a newer one")
        arrays.check()
        try:
            self.identity: dict[str, Any] = raw["identity"]
            self.layout: dict[str, Any] = raw["layout"]
            self.fingerprint: str = raw["fingerprint"]
            self._attrs: dict[str, Any] = raw["attrs"]
            expected = digest_json(self.identity)
        except (KeyError, TypeError) as error:
            raise StoreInvalid(f"{path}: its attributes lack {error}; extract it again") from error
        if expected != self.fingerprint:
            raise StoreInvalid(f"{path}: its fingerprint is not that of its contents; extract it again")
        self.census: dict[str, int] = raw.get("census", {})
        self._check_shapes()

    def _check_shapes(self) -> None:
        """Shapes are held to the layout and to the bytes on disk before anything is allocated."""
        for spec in [*video_arrays(self.layout).values(), *caption_arrays(self.layout).values()]:
            if spec.name not in self.arrays:
                raise StoreInvalid(f"{self.path}: the array {spec.name} is missing; extract it again")
            array = self.arrays[spec.name]
            if tuple(array.shape) != spec.shape or str(array.dtype) != spec.dtype:
                raise StoreInvalid(
                    f"{self.path}: {spec.name} is {array.dtype} {tuple(array.shape)}, expected {spec.dtype} {spec.shape}"
                )
        for name, count in (("videos/id", "videos"), ("captions/id", "captions")):
            entries = self.arrays[f"{name}_offsets"].shape[0]
            on_disk = self.arrays.bytes_on_disk(f"{name}_offsets")
            if entries != self.layout[count] + 1 or on_disk < 8 * entries:
                raise StoreInvalid(
                    f"{self.path}: {name} has not the {self.layout[count]} entries that the layout tells"
                )

    # What it is

    @property
    def attrs(self) -> dict[str, Any]:
        """Where the features come from, with the census, the fingerprint and the schema."""
        return {
            **self._attrs, "schema": self.arrays.attributes["gaid_schema"], "fingerprint": self.fingerprint,
            "census": self.census, "default_protocol": self.layout["default_protocol"],
        }  # fmt: skip

    @property
    def dataset(self) -> str:
        return str(self._attrs.get("dataset", {}).get("name", self.path.stem))

    @property
    def frames(self) -> int:
        return int(self.layout["frames"])

    @property
    def visual_dim(self) -> int:
        return int(self.layout["visual_dim"])

    @property
    def audio_dim(self) -> int:
        return int(self.layout["audio_dim"])

    @property
    def text_dim(self) -> int:
        return int(self.layout["text_dim"])

    @property
    def patch_shape(self) -> tuple[int, int] | None:
        """(patches, dim) of a frame's patch tokens; None where the store has none."""
        patches = self.layout["patches"]
        return (int(patches[0]), int(patches[1])) if patches else None

    @property
    def audio_token_shape(self) -> tuple[int, int] | None:
        """(tokens, dim) of the sound of a frame's window; None where the store has embeddings only."""
        tokens = self.layout.get("audio_tokens")
        return (int(tokens[0]), int(tokens[1])) if tokens else None

    @property
    def default_protocol(self) -> str:
        return str(self.layout["default_protocol"])

    @property
    def random_weights(self) -> bool:
        return bool(self._attrs.get("random_weights", False))

    @cached_property
    def ids(self) -> list[str]:
        """All videos asked for, valid or not."""
        return self._texts("videos/id")

    @property
    def protocols(self) -> dict[str, dict[str, int]]:
        """Captions of each part of each protocol."""
        found: dict[str, dict[str, int]] = {}
        for name in self.arrays.names():
            if name.startswith("splits/"):
                _, protocol, part = name.split("/")
                found.setdefault(protocol, {})[part] = int(self.arrays[name].shape[0])
        return found

    # What is done

    @property
    def shards(self) -> range:
        return range(-(-self.layout["videos"] // self.layout["shard_rows"]))

    @property
    def missing_shards(self) -> tuple[str, ...]:
        """Names of what is not written yet: shard numbers, `captions`."""
        if isinstance(self.arrays, Hdf5Arrays):
            return ()
        there = self.arrays.inventory.markers
        return tuple(name for name in [*(f"{number:05d}" for number in self.shards), "captions"] if name not in there)

    @property
    def complete(self) -> bool:
        return not self.missing_shards

    @property
    def failures(self) -> list[dict[str, str]]:
        """Videos without features: id, reason, message."""
        return self.arrays.failures

    @property
    def remarks(self) -> list[dict[str, str]]:
        """What is to be known of clips' pictures: id, kind (replaced, one picture, long gap), message."""
        return self.arrays.remarks

    @property
    def sources(self) -> dict[str, Sources]:
        """What is known of the files of each video, by id; empty where a store of before did not record it, or is not finished."""
        found = self.arrays.sources if self.complete else None
        if found is None:
            return {}
        return {name: [Source.of(one) for one in files] for name, files in zip(self.ids, found, strict=True) if files}

    # Reading

    def __getitem__(self, name: str) -> Any:
        if name in TEXTS:
            return np.array(self._texts(name), dtype=object)
        if name not in self.arrays:
            raise KeyError(f"{name}: not in {self.path}; there are {', '.join(self.names())}")
        return self.arrays[name]

    def names(self) -> list[str]:
        """Names of all arrays; texts under their own name."""
        packed = {f"{name}_{kind}" for name in TEXTS for kind in ("bytes", "offsets")}
        return sorted({*self.arrays.names(), *TEXTS} - packed)

    def _texts(self, name: str) -> list[str]:
        return decode_texts(read_all(self.arrays[f"{name}_bytes"]), read_all(self.arrays[f"{name}_offsets"]))

    def split(self, part: str = "test", protocol: str | None = None) -> Split:
        """A part of the data set in memory. Raises OptionInvalid for a part or protocol that is not there."""
        protocol = protocol or self.default_protocol
        members = members_of(self, part, protocol)
        valid, kept, rows = members.valid, members.gallery, members.captions
        place = np.full(len(valid), -1, np.int64)
        place[kept] = np.arange(len(kept))
        texts, ids = self._texts("captions/text"), self._texts("captions/id")
        video_ids = [self.ids[row] for row in kept]
        arrays = {name: self._rows(f"videos/{name}", kept) for name in
                  ("visual", "audio", "audio_mask", "audio_state", "time", "duration")}  # fmt: skip
        return Split(
            part=part, protocol=protocol, video_ids=video_ids, **arrays,
            caption_ids=[ids[row] for row in rows], caption_texts=[texts[row] for row in rows],
            text=self._rows("captions/embedding", rows), caption_video=place[members.caption_video],
            store_fingerprint=self.fingerprint, census=census_of(self, members.videos, rows),
            gallery_hash=hash_gallery(video_ids),
            read_patches=partial(self._rows, "videos/patches", kept) if self.patch_shape else None,
            read_audio_tokens=partial(self._rows, "videos/audio_tokens", kept) if self.audio_token_shape else None,
        )  # fmt: skip

    def whole(self, name: str) -> NDArray[Any]:
        """A whole array in memory."""
        return self._rows(name, np.arange(self[name].shape[0]))

    def _rows(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Some rows of an array, which rise."""
        array = self[name]
        if not len(rows):
            return np.empty((0, *array.shape[1:]), array.dtype)
        return self.arrays.rows(name, rows)

    def iter_shards(self, names: tuple[str, ...] = ("videos/visual", "videos/audio")) -> Iterator[dict[str, Any]]:
        """The written shards one after the other, for what does not fit into memory: `rows` (a slice) and the arrays named."""
        missing = set(self.missing_shards)
        size = self.layout["shard_rows"]
        for number in self.shards:
            if f"{number:05d}" not in missing:
                rows = slice(number * size, min((number + 1) * size, self.layout["videos"]))
                yield {"rows": rows, **{name: self[name][rows] for name in names}}

    # Telling

    def info(self) -> dict[str, Any]:
        """What `gaid store info` tells, as JSON holds it."""
        arrays = {
            name: {
                "shape": list(self.arrays[name].shape),
                "dtype": str(self.arrays[name].dtype),
                "bytes": self.arrays.bytes_on_disk(name),
            }
            for name in self.arrays.names()
        }
        files = [self.path] if self.path.is_file() else [file for file in self.path.rglob("*") if file.is_file()]
        return {
            "path": str(self.path),
            "format": "hdf5" if isinstance(self.arrays, Hdf5Arrays) else "zarr",
            "complete": self.complete,
            "missing_shards": list(self.missing_shards),
            "bytes": sum(file.stat().st_size for file in files),
            "files": len(files),
            "splits": self.protocols,
            "parts": census_of_parts(self),
            "failures": len(self.failures),
            "sources_recorded": len(self.sources),
            "arrays": arrays,
            "attributes": self.attrs,
        }

    def content_digest(self) -> str:
        """sha256 over everything that two extractions of the same must share: identity, failures, all arrays' values."""
        digest = hashlib.sha256(digest_json([self.identity, self.failures]).encode())
        for name in self.arrays.names():
            values = read_all(self.arrays[name])
            digest.update(f"{name} {values.dtype} {values.shape}".encode())
            digest.update(values.tobytes())
        return digest.hexdigest()

    def verify(self) -> "VerifyReport":
        """Reads every byte against its digest and every array against the schema's invariants."""
        from gaid.stores.verify import verify_store

        return verify_store(self.path)

    def plan(self) -> StorePlan:
        """The plan that this store was made by."""
        layout = self.layout
        return StorePlan(
            video_ids=self.ids,
            caption_ids=self._texts("captions/id"),
            caption_texts=self._texts("captions/text"),
            caption_video=[int(row) for row in self["captions/video"][:]],
            token_offsets=[int(offset) for offset in self["captions/token_offsets"][:]],
            splits={
                protocol: {part: [int(row) for row in self[f"splits/{protocol}/{part}"][:]] for part in parts}
                for protocol, parts in self.protocols.items()
            },
            default_protocol=self.default_protocol,
            frames=self.frames, visual_dim=self.visual_dim, audio_dim=self.audio_dim, text_dim=self.text_dim,
            patches=self.patch_shape, audio_tokens=self.audio_token_shape,
            attrs=self._attrs, shard_rows=layout["shard_rows"], chunk_rows=layout["chunk_rows"],
        )  # fmt: skip


def open_store(path: str | Path, incomplete: bool = False) -> Store:
    """Opens a store to read; an unfinished one only if asked for.

    Raises: DataMissing when nothing is there; StoreInvalid for what is no store, or of a newer schema; StoreIncomplete;
    StoreCorrupt where a file is missing or is not of the size that was written.
    """
    path = local_path(path)
    if not path.exists():
        begun = path.with_name(f"{path.name}.shards.zarr").exists()
        remedy = "an extraction into it has begun: run it again" if begun else "make one with `gaid extract`"
        raise DataMissing(f"{path}: no store there; {remedy}")
    store = Store(path, ZarrArrays(path) if path.is_dir() else Hdf5Arrays(path))
    if not incomplete and store.missing_shards:
        total = len(store.shards) + 1
        raise StoreIncomplete(
            f"{path}: {len(store.missing_shards)} of {total} parts are not extracted yet; the same `gaid extract` again goes on"
        )
    return store


def convert_store(source: str | Path, target: str | Path) -> Store:
    """The same store in the format of the target's suffix (.zarr, .h5, .hdf5); nothing is lost either way.

    Raises: OptionInvalid when the target is there already or has another suffix; StoreIncomplete for an unfinished source.
    """
    target = Path(target)
    store = open_store(source)
    if target.exists():
        raise OptionInvalid(f"{target}: is there already; name another place")
    check_folder(target.parent, "TARGET")
    if target.suffix in HDF5_SUFFIXES:
        target.parent.mkdir(parents=True, exist_ok=True)
        kept = {key: value for key, value in store.arrays.attributes.items() if key not in ("digests", "failures")}
        if store.remarks:
            kept["remarks"] = store.remarks
        if store.arrays.sources is not None:
            kept["sources"] = store.arrays.sources
        step = store.layout["shard_rows"] if isinstance(store.arrays, ZarrArrays) else 4096
        hdf5.write(
            target,
            {**kept, "failures": store.failures},
            (
                (
                    name,
                    tuple(array.shape),
                    array.dtype,
                    (array[row : row + step] for row in range(0, array.shape[0], step)),
                )
                for name in store.arrays.names()
                for array in [store.arrays[name]]
            ),
            store.layout["chunk_rows"],
        )
        return open_store(target)
    if target.suffix != ".zarr":
        raise OptionInvalid(f"{target}: a store's name ends in .zarr, .h5 or .hdf5")
    from gaid.stores.writer import StoreWriter

    sources = store.sources
    failures: dict[str, dict[str, str]] = {failure["id"]: failure for failure in store.failures}
    with StoreWriter.open(target, store.plan()) as writer:
        writer.write_captions(store["captions/embedding"][:], store["captions/tokens"][:])
        for number in writer.pending_shards:
            rows = writer.shard_slice(number)
            arrays = {name.removeprefix("videos/"): store[name][rows] for name in video_arrays(store.layout)}
            names = store.ids[rows]
            listed = [failures[name] for name in names if name in failures]
            writer.write_shard(number, arrays, listed, [sources.get(name, ()) for name in names] if sources else None,
                               [one for one in store.remarks if one["id"] in set(names)])  # fmt: skip
        return writer.finish()
