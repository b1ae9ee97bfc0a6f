"""What a library lacks of its folder: which clips are as they were, which files are known under another name, and which have
to be decoded. Decodes and writes nothing.

A file is the known one where its path, size and time of change are the same; otherwise its digest decides. All files are compared
as arrays, a number per name: only clips that are not as they were are looked at one by one.
"""

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gaid.datasets.types import Dataset, Video, WholeFiles
from gaid.errors import StoresDisagree
from gaid.extract.report import Changes
from gaid.paths import shown_path, whole_path
from gaid.source_files import Listing, digest_of, look_at
from gaid.stores.library_writer import ABSENT, LibraryWriter, Row, Rows
from gaid.stores.schema import StorePlan, iter_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

_READERS = 4
COLUMNS = tuple(Listing.__dataclass_fields__)
SOUNDS = "//"  # what the names of files in a separate folder of sounds begin with
_NOT_THERE = (*ABSENT, *ABSENT)


@dataclass
class Files:
    """The files of a data set's clips, of its own and of its sound's, as they are now.

    `names`: of each of these two the names in a listing as UTF-8, one after the other, and where each begins; "" for no sound.
    `facts` int64 (V, 4): size and time of change (ns) of both, ABSENT where there is none. `keys` (V): a number for the two names
    together, `ids` (V): one for the clip's id.
    """

    names: dict[str, tuple["NDArray[np.uint8]", "NDArray[np.int64]"]]
    facts: "NDArray[np.int64]"
    keys: "NDArray[np.int64]"
    ids: "NDArray[np.int64]"

    @classmethod
    def of(cls, dataset: Dataset, listing: Listing) -> "Files":
        """Sizes and times are those of the listing, so that a later change is seen later."""
        texts = {name: (bytearray(), array("q", [0])) for name in ("path", "sound")}
        numbers = {name: array("q") for name in ("path", "sound", "key", "id")}
        for clip, names in zip(dataset.video_ids, _Named(dataset).of_clips(), strict=True):
            for (kept, offsets), number, name in zip(texts.values(), ("path", "sound"), names, strict=True):
                kept += name.encode("utf-8", "surrogatepass")
                offsets.append(len(kept))
                numbers[number].append(hash(name))
            numbers["key"].append(hash(names))
            numbers["id"].append(hash(clip))
        found = {name: np.frombuffer(values, np.int64) for name, values in numbers.items()}
        facts = np.tile(np.array(_NOT_THERE, np.int64), (len(dataset.videos), 1))
        there = np.fromiter(map(hash, iter_texts(listing.names, listing.offsets)), np.int64, len(listing))
        order = np.argsort(there, kind="stable")
        for place, name in enumerate(("path", "sound")):
            where = _find(there, order, found[name])
            known = where >= 0
            facts[known, 2 * place] = listing.sizes[where[known]]
            facts[known, 2 * place + 1] = listing.changed_ns[where[known]]
            for row in np.flatnonzero(~known & (found[name] != hash(""))).tolist():
                path = _paths(dataset.videos[row])[place]
                facts[row, 2 * place : 2 * place + 2] = look_at(path) or ABSENT
        arrays = {
            name: (np.frombuffer(kept, np.uint8), np.frombuffer(offsets, np.int64))
            for name, (kept, offsets) in texts.items()
        }
        return cls(arrays, facts, found["key"], found["id"])


@dataclass
class Growth:
    """Where the features of each video are, in the data set's order, the videos that have none yet, and the files of all.

    `listing`: the files of the folder. `rows`: the part is -1 where there are no features. `read`: how many clips were the known
    ones by their digest only.
    """

    listing: Listing
    files: Files
    rows: Rows
    lacking: list[Video] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)
    read: int = 0

    @property
    def arrays(self) -> dict[str, "NDArray[Any]"]:
        """The files as a view keeps them for the next comparison."""
        arrays: dict[str, NDArray[Any]] = {}
        for name, (kept, offsets) in self.files.names.items():
            arrays |= {f"{name}_bytes": kept, f"{name}_offsets": offsets}
        arrays |= {f"listing_{name}": getattr(self.listing, name) for name in COLUMNS}
        return arrays | {"files": self.files.facts}

    def fill(self, part: str) -> None:
        """The videos that had no features are the rows of a part, in their order."""
        lacking = self.rows.part < 0
        self.rows.part[lacking] = len(self.rows.names)
        self.rows.row[lacking] = np.arange(len(self.lacking))
        self.rows.names.append(part)


