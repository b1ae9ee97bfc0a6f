"""A store that grows: rows in parts that are only ever added to, and a view that says which rows are live (docs/format.md).

Every part is an ordinary store whose finished shards never change. A view lists, for each video and caption, the part and
row that hold its features; `current.json` names the view that counts, and is replaced as a whole. Readers get the live rows
only, in the order of the view. Making parts and views is left to `library_writer`.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaid.errors import StoreCorrupt
from gaid.stores.arrays import StoreArray, read_all
from gaid.stores.inventory import read_marker
from gaid.stores.remote import Place
from gaid.stores.schema import ArraySpec, caption_arrays, decode_texts, video_arrays
from gaid.stores.speech import NAMES, Speech, join, read_piece, transcriber_of
from gaid.stores.zarr import ZarrArrays

FOLDER, CURRENT = "library", "current.json"
OWN = f"{FOLDER}/"  # names of arrays that a view has beside those of a store


class Places(NamedTuple):
    """Where the rows of an array are: for each, the number of the part and the row in it, both int64 (N)."""

    part: NDArray[np.int64]
    row: NDArray[np.int64]


def current_view(root: Place) -> str | None:
    """The name of a library's view; None for a store that never grew. Raises StoreCorrupt where that is not known."""
    if not (root / FOLDER).is_dir():
        return None
    place = root / FOLDER / CURRENT
    try:
        view = read_marker(place)["view"]
    except StoreCorrupt as error:
        raise StoreCorrupt(
            f"{place}: is missing or damaged; put it back, or run the same `gaid extract` again, which makes it anew and "
            "decodes nothing twice"
        ) from error
    return None if view is None else str(view)


