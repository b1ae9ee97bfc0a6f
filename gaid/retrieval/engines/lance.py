"""LanceDB as an engine: a table of clips with one column of vectors per sense, in a folder or on object storage.

Vectors are kept in half precision. A large table gets an index of cells per sense (IVF_FLAT); a small one is compared whole.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import DependencyMissing, OptionInvalid, RemoteFailed
from gaid.retrieval.engines.protocol import Held, Rows, folder_text
from gaid.retrieval.filters import Filters
from gaid.stores.remote import SCHEMES, is_plain_http
from gaid.versions import not_installed

CLIPS, ABOUT = "clips", "gaid"  # tables
INDEXED = 20_000  # clips from which vectors are sorted into cells
SMALLEST = 256  # clips per cell on average; Lance makes larger ones, and keeps them of a size when clips come
FITTED = 10  # rounds in which the cells are fitted
KEPT = timedelta(hours=1)  # how long what a push replaced stays, for searches that are under way
FRESH = timedelta(minutes=1)  # how old the state of the table may be that a search reads
NAMED = 1000  # clips that one statement names


class LanceEngine:
    """The tables at an address. Nothing is read or made before it is asked for."""

    def __init__(self, uri: str) -> None:
        scheme = re.match(r"([a-z][a-z0-9+.-]+)://", uri, re.IGNORECASE)
        if scheme and scheme[1].lower() not in SCHEMES:
            known = ", ".join(f"{one}://" for one in SCHEMES)
            raise OptionInvalid(f"--engine {uri}: name a folder, or an address that begins with {known}")
        if not_installed(["lancedb"]):
            raise DependencyMissing("--engine needs LanceDB: pip install 'gaid[engine]'")
        self.uri = uri if scheme else str(Path(uri).expanduser())
        self._is_local = not scheme

    def about(self) -> dict[str, Any]:
        with self._asked():
            if (self._is_local and not Path(self.uri).is_dir()) or ABOUT not in self._names():
                return {}
            told: dict[str, Any] = json.loads(self._open(ABOUT).to_arrow()["about"][0].as_py())
            return told

    def describe(self, about: Mapping[str, Any]) -> None:
        with self._asked():
            self._database.create_table(ABOUT, [{"about": json.dumps(about)}], mode="overwrite")

    def held(self) -> Held:
        with self._asked():
            if CLIPS not in self._names():
                return Held([], np.empty(0, np.uint64), np.empty(0, np.uint64))
            table = self._table
            found = table.search().select(["clip", "key", "mark"]).limit(max(1, table.count_rows())).to_arrow()
            keys, marks = (found[name].to_numpy() for name in ("key", "mark"))
            return Held(found["clip"].to_pylist(), keys, marks)

    def push(self, rows: Rows) -> None:
        with self._asked():
            data = _as_table(rows)
            if CLIPS not in self._names():
                self._database.create_table(CLIPS, schema=data.schema)
            self._table.merge_insert("clip").when_matched_update_all().when_not_matched_insert_all().execute(data)

    def remove(self, clips: Sequence[str]) -> None:
        with self._asked():
            for start in range(0, len(clips), NAMED):
                self._table.delete(f"clip in ({', '.join(map(_quoted, clips[start : start + NAMED]))})")

    def clear(self) -> None:
        with self._asked():
            for name in (ABOUT, CLIPS):  # what is said goes first: without it the clips are those of an unfinished push
                if name in self._names():
                    self._database.drop_table(name)
            self.__dict__.pop("_table", None)

    def settle(self) -> str:
        from lancedb.index import BTree, IvfFlat

        with self._asked():
            table = self._table
            table.optimize(cleanup_older_than=KEPT)
            count = table.count_rows()
            if count < INDEXED:
                return "every vector is compared"
            there = {one.columns[0] for one in table.list_indices()}
            for name in (name for name in table.schema.names if name.startswith("vector_")):
                if name not in there:
                    table.create_index(name, config=IvfFlat(distance_type="dot", max_iterations=FITTED, sample_rate=64))
            if "clip" not in there:
                table.create_index("clip", config=BTree())
            return "vectors lie in cells"

    @property
    def most_effort(self) -> int:
        with self._asked():
            return max(1, self._table.count_rows() // SMALLEST)

    def nearest(
        self, sense: str, query: NDArray[np.float32], count: int, effort: int, filters: Filters
    ) -> NDArray[np.uint64]:
        with self._asked():
            asked = self._table.search(query.astype(np.float16), vector_column_name=f"vector_{sense}")
            asked = asked.distance_type("dot").limit(count).nprobes(effort).select(["key", "_distance"])
            if filters:
                asked = asked.where(_condition(filters))
            found: NDArray[np.uint64] = asked.to_arrow()["key"].to_numpy()
            return found

    # The database

    @cached_property
    def _database(self) -> Any:
        os.environ.setdefault("LANCEDB_LOG", "error")  # it warns of tables that are made
        import lancedb

        options = {"allow_http": "true"} if is_plain_http() else None
        return lancedb.connect(self.uri, read_consistency_interval=FRESH, storage_options=options)

    @cached_property
    def _table(self) -> Any:
        return self._open(CLIPS)

    def _open(self, name: str) -> Any:
        return self._database.open_table(name)

    def _names(self) -> list[str]:
        return list(self._database.list_tables().tables)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Turns what the engine raises into RemoteFailed."""
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            place = "the folder" if self._is_local else "the address, the credentials and the network"
            raise RemoteFailed(f"--engine {self.uri}: {reason}; check {place}") from error


def _as_table(rows: Rows) -> Any:
    import pyarrow as pa

    columns = {
        "clip": pa.array(rows.clips, pa.string()),
        "key": pa.array(rows.keys),
        "mark": pa.array(rows.marks),
        "folder": pa.array(rows.folders, pa.string()),
        "seconds": pa.array(rows.seconds),
        "changed": pa.array(rows.changed, from_pandas=True),
    }
    for sense, vectors in rows.vectors.items():
        values = pa.array(vectors.astype(np.float16).ravel())
        columns[f"vector_{sense}"] = pa.FixedSizeListArray.from_arrays(values, vectors.shape[1])
    return pa.table(columns)


def _condition(filters: Filters) -> str:
    """The filters as the engine reads them."""
    said = {
        "seconds >=": filters.longer,
        "seconds <=": filters.shorter,
        "changed >=": filters.since and filters.since.timestamp(),
        "changed <=": filters.until and filters.until.timestamp(),
    }
    parts = [f"{name} {value}" for name, value in said.items() if value is not None]
    if filters.within is not None:
        parts.append(f"contains(folder, {_quoted(folder_text(filters.within))})")
    return " and ".join(parts)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
