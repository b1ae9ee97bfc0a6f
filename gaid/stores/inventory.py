"""The files that a store consists of, by its markers, and checks of them: sizes at opening, digests when they are read.

A missing file would otherwise be read as fill values, that is as videos without features or sound. Every file is listed in a
marker with its size and SHA-256. Sizes, and the bytes of small files, are compared at every opening; everything but the
features is compared again when it is read. The bytes of features are compared by `gaid store verify` only (`verify`).
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from gaid.errors import StoreCorrupt
from gaid.stores.remote import Place, RemotePath
from gaid.stores.schema import digest_json

PLAN, CENSUS = "plan", "census"
SOURCES = "sources"  # the folder of the facts about source files
# Attributes that are added later, so that the plan's marker cannot hold them.
LATER = ("census",)
AT_ONCE = 16  # markers
ALTERED = "its bytes are not those that were written"
DIGEST_BYTES = len('{"digest":"') + 64 + len('",')  # with which a marker begins


def marker_files(root: Place) -> dict[str, Place]:
    """The files of a store's markers by name. Hidden files are not ours (`._00000.json`) or half written."""
    folder = root / "shards"
    found: list[Place] = sorted(folder.glob("*.json")) if folder.is_dir() else []
    return {file.stem: file for file in found if not file.name.startswith(".")}


def sources_file(shard: str) -> str:
    """The file, as seen from the store, of the facts about a shard's source files."""
    return f"{SOURCES}/{shard}.json"


def read_marker(file: Place) -> dict[str, Any]:
    """A marker, without the digest of itself. Raises StoreCorrupt."""
    try:
        raw = file.read_bytes()
        marker: dict[str, Any] = json.loads(raw)
        told = marker.pop("digest")
        # The digest is of what follows it; older markers are spelled differently, and spelled again to compare it.
        intact = told == hashlib.sha256(b"{" + raw[DIGEST_BYTES:]).hexdigest() or told == digest_json(marker)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        intact = False
    if not intact:
        raise StoreCorrupt(f"{file}: damaged; delete it and extract again: only its shard is made anew")
    return marker


def fault_of(file: str | Place, expected: Mapping[str, Any], read: bool) -> str:
    """What is wrong with a file of a store, in words, or nothing; `read` compares its bytes as well as its size."""
    try:
        # os.stat, since a Path's is slower, and there are thousands
        size = (file.stat() if isinstance(file, RemotePath) else os.stat(file)).st_size  # noqa: PTH116
        if size != expected["bytes"]:
            return f"has {size:,} bytes, {expected['bytes']:,} were written"
        if read and sha256_of(file) != expected["sha256"]:
            return ALTERED
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    except OSError as error:
        return f"can't be read ({error.strerror or error})"
    return ""


def sha256_of(file: str | Place) -> str:
    """The SHA-256 of a file. Raises OSError."""
    if isinstance(file, RemotePath):
        return hashlib.sha256(file.read_bytes()).hexdigest()
    with open(file, "rb", buffering=0) as opened:  # noqa: PTH123 (a Path's is slower, and there are thousands)
        return hashlib.sha256(opened.read()).hexdigest()


def digest_features(marker: Mapping[str, Any]) -> str:
    """A digest of the arrays of a shard: of its files' digests, but for the facts about source files."""
    files = sorted(place for place in marker["files"] if not place.startswith(f"{SOURCES}/"))
    return hashlib.sha256(" ".join(marker["files"][place]["sha256"] for place in files).encode()).hexdigest()


