"""How each engine of `engines` is driven: one class per engine, embedded, with a graph of the vectors or cells of them."""

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

BATCH = 5000
Rows: TypeAlias = NDArray[np.int64]
Vectors: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Facts:
    """Of each clip (N): whether it has sound, its seconds, the day of its file."""

    heard: NDArray[np.bool_]
    seconds: NDArray[np.float64]
    day: NDArray[np.int64]

    def take(self, rows: Any) -> "Facts":
        return Facts(self.heard[rows], self.seconds[rows], self.day[rows])

    def listed(self) -> list[dict[str, Any]]:
        columns = zip(self.heard.tolist(), self.seconds.tolist(), self.day.tolist(), strict=True)
        return [{"heard": heard, "seconds": seconds, "day": day} for heard, seconds, day in columns]


@dataclass(frozen=True)
class Filter:
    """Clips with (or without) sound, of a length, not older than a day."""

    heard: bool
    shortest: float
    longest: float
    since: int

    def keeps(self, facts: Facts) -> NDArray[np.bool_]:
        long_enough = (facts.seconds >= self.shortest) & (facts.seconds < self.longest)
        return (facts.heard == self.heard) & long_enough & (facts.day >= self.since)

    def sql(self, equals: str, true: str) -> str:
        return (
            f"heard {equals} {true} and seconds >= {self.shortest} and seconds < {self.longest} and day >= {self.since}"
        )


class Rival(ABC):
    """One engine's collection. `efforts`: what may be spent on a query, from little to much."""

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    efforts: ClassVar[tuple[int, ...]] = (128, 256, 512, 1024)
    multivectors: ClassVar[str]

    def __init__(self, place: Path, dim: int) -> None:
        self.place, self.dim = place, dim
        self.open(new=True)

    @abstractmethod
    def open(self, new: bool) -> None: ...

    @abstractmethod
    def put(self, rows: Rows, vectors: Vectors, facts: Facts) -> None: ...

    @abstractmethod
    def index(self) -> None: ...

    @abstractmethod
    def nearest(self, vector: Vectors, count: int, effort: int, only: Filter | None = None) -> Rows: ...

    @abstractmethod
    def remove(self, rows: Rows) -> None: ...

    def replace(self, rows: Rows, vectors: Vectors, facts: Facts) -> None:
        self.put(rows, vectors, facts)

    @abstractmethod
    def close(self) -> None: ...

    def fill(self, rows: Rows, vectors: Vectors, facts: Facts) -> None:
        for start in range(0, len(rows), BATCH):
            some = slice(start, start + BATCH)
            self.put(rows[some], vectors[some], facts.take(some))

    def reopen(self) -> None:
        """Closes it, opens it again and asks once."""
        self.close()
        self.open(new=False)
        self.nearest(np.full(self.dim, self.dim**-0.5, np.float32), 10, self.efforts[0])

    def bytes_on_disk(self) -> int:
        return sum(one.stat().st_blocks * 512 for one in self.place.parent.rglob("*") if one.is_file())


class Lance(Rival):
    """Cells of vectors in half precision, as gaid's client has them; the effort is the number of cells that are looked at."""

    name, packages = "LanceDB", ("lancedb", "pyarrow")
    efforts = (1, 2, 4, 8, 16, 32)
    multivectors = "MaxSim, cosine, indexed"

    def open(self, new: bool) -> None:
        import lancedb

        self.database = lancedb.connect(self.place)
        self.table: Any = None if new else self.database.open_table("clips")

    def _rows(self, rows: Rows, vectors: Vectors, facts: Facts) -> Any:
        import pyarrow as pa

        nested = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float16).ravel()), self.dim)
        columns = {"clip": rows, "vector": nested, "heard": facts.heard, "seconds": facts.seconds, "day": facts.day}
        return pa.table({name: pa.array(one) if isinstance(one, np.ndarray) else one for name, one in columns.items()})

    def put(self, rows: Rows, vectors: Vectors, facts: Facts) -> None:
        data = self._rows(rows, vectors, facts)
        if self.table is None:
            self.table = self.database.create_table("clips", data)
        else:
            self.table.add(data)

    def index(self) -> None:
        from lancedb.index import Bitmap, BTree, IvfFlat

        self.table.optimize()
        self.table.create_index("vector", config=IvfFlat(distance_type="dot", max_iterations=10, sample_rate=64))
        for name in ("clip", "seconds", "day"):
            self.table.create_index(name, config=BTree())
        self.table.create_index("heard", config=Bitmap())

    def nearest(self, vector: Vectors, count: int, effort: int, only: Filter | None = None) -> Rows:
        query = self.table.search(vector.astype(np.float16), vector_column_name="vector").distance_type("dot")
        query = query.limit(count).nprobes(effort).select(["clip", "_distance"])
        if only:
            query = query.where(only.sql("=", "true"))
        found: Rows = query.to_arrow()["clip"].to_numpy()
        return found

    def remove(self, rows: Rows) -> None:
        self.table.delete(f"clip in ({', '.join(map(str, rows.tolist()))})")

    def replace(self, rows: Rows, vectors: Vectors, facts: Facts) -> None:
        self.table.merge_insert("clip").when_matched_update_all().when_not_matched_insert_all().execute(
            self._rows(rows, vectors, facts)
        )

    def close(self) -> None:
        self.table = None


