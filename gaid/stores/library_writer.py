"""Growing a store: new parts for new rows, and a view that says which rows are live, replaced as a whole.

A kill loses nothing: a part's finished shards stay and are found again, and until `current.json` names a new view the one
before counts. Which videos are new, changed or gone is for the caller to find out.
"""

import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from gaid.errors import StoreCorrupt
from gaid.files import follow, sync_folder, write_bytes
from gaid.paths import local_path
from gaid.stores.arrays import read_all
from gaid.stores.creation import attributes_of, create_folder, finish_folder, lock_store, write_marker
from gaid.stores.deletion import clear_deletion
from gaid.stores.library import CURRENT, FOLDER, OWN, LibraryArrays, Places, current_view, ids_of
from gaid.stores.reader import StoreReader
from gaid.stores.schema import StorePlan, caption_arrays, decode_texts, video_arrays
from gaid.stores.writer import CAPTIONS, StoreWriter
from gaid.stores.zarr import ZarrArrays

ABSENT = (-1, 0)
"""Size and time of change of a file that is not there."""


class Row(NamedTuple):
    """A row of a part: the name of the part ("" is the store itself) and the row in it."""

    part: str
    row: int


class Rows(NamedTuple):
    """Rows of parts in an order: for each the number of its part among `names`, and the row in it, both int64 (N)."""

    names: list[str]
    part: NDArray[np.int64]
    row: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Rows":
        """The same of single rows."""
        names = sorted({one.part for one in rows})
        number_of = {name: number for number, name in enumerate(names)}
        part, row = (
            np.array([number_of[one.part] for one in rows], np.int64),
            np.array([one.row for one in rows], np.int64),
        )
        return cls(names, part, row)

    def each(self) -> list[Row]:
        """One by one."""
        return [Row(self.names[part], row) for part, row in zip(self.part.tolist(), self.row.tolist(), strict=True)]

    @property
    def used(self) -> set[str]:
        """The parts that have one of them."""
        return {self.names[number] for number in np.unique(self.part).tolist()}

    def places(self, numbers: Mapping[str, int]) -> Places:
        """The same with other numbers of parts, by name."""
        return Places(np.array([numbers.get(name, -1) for name in self.names], np.int64)[self.part], self.row)


class PartFiles(NamedTuple):
    """The source files of a part's rows. `facts` int64 (V, 4): size and time of change (ns) of the clip's file and of its sound's,
    ABSENT where there is none; `counts` (V): files that were recorded; `undigested` (V): one of them has no digest."""

    facts: NDArray[np.int64]
    counts: NDArray[np.int64]
    undigested: NDArray[np.bool_]


class Part:
    """A part as the writer sees it: which rows are done, and what they were made from."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.arrays = ZarrArrays(root / name)
        self.arrays.check()
        self.layout: dict[str, Any] = self.arrays.attributes["layout"]

    def holds(self, plan: StorePlan) -> bool:
        """Whether its rows have all that a store of this plan has: a part may be older than an array."""
        return set(video_arrays(plan.layout)) <= set(self.arrays.names())

    @property
    def shards(self) -> list[int]:
        """The numbers of the shards that are done."""
        return [int(name) for name in self.arrays.inventory.markers if name.isdigit()]

    def rows_of(self, shard: int) -> range:
        """The rows of a shard that is done."""
        return range(*self.arrays.inventory.markers[f"{shard:05d}"]["rows"])

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The rows that are done."""
        return self.arrays.done_rows()

    @cached_property
    def ids(self) -> list[str]:
        return ids_of(self.arrays)

    @cached_property
    def files(self) -> PartFiles:
        """What the markers have of every row's source files, but for the digests."""
        videos = self.layout["videos"]
        found = PartFiles(
            np.tile(np.array([*ABSENT, *ABSENT], np.int64), (videos, 1)),
            np.zeros(videos, np.int64),
            np.zeros(videos, bool),
        )
        for rows, sources in self.arrays.inventory.iter_sources():
            for row, files in zip(rows, sources, strict=True):
                found.counts[row] = len(files)
                for place, one in enumerate(files[:2]):
                    if one is not None:
                        found.facts[row, 2 * place : 2 * place + 2] = one[0], one[1]
                        found.undigested[row] |= not one[2]
        return found

    def source(self, row: int) -> list[Any]:
        """The source files of a row that is done; none where they were not recorded."""
        return self.arrays.source(row)

    def texts(self, plan: StorePlan) -> list[str]:
        """The captions that are encoded here as a store of this plan has them."""
        done = CAPTIONS in self.arrays.inventory.markers
        if not done or not set(caption_arrays(plan.layout)) <= set(self.arrays.names()):
            return []
        return decode_texts(*(read_all(self.arrays[f"captions/text_{what}"]) for what in ("bytes", "offsets")))

    def token_counts(self) -> NDArray[np.int64]:
        """(C) the number of tokens of each caption."""
        return np.diff(read_all(self.arrays["captions/token_offsets"]))