@dataclass
class Inventory:
    """A store's markers, and from them its files. Raises StoreCorrupt where a marker is damaged."""

    root: Place
    markers: dict[str, dict[str, Any]] = field(init=False)
    files: dict[str, Mapping[str, Any]] = field(init=False)
    _files: dict[str, Place] = field(init=False)
    _checked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._files = marker_files(self.root)
        self.markers = {}
        for name, marker in zip(self._files, self._at_once(read_marker, self._files.values()), strict=True):
            # Stores made before November 26, 2026 have them here: of a million rows they would hold a gigabyte.
            marker.pop("sources", None)
            self.markers[name] = marker
        self.files = {place: told for marker in self.markers.values() for place, told in marker["files"].items()}

    def _at_once(self, read: Callable[[Any], Any], wanted: Iterable[Any]) -> Iterator[Any]:
        """What is read of each, one by one; of a store elsewhere a few at once, since each waits for an answer."""
        if isinstance(self.root, Path):
            yield from map(read, wanted)
            return
        with ThreadPoolExecutor(AT_ONCE) as pool:
            rest = iter(wanted)
            while some := list(islice(rest, AT_ONCE)):
                yield from pool.map(read, some)

    def sources(self, rows: int) -> list[Any] | None:
        """The source files of each of a store's rows, none for rows that are not done; None where none was recorded."""
        found: list[Any] = [[]] * rows
        recorded = False
        for of_shard, sources in self.iter_sources():
            found[of_shard.start : of_shard.stop] = sources
            recorded = True
        return found if recorded else None

    def iter_sources(self) -> Iterator[tuple[range, list[Any]]]:
        """The rows of each shard that is done, and the source files of each; without shards for which none were recorded."""
        shards = [name for name in self.markers if name.isdigit()]
        for rows, sources in self._at_once(self.sources_of_shard, shards):
            if sources:
                yield rows, sources

    def sources_of_shard(self, name: str) -> tuple[range, list[Any]]:
        """The rows of a shard, and the source files of each; nothing where none were recorded. Raises StoreCorrupt."""
        place = sources_file(name)
        told, rows = self.files.get(place), range(*self.markers[name]["rows"])
        if told is None:
            return rows, read_marker(self._files[name]).get("sources", [])
        try:
            raw = (self.root / place).read_bytes()
        except OSError as error:
            raise self._corrupt(place, f"can't be read ({error.strerror or error})") from error
        if hashlib.sha256(raw).hexdigest() != told["sha256"]:
            raise self._corrupt(place, ALTERED)
        return rows, json.loads(raw)

    def check(self, attributes: Mapping[str, Any]) -> None:
        """Raises StoreCorrupt for the first file that is missing or not of its size, and for changed attributes."""
        if PLAN not in self.markers:
            raise self._corrupt("shards/plan.json", "is missing")
        if self.markers[PLAN]["attributes"] != digest_attributes(attributes):
            raise self._corrupt("zarr.json", "its attributes are not those that were written")
        for name, marker in self.markers.items():
            if name != PLAN and marker["fingerprint"] != attributes["fingerprint"]:
                raise self._corrupt(f"shards/{name}.json", "belongs to another store")
        told = self.markers.get(CENSUS)  # stores made before this marker existed have none
        if told is not None and told["census"] != attributes.get("census"):
            raise self._corrupt("zarr.json", "its census is not the one that was written")
        for place in self.files:
            self._check_file(place, read=isinstance(self.root, Path) and place.endswith("zarr.json"))

    def check_bytes(self, places: Iterable[str]) -> None:
        """Raises StoreCorrupt where one of these files is not what was written; each is checked once. Files elsewhere would be
        fetched twice for it, so they are taken as they are."""
        if not isinstance(self.root, Path):
            return
        for place in places:
            if place in self.files and place not in self._checked:
                self._check_file(place, read=True)
                self._checked.add(place)

    def check_sizes(self, places: Iterable[str]) -> None:
        """Raises StoreCorrupt where one of these files went since the store was opened; unlisted ones were never written."""
        for place in places:
            if place in self.files:
                self._check_file(place, read=False)

    def of_array(self, name: str) -> Iterator[str]:
        """The files of an array."""
        return (place for place in self.files if place.startswith(f"{name}/"))

    def bytes_of(self, name: str) -> int:
        """Bytes of an array on disk."""
        return sum(self.files[place]["bytes"] for place in self.of_array(name))

    def _check_file(self, place: str, read: bool) -> None:
        # a path's own joining is slower than looking
        file = self.root / place if isinstance(self.root, RemotePath) else f"{self.root}/{place}"
        fault = fault_of(file, self.files[place], read)
        if fault:
            raise self._corrupt(place, fault)

    def _corrupt(self, place: str, fault: str) -> StoreCorrupt:
        part = next((name for name, marker in self.markers.items() if place in marker["files"]), PLAN)
        anew = "extract again with --overwrite"
        if part != PLAN:
            anew = f"delete its shards/{part}.json and extract again, which makes that part anew"
        return StoreCorrupt(
            f"{self.root / place}: {fault}; `gaid store verify {self.root}` lists all damage; put the file back, or {anew}"
        )


def digest_attributes(attributes: Mapping[str, Any]) -> str:
    """The digest of the attributes that a store has from its start."""
    return digest_json({key: value for key, value in attributes.items() if key not in LATER})