class LibraryArrays:
    """The live rows of a library as the arrays of one store, read only."""

    format = "zarr"

    def __init__(self, path: Place, view: str) -> None:
        self.path = path
        self.view = ZarrArrays(path / FOLDER / view)
        self.attributes = self.view.attributes

    @property
    def inventory(self) -> Any:
        """The markers of the view."""
        return self.view.inventory

    @cached_property
    def parts(self) -> list[ZarrArrays]:
        """The parts that the view takes rows from."""
        return [ZarrArrays(self.path / name) for name in self.attributes["library"]["parts"]]

    @cached_property
    def specs(self) -> dict[str, ArraySpec]:
        """The arrays whose rows lie in the parts, by name."""
        layout = self.attributes["layout"]
        return {**video_arrays(layout), **caption_arrays(layout)}

    def check(self) -> None:
        """Raises StoreCorrupt where files are not those that the markers list, or a live row is not in its part."""
        self.view.check()
        for part in self.parts:
            part.check()
        for number, part in enumerate(self.parts):
            rows = self._places["videos"].row[self._places["videos"].part == number]
            shards = {f"{one:05d}" for one in np.unique(rows // part.attributes["layout"]["shard_rows"]).tolist()}
            if (self._places["captions"].part == number).any():
                shards.add("captions")
            missing = part.missing(sorted(shards))
            if missing:
                raise StoreCorrupt(
                    f"{part.path / 'shards' / missing[0]}.json: is missing; put it back, or run the same `gaid extract` "
                    "again, which makes that part anew"
                )

    @cached_property
    def _places(self) -> dict[str, Places]:
        def read(kind: str) -> Places:
            part, row = (read_all(self.view[f"{OWN}{kind}_{what}"]).astype(np.int64) for what in ("part", "row"))
            return Places(part, row)

        return {"videos": read("video"), "captions": read("caption")}

    def places(self, rows: str) -> Places:
        """Where the `videos`, `captions` or `tokens` of the view are."""
        if rows == "tokens" and rows not in self._places:
            self._places[rows] = self._token_places()
        return self._places[rows]

    def _token_places(self) -> Places:
        captions = self._places["captions"]
        offsets = read_all(self.view["captions/token_offsets"])
        starts = np.zeros(len(captions.row), np.int64)
        for number, part in enumerate(self.parts):
            mine = captions.part == number
            if mine.any():
                starts[mine] = read_all(part["captions/token_offsets"])[captions.row[mine]]
        counts = np.diff(offsets)
        rows = np.repeat(starts - offsets[:-1], counts) + np.arange(offsets[-1])
        return Places(np.repeat(captions.part, counts), rows)

    # What the rows of a store come with

    @property
    def failures(self) -> list[dict[str, str]]:
        """Live videos without features, in the order of the view."""
        return self._listed("failures")

    @property
    def remarks(self) -> list[dict[str, str]]:
        """Notes on the pictures of live clips, in the order of the view."""
        return self._listed("remarks")

    def _listed(self, key: str) -> list[dict[str, str]]:
        places, found = self._places["videos"], []
        names: list[str] = []
        for number, part in enumerate(self.parts):
            markers = part.inventory.markers
            listed = [one for name, marker in markers.items() if name.isdigit() for one in marker.get(key, [])]
            if not listed:
                continue
            row_of = {name: row for row, name in enumerate(ids_of(part))}
            of_row: dict[int, list[dict[str, str]]] = {}
            for one in listed:
                of_row.setdefault(row_of[one["id"]], []).append(one)
            names = names or ids_of(self.view)
            mine = np.flatnonzero((places.part == number) & np.isin(places.row, list(of_row)))
            found += [(row, {**one, "id": names[row]}) for row in mine.tolist() for one in of_row[int(places.row[row])]]
        return [one for _, one in sorted(found, key=lambda pair: pair[0])]

    @property
    def sources(self) -> list[Any] | None:
        """The source files of each live row as they were when it was decoded; None where none was recorded."""
        of_parts = [part.sources for part in self.parts]
        if all(one is None for one in of_parts):
            return None
        places = self._places["videos"]
        pairs = ((of_parts[part], row) for part, row in zip(places.part.tolist(), places.row.tolist(), strict=True))
        return [[] if of_part is None else of_part[row] for of_part, row in pairs]

    def source(self, row: int) -> list[Any]:
        """The source files of a live row; none where they were not recorded."""
        places = self._places["videos"]
        return self.parts[int(places.part[row])].source(int(places.row[row]))

    @cached_property
    def file_names(self) -> list[tuple[str, str]] | None:
        """The path of each live video's file and of its sound's ("" for none), relative to the root; None where not kept."""
        if f"{OWN}path_bytes" not in self.view:
            return None
        columns = [
            decode_texts(*(read_all(self.view[f"{OWN}{name}_{what}"]) for what in ("bytes", "offsets")))
            for name in ("path", "sound")
        ]
        return list(zip(*columns, strict=True))

    @property
    def growth(self) -> dict[str, int]:
        """How many parts there are, and rows in them that are live, superseded (their file was replaced) and vanished."""
        places, ids = self._places["videos"], set(ids_of(self.view))
        live = set(zip(places.part.tolist(), places.row.tolist(), strict=True))
        superseded = vanished = 0
        for number, part in enumerate(self.parts):
            names = ids_of(part)
            dead = [row for row in part.done_rows().tolist() if (number, row) not in live]
            superseded += sum(names[row] in ids for row in dead)
            vanished += sum(names[row] not in ids for row in dead)
        return {"parts": len(self.parts), "live": len(live), "superseded": superseded, "vanished": vanished}

    def row_keys(self) -> NDArray[np.uint64]:
        """(V) a number for each live row that changes with the bytes of its shard, and with nothing else."""
        places = self._places["videos"]
        keys = np.zeros(len(places.row), np.uint64)
        for number, part in enumerate(self.parts):
            mine = places.part == number
            keys[mine] = part.row_keys()[places.row[mine]]
        return keys

    # Arrays

    def missing(self, parts: Iterable[str]) -> tuple[str, ...]:
        """A view lists rows that are written: nothing is missing."""
        return ()

    def names(self) -> list[str]:
        there = [name for name in self.view.names() if not name.startswith(OWN)]
        return sorted([*there, *(NAMES if self.transcriber else ())])

    def __contains__(self, name: str) -> bool:
        return (name in self.view and not name.startswith(OWN)) or (name in NAMES and self.transcriber is not None)

    def __getitem__(self, name: str) -> StoreArray:
        if name in NAMES and self.speech is not None:
            return StoreArray(self.speech.arrays[name], self.path / name, self.path, lambda: None)
        if name not in self.specs:
            return self.view[name]
        return StoreArray(_Gathered(self, self.specs[name]), self.path / name, self.path, lambda: None)

    def rows(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Some rows of an array. Raises StoreCorrupt where a file of theirs went after the opening."""
        if name not in self.specs:
            return self.view.rows(name, rows)
        spec, places = self.specs[name], self.places(self.specs[name].rows)
        of_part = places.part[rows]
        numbers = np.unique(of_part).tolist()
        if len(numbers) == 1:
            return self._rows_of_part(numbers[0], name, places.row[rows])
        found = np.empty((len(rows), *spec.shape[1:]), spec.dtype)
        for number in numbers:
            mine = of_part == number
            found[mine] = self._rows_of_part(number, name, places.row[rows[mine]])
        return found

    def _rows_of_part(self, number: int, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Rows of a part, in any order; a part gives them ascending and once."""
        if (np.diff(rows) > 0).all():
            return self.parts[number].rows(name, rows)
        wanted, back = np.unique(rows, return_inverse=True)
        return self.parts[number].rows(name, wanted)[back]

    def bytes_on_disk(self, name: str) -> int:
        """Bytes of an array in the view and its parts, with those of rows that are no longer live."""
        if name not in self.specs and name not in NAMES:
            return self.view.bytes_on_disk(name)
        return sum(part.bytes_on_disk(name) for part in self.parts)

    # What is said

    @cached_property
    def _live_shards(self) -> list[tuple[int, int]]:
        """Part and shard of every live row, each once, ascending."""
        places = self._places["videos"]
        sizes = np.array([part.attributes["layout"]["shard_rows"] for part in self.parts], np.int64)
        if not len(places.row):
            return []
        pairs = np.unique(np.stack([places.part, places.row // sizes[places.part]], axis=1), axis=0)
        return [(part, shard) for part, shard in pairs.tolist()]

    @cached_property
    def transcriber(self) -> dict[str, Any] | None:
        """Who transcribed the clips; None where not all live ones are, or not by the same."""
        by_part: dict[int, list[int]] = {}
        for part, shard in self._live_shards:
            by_part.setdefault(part, []).append(shard)
        found = [transcriber_of(self.parts[part].inventory, shards) for part, shards in by_part.items()]
        return found[0] if found and all(one == found[0] for one in found) else None

    @cached_property
    def speech(self) -> Speech | None:
        """What is said in the live clips, in the order of the view."""
        if self.transcriber is None:
            return None
        pieces = [
            read_piece(self.parts[part].path, self.parts[part].inventory, shard) for part, shard in self._live_shards
        ]
        before = np.concatenate([[0], np.cumsum([len(piece.offsets) - 1 for piece in pieces])])
        places = self._places["videos"]
        rows = np.empty(len(places.row), np.int64)
        for number, (part, shard) in enumerate(self._live_shards):
            size = self.parts[part].attributes["layout"]["shard_rows"]
            mine = (places.part == part) & (places.row // size == shard)
            rows[mine] = before[number] + places.row[mine] - shard * size
        return join(pieces).take(rows)

    def close(self) -> None:
        """Nothing is held open."""


class _Gathered:
    """An array whose rows are gathered from the parts, with what `StoreArray` asks of an array."""

    def __init__(self, library: LibraryArrays, spec: ArraySpec) -> None:
        layout = library.attributes["layout"]
        self.library, self.name, self.shape, self.dtype = library, spec.name, spec.shape, np.dtype(spec.dtype)
        self.chunks = (layout["chunk_rows"], *spec.shape[1:])
        self.shards = (layout["shard_rows"], *spec.shape[1:])

    def __getitem__(self, key: Any) -> NDArray[Any]:
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        chosen = np.arange(self.shape[0])[slice(None) if first is Ellipsis else first]
        values = self.library.rows(self.name, np.atleast_1d(chosen)).reshape(*np.shape(chosen), *self.shape[1:])
        return values[(..., *rest)] if first is Ellipsis else values[(*(slice(None),) * np.ndim(chosen), *rest)]


def ids_of(arrays: ZarrArrays) -> list[str]:
    """The ids of the videos of a part or a view."""
    return decode_texts(read_all(arrays["videos/id_bytes"]), read_all(arrays["videos/id_offsets"]))