class Milvus(Rival):
    """Milvus Lite through its own client: one graph of vectors with scalar quantisation per segment."""

    name, packages = "Milvus Lite", ("milvus-lite", "pymilvus")
    multivectors = "no (a cluster: array of structs)"

    def open(self, new: bool) -> None:
        from pymilvus import DataType, MilvusClient

        logging.getLogger("pymilvus").setLevel(logging.ERROR)
        self.client = MilvusClient(str(self.place.with_suffix(".db")))
        if not new:
            self.client.load_collection("clips")
            return
        schema = self.client.create_schema(auto_id=False)
        schema.add_field("clip", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.dim)
        for name, kind in (("heard", DataType.BOOL), ("seconds", DataType.DOUBLE), ("day", DataType.INT64)):
            schema.add_field(name, kind)
        self.client.create_collection("clips", schema=schema)

    def put(self, rows: Rows, vectors: Vectors, facts: Facts) -> None:
        listed = zip(rows.tolist(), vectors, facts.listed(), strict=True)
        self.client.upsert("clips", [{"clip": row, "vector": vector, **one} for row, vector, one in listed])

    def index(self) -> None:
        self.client.flush("clips")
        wanted = self.client.prepare_index_params()
        wanted.add_index("vector", index_type="HNSW", metric_type="IP", params={"M": 16, "efConstruction": 128})
        for name in ("seconds", "day"):
            wanted.add_index(name, index_type="INVERTED")
        self.client.create_index("clips", wanted)
        self.client.load_collection("clips")

    def nearest(self, vector: Vectors, count: int, effort: int, only: Filter | None = None) -> Rows:
        found = self.client.search(
            "clips", [vector], filter=only.sql("==", "true") if only else "", limit=count, anns_field="vector",
            search_params={"metric_type": "IP", "params": {"ef": effort}},
        )  # fmt: skip
        return np.array([one["clip"] for one in found[0]], np.int64)

    def remove(self, rows: Rows) -> None:
        self.client.delete("clips", ids=rows.tolist())

    def close(self) -> None:
        self.client.close()


class Qdrant(Rival):
    """Qdrant Edge, the engine of a Qdrant server in this process: one graph of vectors per segment."""

    name, packages = "Qdrant Edge", ("qdrant-edge-py",)
    multivectors = "MaxSim, indexed"

    def open(self, new: bool) -> None:
        import qdrant_edge as edge

        if not new:
            self.shard = edge.EdgeShard.load(str(self.place))
            return
        self.place.mkdir(parents=True)
        vectors = edge.EdgeVectorParams(size=self.dim, distance=edge.Distance.Dot)
        graph = edge.HnswIndexConfig(m=16, ef_construct=128, full_scan_threshold=10_000)
        self.shard = edge.EdgeShard.create(str(self.place), edge.EdgeConfig(vectors=vectors, hnsw_config=graph))
        kinds = edge.PayloadSchemaType
        for name, kind in (("heard", kinds.Integer), ("seconds", kinds.Float), ("day", kinds.Integer)):
            self.shard.update(edge.UpdateOperation.create_field_index(name, kind))

    def put(self, rows: Rows, vectors: Vectors, facts: Facts) -> None:
        import qdrant_edge as edge

        # MatchValue takes True for the number 1, which equals no bool.
        told = [one | {"heard": int(one["heard"])} for one in facts.listed()]
        listed = zip(rows.tolist(), vectors.tolist(), told, strict=True)
        self.shard.update(edge.UpdateOperation.upsert_points([edge.Point(*one) for one in listed]))

    def index(self) -> None:
        self.shard.optimize()
        self.shard.flush()

    def nearest(self, vector: Vectors, count: int, effort: int, only: Filter | None = None) -> Rows:
        import qdrant_edge as edge

        where = None
        if only:
            seconds, day = edge.RangeFloat(gte=only.shortest, lt=only.longest), edge.RangeFloat(gte=only.since)
            where = edge.Filter(
                must=[
                    edge.FieldCondition("heard", match=edge.MatchValue(int(only.heard))),
                    edge.FieldCondition("seconds", range=seconds),
                    edge.FieldCondition("day", range=day),
                ]
            )
        found = self.shard.query(
            edge.QueryRequest(
                limit=count,
                query=edge.Query.Nearest(vector.tolist()),
                filter=where,
                params=edge.SearchParams(hnsw_ef=effort),
            )
        )
        return np.array([one.id for one in found], np.int64)

    def remove(self, rows: Rows) -> None:
        import qdrant_edge as edge

        self.shard.update(edge.UpdateOperation.delete_points(rows.tolist()))

    def close(self) -> None:
        self.shard.close()


RIVALS: tuple[type[Rival], ...] = (Lance, Milvus, Qdrant)