class LibraryWriter:
    """A store that is there, locked, to be grown: `new_part` takes new rows, `commit` makes rows of parts the live ones."""

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.path = path
        self._lock = lock
        self.folder = path / FOLDER
        names = sorted(f"{FOLDER}/{one.name}" for one in self.folder.glob("part-*.zarr"))
        self.parts = {name: Part(path, name) for name in ["", *names]}
        self.view = self._read_view()

    @classmethod
    def open(cls, path: str | Path) -> "LibraryWriter":
        """Raises StoreLocked where another process writes the store, StoreInvalid and StoreCorrupt as `open_store`."""
        target = follow(local_path(path))
        lock = lock_store(target)
        try:
            clear_deletion(target)
            return cls(target, lock)
        except BaseException:
            lock.release()
            raise

    def __enter__(self) -> "LibraryWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def _read_view(self) -> LibraryArrays | None:
        """The view that counts; None where there is none yet, or where it is damaged: it is then made anew."""
        try:
            name = current_view(self.path)
            if name is None:
                return None
            view = self._open(name)
            view.check()
            return view
        except (StoreCorrupt, KeyError):
            return None

    def _open(self, name: str) -> LibraryArrays:
        """A view of the parts that are open already: a part of a million rows is not read again."""
        view = LibraryArrays(self.path, name)
        view.parts = [self.parts[part].arrays for part in view.attributes["library"]["parts"]]
        return view

    @property
    def grown(self) -> bool:
        """Whether the store has grown before."""
        return self.folder.is_dir()

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the current view, or of the store itself where there is none."""
        return self.parts[""].arrays.attributes if self.view is None else self.view.attributes

    def ids(self) -> list[str]:
        """The ids of the current view's videos."""
        return [] if self.view is None else ids_of(self.view.view)

    def live(self) -> list[Row]:
        """Where each video of the current view is."""
        return self.live_rows().each()

    def live_captions(self) -> list[Row]:
        """Where each caption of the current view is."""
        return self.live_rows("captions").each()

    def live_rows(self, kind: str = "videos") -> Rows:
        """Where the `videos` or `captions` of the current view are, as arrays."""
        if self.view is None:
            return Rows.of([])
        places = self.view.places(kind)
        return Rows(list(self.view.attributes["library"]["parts"]), places.part, places.row)

    def own_names(self) -> set[str]:
        """The names of the arrays that were given to `commit` as `more`."""
        names = [] if self.view is None else self.view.view.names()
        places = {f"{kind}_{what}" for kind in ("video", "caption") for what in ("part", "row")}
        return {name.removeprefix(OWN) for name in names if name.startswith(OWN)} - places

    def own(self, name: str) -> NDArray[Any]:
        """One of these arrays. Raises KeyError where there is none."""
        if self.view is None or name not in self.own_names():
            raise KeyError(name)
        return read_all(self.view.view[f"{OWN}{name}"])

    def _begin(self) -> None:
        """Makes the folder of a library, in which no view counts yet."""
        if not self.folder.is_dir():
            working = self.path / f".{FOLDER}.creating"
            shutil.rmtree(working, ignore_errors=True)
            working.mkdir()
            write_marker(working / CURRENT, {"view": None})
            working.rename(self.folder)
            sync_folder(self.path)

    def new_part(self, plan: StorePlan) -> StoreWriter:
        """The writer of a new part. What it finishes is found again, also after a kill, once `reread` was called."""
        self._begin()
        return StoreWriter.open(self.folder / f"part-{self._next_part:05d}.zarr", plan)

    @property
    def _next_part(self) -> int:
        """A number that no part has had: readers of an earlier view must not find other rows under a name."""
        before = 0 if self.view is None else int(self.view.attributes["library"]["next_part"])
        return max(before, _next(self.folder, "part-"))

    def reread(self, writer: StoreWriter) -> Part:
        """The part that a writer has written."""
        name = writer.path.relative_to(self.path).as_posix()
        self.parts[name] = Part(self.path, name)
        return self.parts[name]

    def commit(
        self,
        plan: StorePlan,
        videos: Rows,
        captions: Rows,
        more: Mapping[str, NDArray[Any]],
    ) -> None:
        """Makes these rows the videos and captions of `plan`, in its order. `more`: arrays that the view keeps for the
        caller.

        Readers see either the view before or this one. The view before stays on the disk for those that have it open.
        """
        self._begin()
        names = sorted(videos.used | captions.used)
        number_of = {name: number for number, name in enumerate(names)}
        arrays = plan.small_arrays() | {f"{OWN}{name}": values for name, values in more.items()}
        for kind, rows in (("video", videos), ("caption", captions)):
            arrays[f"{OWN}{kind}_part"], arrays[f"{OWN}{kind}_row"] = rows.places(number_of)
        filled = [*video_arrays(plan.layout), *caption_arrays(plan.layout)]
        attributes = {
            **attributes_of(plan, [*arrays, *filled]),
            "library": {"parts": names, "next_part": self._next_part},
        }
        before = current_view(self.path) if self.view is not None else None
        view = f"view-{_next(self.folder, 'view-'):05d}.zarr"
        create_folder(self.folder / view, attributes, arrays, [])
        finish_folder(self.folder / view, StoreReader(self.path, self._open(view)))
        write_marker(self.folder / CURRENT, {"view": view})
        write_bytes(self.path / "failures.jsonl", (self.folder / view / "failures.jsonl").read_bytes())
        self._forget_views(view, before)
        self.view = self._open(view)

    def forget_earlier_views(self) -> None:
        """Deletes all views but the one that counts."""
        self._forget_views(current_view(self.path))

    def _forget_views(self, *kept: str | None) -> None:
        for left in self.folder.glob("view-*.zarr"):
            if left.name not in kept:
                shutil.rmtree(left)


def _next(folder: Path, kind: str) -> int:
    numbers = [int(one.name.removeprefix(kind).removesuffix(".zarr")) for one in folder.glob(f"{kind}*.zarr")]
    return max(numbers, default=0) + 1
