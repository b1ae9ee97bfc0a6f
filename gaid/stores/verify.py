"""Checking a store: every byte against the digest that was taken when it was written, every array against the schema."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gaid.errors import GaidError
from gaid.stores.hdf5 import Hdf5Arrays
from gaid.stores.schema import AUDIO_STATES, digest_json
from gaid.stores.zarr import read_all

if TYPE_CHECKING:
    from gaid.stores.store import Store


@dataclass
class VerifyReport:
    """What was read and what was wrong with it; each problem is one line that names the place."""

    files: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


def verify(store: "Store") -> VerifyReport:
    """Reads the whole store. Raises nothing for damage: the report tells it."""
    report = VerifyReport()
    if isinstance(store.arrays, Hdf5Arrays):
        _check_file(store, report)
    else:
        _check_folder(store, report)
    if report.ok:
        _check_invariants(store, report)
    return report


def _check_file(store: "Store", report: VerifyReport) -> None:
    digests: dict[str, str] = store.arrays.attributes["digests"]
    names = store.arrays.names()
    report.files = 1
    report.problems += [f"{name}: is missing" for name in digests if name not in names]
    report.problems += [f"{name}: was not written by gaid" for name in names if name not in digests]
    for name in names:
        try:
            values = read_all(store.arrays[name])
        except (OSError, ValueError) as error:
            report.problems.append(f"{name}: can't be read ({error})")
            continue
        report.bytes += values.nbytes
        if name in digests and hashlib.sha256(values.tobytes()).hexdigest() != digests[name]:
            report.problems.append(f"{name}: its values are not those that were written")


def _check_folder(store: "Store", report: VerifyReport) -> None:
    try:
        markers = store.markers()
    except GaidError as error:
        report.problems.append(str(error))
        return
    report.problems += [f"shards/{name}.json: not written yet" for name in store.missing_shards]
    if "plan" not in markers:
        report.problems.append("shards/plan.json: is missing")
    elif markers["plan"]["attributes"] != digest_json(
        {key: value for key, value in store.arrays.attributes.items() if key != "census"}
    ):
        report.problems.append("zarr.json: its attributes are not those that were written")
    for name, marker in markers.items():
        if name != "plan" and marker["fingerprint"] != store.fingerprint:
            report.problems.append(f"shards/{name}.json: of another store")
        for place, expected in marker["files"].items():
            _check_bytes(store.path / place, place, expected, report)


def _check_bytes(file: Path, place: str, expected: dict[str, Any], report: VerifyReport) -> None:
    if not file.is_file():
        report.problems.append(f"{place}: is missing")
        return
    data = file.read_bytes()
    report.files += 1
    report.bytes += len(data)
    if len(data) != expected["bytes"]:
        report.problems.append(f"{place}: has {len(data)} bytes, written were {expected['bytes']}")
    elif hashlib.sha256(data).hexdigest() != expected["sha256"]:
        report.problems.append(f"{place}: its bytes are not those that were written")


def _check_invariants(store: "Store", report: VerifyReport) -> None:
    """What the schema promises beyond shapes."""
    from gaid.stores.census import take_census

    def expect(holds: bool, fault: str) -> None:
        if not holds:
            report.problems.append(fault)

    valid = read_all(store["videos/valid"])
    mask = read_all(store["videos/audio_mask"])
    states = read_all(store["videos/audio_state"])
    sounds = ("videos/audio", "videos/audio_tokens") if store.audio_token_shape else ("videos/audio",)
    finite = ("videos/visual", "videos/time", *sounds)
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
    offsets = read_all(store["captions/token_offsets"])
    expect(
        bool(offsets[0] == 0 and (np.diff(offsets) >= 0).all() and offsets[-1] == store.layout["tokens"]),
        "captions/token_offsets: not rising from 0 to the number of tokens",
    )
    failed = {failure["id"] for failure in store.failures}
    expect(
        failed == {name for name, good in zip(store.ids, valid, strict=True) if not good},
        "failures: not those of the invalid rows",
    )
    if store.census:
        # A store made before there was an entry lacks it.
        now = take_census(store)
        expect(all(now.get(name) == told for name, told in store.census.items()), "census: not that of the contents")
