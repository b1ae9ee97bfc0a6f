"""Checks a store: every byte against the digest taken when it was written, every array against the schema."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gaid.errors import StoreCorrupt
from gaid.paths import local_path
from gaid.stores.arrays import read_all
from gaid.stores.census import take_census
from gaid.stores.hdf5 import Hdf5Arrays
from gaid.stores.inventory import PLAN, fault_of, marker_files, read_marker
from gaid.stores.library import FOLDER
from gaid.stores.reader import StoreReader
from gaid.stores.schema import AUDIO_STATES
from gaid.stores.speech import Speech


@dataclass
class VerifyReport:
    """What was read and the problems found; each is one line that names the place."""

    files: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


def verify_store(path: str | Path) -> VerifyReport:
    """Reads the whole store at `path`. Damage is in the report; anything but a store raises, as in `open_store`."""
    path, report = local_path(path), VerifyReport()
    if path.is_dir() and (path / "shards").is_dir():
        for folder in folders_of(path):
            _check_files(path, folder, report)
    if not report.ok:
        return report
    try:
        store = StoreReader.open(path, incomplete=True)
        if isinstance(store.arrays, Hdf5Arrays):
            _check_arrays(store, report)
        report.problems += [f"shards/{name}.json: not written yet" for name in store.missing_shards]
        if report.ok:
            _check_invariants(store, report)
    except StoreCorrupt as error:
        report.problems.append(str(error))
    return report


def _check_arrays(store: StoreReader, report: VerifyReport) -> None:
    """Compares the arrays of an HDF5 file with their digests."""
    digests: dict[str, str] = store.arrays.attributes["digests"]
    names = store.arrays.names()
    report.files = 1
    report.problems += [f"{name}: was not written by gaid" for name in names if name not in digests]
    for name in names:
        try:
            values = read_all(store.arrays[name])
        except StoreCorrupt as error:
            report.problems.append(str(error))
            continue
        report.bytes += values.nbytes
        if name in digests and hashlib.sha256(values.tobytes()).hexdigest() != digests[name]:
            report.problems.append(f"{name}: its values are not those that were written")


def folders_of(root: Path) -> list[Path]:
    """The folders of arrays with markers that a store consists of: itself, and the parts and views of a library."""
    return [root, *sorted(one for one in (root / FOLDER).glob("*.zarr") if not one.name.startswith("."))]


def _check_files(root: Path, folder: Path, report: VerifyReport) -> None:
    """Compares the files of a folder of the store `root` with its markers."""
    start = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
    if not (folder / "zarr.json").is_file():
        report.problems.append(f"{start}zarr.json: is missing")
    found = marker_files(folder)
    if PLAN not in found:
        report.problems.append(f"{start}shards/plan.json: is missing")
    listed: set[str] = set()
    for file in found.values():
        try:
            marker = read_marker(file)
        except StoreCorrupt as error:
            report.problems.append(str(error))
            continue
        listed |= marker["files"].keys()
        for place, expected in marker["files"].items():
            fault = fault_of(folder / place, expected, read=True)
            report.files += 1
            report.bytes += expected["bytes"]
            if fault:
                report.problems.append(f"{start}{place}: {fault}")
    if not report.ok:
        return
    # zarr makes no file for a shard of fill values, and would read one that is there.
    for file in sorted(folder.glob("videos/*/c/**/*")):
        number, *rest = file.relative_to(folder).parts[3:]
        place = file.relative_to(folder).as_posix()
        is_shard = file.is_file() and all(part.isascii() and part.isdigit() for part in (number, *rest))
        if is_shard and f"{int(number):05d}" in found and place not in listed:
            report.problems.append(f"{start}{place}: was not written by gaid")


def _check_speech(speech: Speech, videos: int, expect: Callable[[bool, str], None]) -> None:
    for name, offsets, count, last in (
        ("offsets", speech.offsets, videos, len(speech)),
        ("text_offsets", speech.text_offsets, len(speech), len(speech.text_bytes)),
    ):
        rising = len(offsets) == count + 1 and offsets[0] == 0 and offsets[-1] == last and (np.diff(offsets) >= 0).all()
        expect(bool(rising), f"speech/{name}: not rising from 0 to {last}, one more than {count}")
    expect(bool((speech.start >= 0).all() and (speech.start <= speech.end).all()), "speech/end: before the start")
    expect(len(speech.embedding) == len(speech) and bool(np.isfinite(speech.embedding).all()),
           "speech/embedding: not finite, or not one per segment")  # fmt: skip


def _check_invariants(store: StoreReader, report: VerifyReport) -> None:
    """Checks what the schema promises beyond shapes."""

    def expect(holds: bool, fault: str) -> None:
        if not holds:
            report.problems.append(fault)

    valid = read_all(store["videos/valid"])
    mask = read_all(store["videos/audio_mask"])
    states = read_all(store["videos/audio_state"])
    sounds = ("videos/audio", "videos/audio_tokens") if store.audio_token_shape else ("videos/audio",)
    # A clip without sound has tokens too, those of an empty picture, so they are not 0 by any mask.
    of_clips = ("videos/audio_clip_tokens",) if store.audio_clip_token_shape else ()
    finite = ("videos/visual", "videos/time", *sounds, *of_clips)
    for shard in store.iter_shards(finite):
        rows = valid[shard["rows"]]
        for name in finite:
            expect(bool(np.isfinite(shard[name][rows]).all()), f"{name}: not finite in rows {shard['rows']}")
        silent = ~mask[shard["rows"]]
        for name in sounds:
            expect(
                not shard[name][silent & rows[:, None]].any(),
                f"{name}: not 0 where the mask is false, {shard['rows']}",
            )
    expect(bool((states < len(AUDIO_STATES)).all()), "videos/audio_state: a state that does not exist")
    expect(not mask[(states != AUDIO_STATES.index("sound")) & valid].any(), "videos/audio_mask: true without sound")
    if store.speech is not None:
        _check_speech(store.speech, len(valid), expect)
    offsets = read_all(store["captions/token_offsets"])
    expect(
        bool(offsets[0] == 0 and (np.diff(offsets) >= 0).all() and offsets[-1] == store.layout["tokens"]),
        "captions/token_offsets: not rising from 0 to the number of tokens",
    )
    recorded = store.arrays.sources
    expect(recorded is None or not store.complete or len(recorded) == len(valid), "sources: not one entry per video")
    failed = {failure["id"] for failure in store.failures}
    expect(
        failed == {name for name, good in zip(store.ids, valid, strict=True) if not good},
        "failures: not those of the invalid rows",
    )
    if store.census:
        # Stores made before an entry was added lack it.
        now = take_census(store)
        expect(all(now.get(name) == told for name, told in store.census.items()), "census: not that of the contents")
