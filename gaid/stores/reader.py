"""What is in a store on disk: its attributes, its arrays and which shards are done. `store` makes splits of it."""

from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gaid.errors import DataMissing, StoreIncomplete, StoreInvalid
from gaid.paths import whole_path
from gaid.source_files import Source, Sources
from gaid.stores.arrays import read_all
from gaid.stores.hdf5 import Hdf5Arrays
from gaid.stores.library import CURRENT, FOLDER, LibraryArrays, current_view
from gaid.stores.remote import Place, place_of
from gaid.stores.schema import SCHEMA_VERSION, TEXTS, caption_arrays, decode_texts, digest_json, video_arrays
from gaid.stores.speech import Speech
from gaid.stores.zarr import ZarrArrays

# Each of its encoders is a random projection of its own, so equal sizes are not a shared space.
_SPACELESS = "tiny"


class StoreReader:
    """A store, read only. `reader["videos/visual"]` is array-like; `[:]` reads it."""

    def __init__(self, path: Place, arrays: ZarrArrays | Hdf5Arrays | LibraryArrays) -> None:
        self.path = path
        self.state: State = ()
        self.arrays = arrays
        raw = arrays.attributes
        schema = raw.get("gaid_schema")
        if schema is None and (isinstance(arrays, Hdf5Arrays) or not arrays.inventory.markers):
            raise StoreInvalid(f"{path}: not a gaid store (it has no gaid_schema); make one with `gaid extract`")
        if isinstance(schema, int) and schema > SCHEMA_VERSION:
            raise StoreInvalid(f"{path}: schema {schema}; this gaid reads up to {SCHEMA_VERSION}: install a newer one")
        arrays.check()
        try:
            self.identity: dict[str, Any] = raw["identity"]
            self.layout: dict[str, Any] = raw["layout"]
            self.fingerprint: str = raw["fingerprint"]
            self.provenance: dict[str, Any] = raw["attrs"]
            expected = digest_json(self.identity)
        except (KeyError, TypeError) as error:
            raise StoreInvalid(f"{path}: its attributes lack {error}; extract it again") from error
        if expected != self.fingerprint:
            raise StoreInvalid(f"{path}: its fingerprint is not that of its contents; extract it again")
        self.census: dict[str, int] = raw.get("census", {})
        self._check_shapes()

    def _check_shapes(self) -> None:
        """Compares shapes with the layout and with the bytes on disk before anything is allocated."""
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
                raise StoreInvalid(f"{self.path}: {name} does not have the {self.layout[count]} entries of the layout")

    @classmethod
    def open(cls, path: str | Path, incomplete: bool = False) -> Self:
        """As `open_store`."""
        place = place_of(path)
        if isinstance(place, Path) and not place.exists():
            begun = place.with_name(f"{place.name}.shards.zarr").exists()
            remedy = "an extraction into it has begun: run it again" if begun else "make one with `gaid extract`"
            raise DataMissing(f"{place}: no store there; {remedy}")
        state = state_of(place)  # before anything is read: a change from here on is seen
        store = cls(place, open_arrays(place))
        store.state = state
        if not incomplete and store.missing_shards:
            total = len(store.shards) + 1
            raise StoreIncomplete(
                f"{place}: {len(store.missing_shards)} of {total} parts are not extracted yet; the same `gaid extract` again "
                "resumes it"
            )
        return store

    # What it is

    @property
    def address(self) -> str:
        """Where it is, as runs keep it: the whole path, or the address on object storage."""
        return str(whole_path(self.path) if isinstance(self.path, Path) else self.path)

    @property
    def attrs(self) -> dict[str, Any]:
        """Where the features come from, with the census, the fingerprint and the schema."""
        return {
            **self.provenance, "schema": self.schema, "fingerprint": self.fingerprint,
            "census": self.census, "default_protocol": self.layout["default_protocol"],
            **({"transcriber": found} if (found := self.arrays.transcriber) else {}),
        }  # fmt: skip

    @property
    def dataset(self) -> str:
        return str(self.provenance.get("dataset", {}).get("name", self.path.stem))

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
        """(tokens, dim) of a frame's audio; None where the store has embeddings only."""
        tokens = self.layout.get("audio_tokens")
        return (int(tokens[0]), int(tokens[1])) if tokens else None

    def shares_space(self, kind: str) -> bool:
        """Whether cosines compare the texts with the vectors of `kind` (visual, audio): one model encoded both."""
        dim = self.visual_dim if kind == "visual" else self.audio_dim
        return self.backbone(kind) == self.backbone("text") != _SPACELESS and dim == self.text_dim

    @property
    def hears_without_training(self) -> bool:
        """Whether cosines compare the sounds with the captions in the sound's own text space."""
        return self.has_audio_text and self.backbone("audio") != _SPACELESS

    def backbone(self, kind: str) -> str:
        """The name of the encoder of a kind (visual, audio, text)."""
        return str(self.provenance.get("backbones", {}).get(kind, {}).get("name", "?"))

    @property
    def has_audio_text(self) -> bool:
        """Whether captions are there in the sound's own text space as well (`captions/audio_embedding`)."""
        return bool(self.layout.get("audio_text"))

    @property
    def schema(self) -> int:
        """The version of the format that the store was written in."""
        return int(self.arrays.attributes["gaid_schema"])

    @property
    def audio_clip_token_shape(self) -> tuple[int, int] | None:
        """(tokens, dim) of a clip's whole sound; None where the store has none."""
        tokens = self.layout.get("audio_clip_tokens")
        return (int(tokens[0]), int(tokens[1])) if tokens else None

    @property
    def audio_token_dims(self) -> dict[str, int]:
        """Sizes of the audio tokens that the store has, by what a head calls them: of frames (`tokens`), of clips (`clip`)."""
        shapes = {"tokens": self.audio_token_shape, "clip": self.audio_clip_token_shape}
        return {name: shape[1] for name, shape in shapes.items() if shape is not None}

    @property
    def default_protocol(self) -> str:
        return str(self.layout["default_protocol"])

    @property
    def random_weights(self) -> bool:
        return bool(self.provenance.get("random_weights", False))

    @cached_property
    def ids(self) -> list[str]:
        """All videos asked for, valid or not."""
        return self.texts("videos/id")

    @cached_property
    def valid(self) -> NDArray[np.bool_]:
        """(V) which videos have features, as it was when it was first asked for."""
        return self.whole("videos/valid").astype(bool)

    @property
    def protocols(self) -> dict[str, dict[str, int]]:
        """The number of captions in each part of each split protocol."""
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
        """The parts that are not written yet: shard numbers, `captions`."""
        return self.arrays.missing([*(f"{number:05d}" for number in self.shards), "captions"])

    @property
    def complete(self) -> bool:
        return not self.missing_shards

    @property
    def failures(self) -> list[dict[str, str]]:
        """Videos without features: id, reason, message."""
        return self.arrays.failures

    @property
    def remarks(self) -> list[dict[str, str]]:
        """Notes on clips' pictures: id, kind (replaced, one picture, long gap), message."""
        return self.arrays.remarks

    @property
    def sources(self) -> dict[str, Sources]:
        """The source files of each video, by id; empty for an unfinished store, or one made before they were recorded."""
        found = self.arrays.sources if self.complete else None
        if found is None:
            return {}
        return {name: [Source.of(one) for one in files] for name, files in zip(self.ids, found, strict=True) if files}

    def source(self, row: int) -> Sources:
        """The source files of one video, by its row; none where they were not recorded."""
        return [Source.of(one) for one in self.arrays.source(row)]

    @property
    def file_names(self) -> list[tuple[str, str]] | None:
        """The path of each video's file and of its sound's ("" for none) under the data set's root, where they are kept."""
        return self.arrays.file_names

    @property
    def speech(self) -> Speech | None:
        """What is said in the clips, by their rows; None where they are not transcribed, or not all of them yet."""
        return self.arrays.speech

    def row_keys(self) -> NDArray[np.uint64]:
        """(V) a number for each video by which what was made of its features is known again: it follows from the bytes of the
        features, so that another extraction gives other numbers. Rows that share their features share it."""
        return self.arrays.row_keys()

    # Arrays

    def __getitem__(self, name: str) -> Any:
        if name in TEXTS:
            return np.array(self.texts(name), dtype=object)
        if name not in self.arrays:
            raise KeyError(f"{name}: not in {self.path}; there are {', '.join(self.names())}")
        return self.arrays[name]

    def names(self) -> list[str]:
        """Names of all arrays; texts under their own name."""
        packed = {f"{name}_{kind}" for name in TEXTS for kind in ("bytes", "offsets")}
        return sorted({*self.arrays.names(), *TEXTS} - packed)

    def texts(self, name: str) -> list[str]:
        """The texts of an array of TEXTS."""
        return decode_texts(read_all(self.arrays[f"{name}_bytes"]), read_all(self.arrays[f"{name}_offsets"]))

    def rows(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Some rows of an array in memory; each once and ascending."""
        return self.arrays.rows(name, rows)

    def whole(self, name: str) -> NDArray[Any]:
        """A whole array in memory."""
        return self.arrays.rows(name, np.arange(self[name].shape[0]))

    def iter_shards(self, names: tuple[str, ...] = ("videos/visual", "videos/audio")) -> Iterator[dict[str, Any]]:
        """The written shards in order, for what does not fit into memory: `rows` (a slice) and the named arrays."""
        missing = set(self.missing_shards)
        size = self.layout["shard_rows"]
        for number in self.shards:
            if f"{number:05d}" not in missing:
                rows = slice(number * size, min((number + 1) * size, self.layout["videos"]))
                yield {"rows": rows, **{name: self[name][rows] for name in names}}


State = tuple[int, ...]


def state_of(path: Place) -> State:
    """Numbers that change when a store on this machine does: when it grows, or is extracted again. None of one elsewhere."""
    if not isinstance(path, Path):
        return ()
    files = (path / "zarr.json", path / FOLDER / CURRENT) if path.is_dir() else (path,)
    state: list[int] = []
    for file in files:
        with suppress(FileNotFoundError, NotADirectoryError):
            facts = file.stat()
            state += facts.st_ino, facts.st_size, facts.st_mtime_ns
    return tuple(state)


def open_arrays(path: Place) -> ZarrArrays | Hdf5Arrays | LibraryArrays:
    """The arrays of the store at `path`, whatever it is kept in. Of a library they are the live rows alone: nobody who
    reads a store has to leave out the others."""
    if isinstance(path, Path) and not path.is_dir():
        return Hdf5Arrays(path)
    view = current_view(path)
    return ZarrArrays(path) if view is None else LibraryArrays(path, view)
