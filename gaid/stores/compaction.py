"""Takes back what a library no longer needs: rows that are not live, what a kill left, and parts of a few rows.

Live rows that share a shard with others are copied into a new part, the view is replaced, and only then is anything
deleted. A kill at any moment leaves the view before or the one after, both whole; the next run deletes the rest.
"""

import shutil
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from gaid.errors import StoreIncomplete
from gaid.files import sync_folder
from gaid.stores.convert import copy_captions, copy_rows, plan_of
from gaid.stores.inventory import SOURCES
from gaid.stores.library_writer import LibraryWriter, Part, Row, Rows
from gaid.stores.reader import StoreReader
from gaid.stores.schema import StorePlan, video_arrays
from gaid.stores.speech_writer import drop_piece

FEW = 200  # rows: a part of fewer is small
MOST_SMALL = 16  # more small parts than these are merged into one


@dataclass(frozen=True)
class PruneReport:
    """What was taken back: rows that were not live, and the bytes by which the store became smaller."""

    rows: int
    bytes: int


def prune_store(path: str | Path) -> PruneReport:
    """Deletes what a library keeps of clips that are gone or were replaced. Raises StoreLocked, StoreIncomplete."""
    with LibraryWriter.open(path) as library:
        if not library.grown:
            return PruneReport(0, 0)
        if library.view is None:
            raise StoreIncomplete(f"{library.path}: its last extraction is not finished; run it again, then prune")
        before, used = _bytes_of(library.path), set(library.live())
        rows = sum(len(part.rows) for part in library.parts.values()) - len(used)
        mixed = {
            (part.name, shard)
            for part in library.parts.values()
            for shard in part.shards
            if 0 < _count_live(part, shard, used) < len(part.rows_of(shard))
        }
        if mixed:
            _move(library, mixed)
        _sweep(library, set(library.parts))
        library.forget_earlier_views()
        return PruneReport(rows, before - _bytes_of(library.path))


def merge_small_parts(library: LibraryWriter) -> None:
    """Merges parts of few rows, all of them live, where there are many: each part costs time when a library is opened."""
    small = {part.name: part for part in library.parts.values() if part.name and len(part.rows) < FEW}
    if len(small) <= MOST_SMALL:
        return
    used = set(library.live())
    small = {
        name: part
        for name, part in small.items()
        if all(_count_live(part, shard, used) == len(part.rows_of(shard)) for shard in part.shards)
    }
    if len(small) > MOST_SMALL:
        _move(library, {(part.name, shard) for part in small.values() for shard in part.shards}, set(small))
        _sweep(library, set(small))


def _count_live(part: Part, shard: int, used: Collection[Row]) -> int:
    return sum(Row(part.name, row) in used for row in part.rows_of(shard))


def _move(library: LibraryWriter, shards: set[tuple[str, int]], dissolved: Collection[str] = ()) -> None:
    """Copies the live rows of some shards, and the live captions of the `dissolved` parts, into a new part."""
    if library.view is None:
        return
    store, videos, captions = StoreReader(library.path, library.view), library.live(), library.live_captions()
    rows_of_shard = {name: part.layout["shard_rows"] for name, part in library.parts.items()}
    of_videos = _first(videos, lambda row: (row.part, row.row // rows_of_shard[row.part]) in shards)
    of_captions = _first(captions, lambda row: row.part in dissolved)
    plan = plan_of(store)
    with library.new_part(_part_of(plan, of_videos, of_captions)) as writer:
        copy_captions(store, writer, np.array(of_captions, np.int64))
        copy_rows(store, writer, np.array(of_videos, np.int64))
    part = library.reread(writer)
    to_videos = {videos[row]: Row(part.name, place) for place, row in enumerate(of_videos)}
    to_captions = {captions[row]: Row(part.name, place) for place, row in enumerate(of_captions)}
    library.commit(
        plan,
        Rows.of([to_videos.get(row, row) for row in videos]),
        Rows.of([to_captions.get(row, row) for row in captions]),
        {name: library.own(name) for name in library.own_names()},
    )


def _first(rows: list[Row], wanted: Any) -> list[int]:
    """The places of the rows that are wanted, each row once."""
    seen: dict[Row, int] = {}
    for place, row in enumerate(rows):
        if wanted(row):
            seen.setdefault(row, place)
    return list(seen.values())


def _part_of(plan: StorePlan, videos: list[int], captions: list[int]) -> StorePlan:
    counts = [plan.token_offsets[row + 1] - plan.token_offsets[row] for row in captions]
    rows = min(FEW, max(1, len(videos)))
    return replace(
        plan,
        video_ids=[plan.video_ids[row] for row in videos],
        caption_ids=[plan.caption_ids[row] for row in captions],
        caption_texts=[plan.caption_texts[row] for row in captions],
        caption_video=[-1] * len(captions),
        token_offsets=list(accumulate(counts, initial=0)),
        splits={},
        shard_rows=rows if rows < 50 else rows - rows % 50,
        chunk_rows=min(50, rows),
    )


def _sweep(library: LibraryWriter, names: Collection[str]) -> None:
    """Deletes from some parts what the view does not name, markers first."""
    rows_of_shard = {name: part.layout["shard_rows"] for name, part in library.parts.items()}
    used = Counter((row.part, row.row // rows_of_shard[row.part]) for row in library.live())
    parts_used = {part for part, _ in used} | {row.part for row in library.live_captions()}
    for left in [*library.folder.glob(".*.deleting"), *library.folder.glob(".*.creating")]:
        shutil.rmtree(left)
    for part in [library.parts[name] for name in names]:
        folder = library.path / part.name
        if part.name and part.name not in parts_used:
            doomed = folder.with_name(f".{folder.name}.deleting")
            folder.rename(doomed)
            shutil.rmtree(doomed)
            folder.with_name(f".{folder.name}.lock").unlink(missing_ok=True)
            del library.parts[part.name]
            continue
        kept = {shard for shard in part.shards if used[part.name, shard]}
        for shard in {*part.shards} - kept:
            drop_piece(folder, shard)
            (folder / "shards" / f"{shard:05d}.json").unlink()
        sync_folder(folder / "shards")
        for file in (folder / SOURCES).glob("*.json"):
            if file.stem.isdigit() and int(file.stem) not in kept:
                file.unlink()
        for file in [
            file for name in video_arrays(part.layout) for file in folder.glob(f"{name}/c/**/*") if file.is_file()
        ]:
            number = file.relative_to(folder).parts[3]
            if number.isascii() and number.isdigit() and int(number) not in kept:
                file.unlink()


def _bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