@dataclass
class _Known:
    """The live clips of a library, as arrays: the number of each one's part and its row in it; a number for the names of its files,
    or for its id where these are not kept; its files when the library last looked at them; `recorded`: whether it did."""

    part: "NDArray[np.int64]"
    row: "NDArray[np.int64]"
    keys: "NDArray[np.int64]"
    by_id: bool
    facts: "NDArray[np.int64]"
    recorded: "NDArray[np.bool_]"

    @classmethod
    def of(cls, library: LibraryWriter) -> "_Known":
        """By id where names are not kept: in a store that never grew, or one that was joined."""
        if "files" in library.own_names():
            numbers = {name: number for number, name in enumerate(library.parts)}
            live = library.live_rows().places(numbers)
            names = [
                iter_texts(library.own(f"{name}_bytes"), library.own(f"{name}_offsets")) for name in ("path", "sound")
            ]
            keys = np.fromiter(map(hash, zip(*names, strict=True)), np.int64, len(live.row))
            return cls(live.part, live.row, keys, False, library.own("files"), np.ones(len(keys), bool))
        found = []
        for number, part in enumerate(library.parts.values()):
            rows = part.rows
            keys = np.fromiter(map(hash, part.ids), np.int64, len(part.ids))[rows]
            found.append((np.full(len(rows), number), rows, keys, part.files.facts[rows], part.files.counts[rows] > 0))
        part_of, rows, keys, facts, recorded = (np.concatenate(one) for one in zip(*found, strict=True))
        return cls(part_of, rows, keys, True, facts, recorded)

    @cached_property
    def order(self) -> "NDArray[np.int64]":
        """The places by key."""
        return np.argsort(self.keys, kind="stable")

    def find(self, files: Files) -> "NDArray[np.int64]":
        """The place of each of a data set's clips among these, -1 where it is not."""
        return _find(self.keys, self.order, files.ids if self.by_id else files.keys)


_Uncertain = tuple[int, Row | None]
"""A video, by its place in the data set, and its clip in the library if there is one."""


def compare(library: LibraryWriter, dataset: Dataset, listing: Listing, plan: StorePlan) -> Growth:
    """What of the data set the library has. Raises StoresDisagree where the folder is neither the library's nor a copy."""
    known, parts = _Known.of(library), list(library.parts)
    none = np.full(len(dataset.videos), -1, np.int64)
    growth = Growth(listing, Files.of(dataset, listing), Rows(parts, none, none.copy()))
    at = known.find(growth.files)
    _check_root(library, dataset, known, growth, at)
    rows, there = _PartRows(library, plan), at >= 0
    there[there] = rows.done(known.part[at[there]], known.row[at[there]])  # else its shard is lost
    alike, place = there.copy(), at[there]
    alike[there] = ~known.recorded[place] | (known.facts[place] == growth.files.facts[there]).all(1)
    place = np.flatnonzero(alike)
    for video in place[rows.undigested(known.part[at[place]], known.row[at[place]])].tolist():
        number, row = int(known.part[at[video]]), int(known.row[at[video]])
        alike[video] = not _is_doubtful(rows.parts[number].source(row), dataset.videos[video])
    growth.rows.part[alike], growth.rows.row[alike] = known.part[at[alike]], known.row[at[alike]]
    uncertain: list[_Uncertain] = [
        (video, Row(parts[known.part[at[video]]], int(known.row[at[video]])) if there[video] else None)
        for video in np.flatnonzero(~alike).tolist()
    ]
    _settle(dataset, uncertain, rows, growth)
    growth.changes.gone.extend(_gone(library, known, growth))
    return growth


def known_listing(library: LibraryWriter) -> Listing | None:
    """The files of the folder when the library was last brought up to date with it."""
    kept = "files" in library.own_names()
    return Listing(*(library.own(f"listing_{name}") for name in COLUMNS)) if kept else None


class _PartRows:
    """What is known of the rows of a library's parts, by the number of the part and the row in it. `plan`: a row counts as done if
    its shard is, and if its part has all that the plan has."""

    def __init__(self, library: LibraryWriter, plan: StorePlan) -> None:
        self.parts = list(library.parts.values())
        self._done = [np.zeros(part.layout["videos"], bool) for part in self.parts]
        for part, done in zip(self.parts, self._done, strict=True):
            if part.holds(plan):
                done[part.rows] = True

    def done(self, part: "NDArray[np.int64]", row: "NDArray[np.int64]") -> "NDArray[np.bool_]":
        """Whether these rows are done."""
        return self._of(self._done, part, row)

    def undigested(self, part: "NDArray[np.int64]", row: "NDArray[np.int64]") -> "NDArray[np.bool_]":
        """Whether a file of these rows has no digest: it changed while it was decoded, or could not be read to its end."""
        return self._of([one.files.undigested for one in self.parts], part, row)

    @staticmethod
    def _of(
        values: "list[NDArray[np.bool_]]", part: "NDArray[np.int64]", row: "NDArray[np.int64]"
    ) -> "NDArray[np.bool_]":
        found = np.zeros(len(part), bool)
        for number in np.unique(part).tolist():
            mine = part == number
            found[mine] = values[number][row[mine]]
        return found

    @cached_property
    def _by_size(self) -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]":
        """The sizes of the first files of all rows that are done and whose files are known, ascending, and their parts and rows."""
        sizes, parts, rows = [], [], []
        for number, (part, done) in enumerate(zip(self.parts, self._done, strict=True)):
            count, facts = part.files.counts, part.files.facts
            there = np.flatnonzero(done & (count > 0) & (facts[:, 0] >= 0) & ((count < 2) | (facts[:, 2] >= 0)))
            sizes.append(facts[there, 0])
            parts.append(np.full(len(there), number))
            rows.append(there)
        size = np.concatenate(sizes)
        order = np.argsort(size, kind="stable")
        return size[order], np.concatenate(parts)[order], np.concatenate(rows)[order]

    def of_files(self, video: Video, facts: "NDArray[np.int64]") -> list[Row]:
        """The rows that were made of files with the bytes of this clip's. Files are read only where a row has their sizes."""
        sizes, parts, rows = self._by_size
        span = slice(*(int(np.searchsorted(sizes, facts[0], side)) for side in ("left", "right")))
        paths, alike = _paths(video), []
        now = [int(facts[2 * place]) for place in range(len(paths))]
        for number, row in zip(parts[span].tolist(), rows[span].tolist(), strict=True):
            files = self.parts[number].source(row)
            if [one[0] for one in files] == now:
                alike.append((Row(self.parts[number].name, row), [one[2] for one in files]))
        if not alike:
            return []
        times = [int(facts[2 * place + 1]) for place in range(len(paths))]
        digests = [digest_of(*known) for known in zip(paths, now, times, strict=True)]
        return [row for row, known in alike if all(digests) and known == digests]


