"""A folder of a million files compared with its library: nothing new, and a few files new.

The files are real, of sizes without bytes (holes), the library's features one number per clip: what is measured is looking at the folder, finding
what is new, and keeping that, not decoding. Memory is what these take beyond what was held before.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Case, Findings, Goal, Options, once
from gaid.datasets import get_spec, load_dataset
from gaid.extract.growth import compare, known_listing
from gaid.extract.plan import digest_clips
from gaid.source_files import Listing, Source
from gaid.stores import StorePlan, StoreWriter
from gaid.stores.library_writer import LibraryWriter, Rows
from gaid.stores.schema import iter_texts

FILES, PER_FOLDER, NEW = 1_000_000, 1000, 10
SECONDS = 60


def run(options: Options) -> Findings:
    files = 2000 if options.quick else FILES
    with tempfile.TemporaryDirectory(prefix="gaid-library-") as place:
        root, out = Path(place) / "clips", Path(place) / "s.zarr"
        make_files(root, range(files))
        make_library(root, out)
        timings = {"as it was": once(lambda: look(root, out), options)}
        make_files(root, range(files, files + NEW))
        timings[f"{NEW} files new"] = once(lambda: grow(root, out), options)
    cases = [
        Case(f"{files:,} files, {name}", "gaid", {"gaid": timing}, units=files, unit="files")
        for name, timing in timings.items()
    ]
    goals = [
        Goal(
            f"{files:,} files, {name}: under {SECONDS} s",
            f"{timing.median:.1f} s, {timing.peak_bytes / files:.0f} bytes per file",
            timing.median < SECONDS,
        )
        for name, timing in timings.items()
    ]
    return Findings("library", cases, goals)


def make_files(root: Path, numbers: range) -> None:
    """Files of holes, each of a size of its own, in folders of a thousand."""
    for number in numbers:
        folder = root / f"{number // PER_FOLDER:04d}"
        if number % PER_FOLDER == 0 or number == numbers.start:
            folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"a clip with a name {number:07d}.mp4").open("wb") as file:
            file.truncate(number + 1)


def look(root: Path, out: Path) -> None:
    """What an extraction of an unchanged folder does: it looks at all files, and finds nothing new."""
    with LibraryWriter.open(out) as library:
        assert known_listing(library) == Listing.of([("", root)], get_spec("folder").grows)


def grow(root: Path, out: Path) -> None:
    """What an extraction does beside decoding: it looks, finds the new files, and makes the clips of the folder the live ones."""
    with LibraryWriter.open(out) as library:
        listing = Listing.of([("", root)], get_spec("folder").grows)
        dataset = load_dataset("folder", root)
        plan = plan_of(dataset.video_ids, root, digest_clips(dataset))
        growth = compare(library, dataset, listing, plan)
        assert len(growth.lacking) == NEW
        part = _fill(library, plan_of([video.id for video in growth.lacking], root))
        growth.fill(part)
        library.commit(plan, growth.rows, Rows.of([]), growth.arrays)


def make_library(root: Path, out: Path) -> None:
    """A library of all files as they are, grown once."""
    listing = Listing.of([("", root)], get_spec("folder").grows)
    ids = [path.removesuffix(".mp4") for path in iter_texts(listing.names, listing.offsets)]
    facts = zip(listing.sizes.tolist(), listing.changed_ns.tolist(), strict=True)
    sources = [[Source(size, changed, f"sha256:{size:064d}")] for size, changed in facts]
    plan = plan_of(ids, root)
    with StoreWriter.open(out, plan) as writer:
        _write(writer, sources)
        writer.finish()
    with LibraryWriter.open(out) as library:
        growth = compare(library, load_dataset("folder", root), listing, plan)
        library.commit(plan, growth.rows, Rows.of([]), growth.arrays)


def plan_of(ids: Sequence[str], root: Path, clips: str = "") -> StorePlan:
    rows = min(50_000, max(1, len(ids)))
    attrs = {"dataset": {"name": "folder", "root": str(root)}, "backbones": {}, "sampling": {"clips": clips}}
    return StorePlan(ids, [], [], [], [0], {}, "all", 1, 1, 1, 1, attrs=attrs, shard_rows=rows, chunk_rows=rows)


def _fill(library: LibraryWriter, plan: StorePlan) -> str:
    with library.new_part(plan) as writer:
        _write(writer, [[Source(0, 0, f"sha256:new {row}")] for row in range(NEW)])
    return library.reread(writer).name


def _write(writer: StoreWriter, sources: list[list[Source]]) -> None:
    writer.write_captions(np.empty((0, 1), np.float16), np.empty((0, 1), np.float16))
    for number in writer.pending_shards:
        rows = writer.shard_slice(number)
        count = rows.stop - rows.start
        arrays: dict[str, Any] = {
            "visual": np.zeros((count, 1, 1), np.float16),
            "audio": np.zeros((count, 1, 1), np.float16),
            "audio_mask": np.zeros((count, 1), bool),
            "audio_state": np.full(count, 2, np.uint8),
            "valid": np.ones(count, bool),
            "time": np.zeros((count, 1), np.float32),
            "duration": np.ones(count, np.float32),
        }
        writer.write_shard(number, arrays, [], sources[rows])
