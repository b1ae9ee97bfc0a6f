"""How a store's folder comes to be: whole at once with the marker of its first files, and its census when it is finished.

What is filled in between is left to `writer`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from numpy.typing import NDArray

from gaid.errors import StoreLocked
from gaid.files import sync_file, sync_folder, write_bytes
from gaid.stores import zarr as zarr_arrays
from gaid.stores.census import take_census
from gaid.stores.inventory import CENSUS, PLAN, digest_attributes
from gaid.stores.reader import StoreReader
from gaid.stores.schema import AUDIO_STATES, ArraySpec, StorePlan, to_json


def lock_store(target: Path) -> FileLock:
    """The lock of the store at `target`, held. Raises StoreLocked where another process has it."""
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StoreLocked(f"{target}: another process is extracting into it; wait for it or stop it") from error
    return lock


def attributes_of(plan: StorePlan, arrays: Iterable[str]) -> dict[str, Any]:
    """The attributes that a store of this plan has from its start; `arrays` are the names of all its arrays."""
    return {
        "gaid_schema": plan.schema,
        "fingerprint": plan.fingerprint,
        "identity": plan.identity,
        "layout": plan.layout,
        "attrs": json.loads(json.dumps(dict(plan.attrs))),
        "audio_states": list(AUDIO_STATES),
        "arrays": sorted(arrays),
    }


def create_folder(
    path: Path, attributes: Mapping[str, Any], whole: Mapping[str, NDArray[Any]], filled: list[ArraySpec]
) -> None:
    """A folder of arrays at `path` with its first marker: `whole` written, `filled` empty. There whole at once, or not."""
    working = path.with_name(f".{path.name}.creating")
    layout = attributes["layout"]
    zarr_arrays.create(working, attributes, whole, filled, layout["shard_rows"], layout["chunk_rows"])
    (working / "shards").mkdir()
    files = [file for file in working.rglob("*") if file.is_file() and file != working / "zarr.json"]
    marker = {"files": digest_files(working, files), "attributes": digest_attributes(attributes)}
    write_marker(working / "shards" / f"{PLAN}.json", marker)
    for file in [*files, working / "zarr.json"]:
        sync_file(file)
    for folder in [working, *(folder for folder in working.rglob("*") if folder.is_dir())]:
        sync_folder(folder)
    working.rename(path)
    sync_folder(path.parent)


def finish_folder(path: Path, store: StoreReader) -> None:
    """Writes the census of `store` into the folder `path`, and failures.jsonl."""
    marker = path / "shards" / f"{CENSUS}.json"
    marker.unlink(missing_ok=True)  # of an earlier finish, before a shard was made anew
    lines = "".join(json.dumps(failure, ensure_ascii=False) + "\n" for failure in store.failures)
    write_bytes(path / "failures.jsonl", lines.encode())
    document = json.loads((path / "zarr.json").read_text())
    census = document["attributes"]["census"] = take_census(store)
    write_bytes(path / "zarr.json", json.dumps(document, indent=2).encode())
    write_marker(marker, {"fingerprint": store.fingerprint, "census": census, "files": {}})


def digest_files(root: Path, files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of files by their place in the store."""
    found = {}
    for file in sorted(files):
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        found[file.relative_to(root).as_posix()] = {"bytes": file.stat().st_size, "sha256": digest}
    return found


def write_marker(path: Path, marker: Mapping[str, Any]) -> None:
    """Writes a marker with a digest of itself, so that damage to it is not taken for damage to data. The digest comes first, so
    that a reader need not spell the rest again to compare it."""
    rest = to_json(marker)
    write_bytes(path, b'{"digest":"%s",' % hashlib.sha256(rest).hexdigest().encode() + rest[1:])