def _settle(dataset: Dataset, uncertain: list[_Uncertain], rows: _PartRows, growth: Growth) -> None:
    """Finds the rows of clips whose files are known by their digests; the others lack features."""
    numbers = {name: number for number, name in enumerate(growth.rows.names)}
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(lambda one: rows.of_files(dataset.videos[one[0]], growth.files.facts[one[0]]), uncertain)
        for (place, clip), alike in zip(uncertain, found, strict=True):
            video = dataset.videos[place]
            growth.read += bool(alike)
            if not alike:
                growth.lacking.append(video)
                (growth.changes.added if clip is None else growth.changes.replaced).append(video.id)
                continue
            if clip is None or clip not in alike:
                clip = alike[0]
                growth.changes.recognised.append(video.id)
            growth.rows.part[place], growth.rows.row[place] = numbers[clip.part], clip.row


def _gone(library: LibraryWriter, known: _Known, growth: Growth) -> Iterable[str]:
    """Ids of the live clips whose files are no longer there, and whose features no other clip has."""
    left = np.flatnonzero(~np.isin(known.keys, growth.files.ids if known.by_id else growth.files.keys)).tolist()
    if not left:
        return
    used, parts = (
        set(zip(growth.rows.part.tolist(), growth.rows.row.tolist(), strict=True)),
        list(library.parts.values()),
    )
    ids = [] if known.by_id else library.ids()
    for place in left:
        part, row = int(known.part[place]), int(known.row[place])
        if (part, row) not in used:
            yield parts[part].ids[row] if known.by_id else ids[place]


class _Named:
    """The names of clips' files in a listing: their paths under the root, or under the folder of the sounds."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        folders = ((dataset.root, ""), (dataset.audio_root, SOUNDS))
        self._starts = [(os.fspath(folder) + os.sep, prefix) for folder, prefix in folders if folder]

    def of_clips(self) -> Iterator[tuple[str, str]]:
        """Of each clip's file and of its sound's, "" where that is none."""
        videos = self._dataset.videos
        if isinstance(videos, WholeFiles) and videos.root == self._dataset.root:
            for row, name in enumerate(videos.names):
                yield name, self._name(os.fspath(videos.sounds.get(row, "")))
            return
        for video in videos:
            paths = [*_paths(video), ""][:2]
            yield self._name(paths[0]), self._name(paths[1])

    def _name(self, path: str) -> str:
        for start, prefix in self._starts:
            if path.startswith(start):
                return prefix + path.removeprefix(start)
        return path


def _paths(video: Video) -> Sequence[str]:
    return [os.fspath(path) for path in (video.path, video.audio_path) if path is not None]


def _find(keys: "NDArray[np.int64]", order: "NDArray[np.int64]", wanted: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """The place of each wanted number among the keys, whose ascending order is `order`; -1 where it is none of them."""
    if not len(keys):
        return np.full(len(wanted), -1, np.int64)
    place = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    return np.where(keys[place] == wanted, place, -1)


def _is_doubtful(files: list[Any], video: Video) -> bool:
    """Whether a file without a digest is there."""
    pairs = zip(files, _paths(video), strict=False)
    return any(one is not None and not one[2] and Path(path).is_file() for one, path in pairs)


def _check_root(
    library: LibraryWriter, dataset: Dataset, known: _Known, growth: Growth, at: "NDArray[np.int64]"
) -> None:
    """A library may move with its folder; another folder is another library."""
    before, now = library.attributes["attrs"].get("dataset", {}).get("root"), str(whole_path(dataset.root))
    if before in (None, now) or not len(known.keys):
        return
    there = np.flatnonzero(at >= 0)
    sizes = known.facts[at[there]][:, ::2] == growth.files.facts[there][:, ::2]
    same = int((sizes.all(1) & known.recorded[at[there]]).sum())
    if 2 * same < len(known.keys):
        raise StoresDisagree(
            f"{library.path}: is a library of {shown_path(before)}, and {shown_path(now)} holds {same} of its "
            f"{len(known.keys)} files; extract elsewhere (--out), or replace the library (--overwrite)"
        )
