"""`export`: embeddings and per-query scores of a head as npz or parquet, readable without gaid."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gaid.errors import DataMissing, DependencyMissing, OptionInvalid
from gaid.evaluation.basis import notes_of, overlap_notes
from gaid.evaluation.bench import Bench, open_bench
from gaid.evaluation.save_ranks import pack_texts
from gaid.evaluation.scoring import ranks_of
from gaid.files import check_writable, writing
from gaid.runs import Run
from gaid.runs.files import CONFIG
from gaid.stores import Store, read_clips, valid_rows

FORMATS = ("npz", "parquet")
CLIPS = "clips"
"""In place of a part's name: all clips with features, without captions."""
_GROUP = 1024  # queries per row group of parquet


@dataclass
class Exported:
    """What was written: one npz file, or as parquet one file of queries and one of videos beside it."""

    files: list[Path]
    videos: int
    queries: int
    dim: int | None
    about: dict[str, Any] = field(repr=False)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return vars(self) | {"files": [str(file) for file in self.files]}


def export(
    source: "str | Path | Run | Store",
    *,
    out: str | Path,
    format: str | None = None,
    store: "str | Path | Store | None" = None,
    preset: str | None = None,
    split: str = "test",
    split_protocol: str | None = None,
    device: str = "auto",
    memory: str | int = "auto",
    seed: int = 0,
) -> Exported:
    """Writes video and text embeddings of a head, all scores, and each query's rank.

    Args:
        source: a run, whose first seed's head is taken, or a store, with `preset` for its untrained head.
        out: the file, .npz or .parquet.
        format: `npz` or `parquet`, for a file with another suffix.
        store: features of the same backbones to take in place of the run's own.
        preset: the untrained head on a store; mean-pool by default.
        split: which part; `clips` is all clips with features, without captions.
        split_protocol: as in `evaluate`.
        device: as in `evaluate`.
        memory: as in `evaluate`.
        seed: as in `evaluate`.

    Raises OptionInvalid, DependencyMissing, DataMissing, StoreIncomplete, StoresDisagree, HeadMismatch, RunInvalid.
    """
    out = Path(out)
    kind = _check_format(out, format)
    if isinstance(source, str | Path) and not Path(source).exists():
        raise DataMissing(f"{source}: there is neither a run nor a store")
    is_run = isinstance(source, Run) or (isinstance(source, str | Path) and (Path(source) / CONFIG).exists())
    if not is_run and store is not None:
        raise OptionInvalid(f"{source}: is not a run, so --store {store} has no meaning; give one of the two")
    bench = open_bench(
        source if is_run else None,  # type: ignore[arg-type]
        store=store if is_run else source,  # type: ignore[arg-type]
        preset=preset if is_run else preset or "mean-pool",
        split=None if split == CLIPS else split,
        split_protocol=split_protocol,
        seeds=1,
        memory=memory,
        device=device,
        seed=seed,
    )
    if split == CLIPS:
        bench = bench.on(read_clips(bench.store, valid_rows(bench.store)))
    part, basis = bench.split, bench.basis
    notes = notes_of([basis]) + overlap_notes([basis])
    if len(bench.subject.seeds) > 1:
        notes.append(f"a run of {len(bench.subject.seeds)} seeds: the head of seed {basis.seeds[0]} is exported")
    videos, texts = _embed(bench, notes)
    columns: dict[str, Any] = {"video_id": _strings(part.video_ids), "duration": part.duration}
    if videos is not None:
        columns["video_embedding"] = videos
    if part.caption_ids:
        scores = bench.scores(0)
        columns |= {
            "caption_id": _strings(part.caption_ids),
            "caption_text": list(map(_spelled, part.caption_texts)),
            "caption_video": part.caption_video.astype(np.int64),
            **({} if texts is None else {"text_embedding": texts}),
            "scores": scores,
            "rank_t2v": ranks_of(scores, part.caption_video, "t2v", memory=bench.memory).astype(np.int64),
            "rank_v2t": ranks_of(scores, part.caption_video, "v2t", memory=bench.memory).astype(np.int64),
        }
    about = {
        "run": basis.run,
        "seed": basis.seeds[0],
        **basis.to_dict("preset", "trained", "store", "dataset", "split", "split_protocol", "gallery_hash"),
        **basis.to_dict("backbones", "random_weights"),
        "video_embedding": "query-free, unit length: gated and pooled by the mean training text; `scores` are exact and no product of it",
        "text_embedding": "as it meets the videos, before any perturbation",
        "scores": "(queries, videos), protocol query; ranks count ties against the query",
        **basis.to_dict("training_overlap"),
        "notes": notes,
    }
    files = _write_npz(out, columns, about) if kind == "npz" else _write_parquet(out, columns, about)
    return Exported(
        files, len(part.video_ids), len(part.caption_ids), None if videos is None else videos.shape[1], about, notes
    )


def _check_format(out: Path, format: str | None) -> str:
    """The format to write, checked before any work. Raises OptionInvalid, DependencyMissing."""
    of_suffix = out.suffix.removeprefix(".")
    kind = of_suffix if format is None else format
    if kind not in FORMATS:
        raise OptionInvalid(f"--out {out}: the suffix must be .npz or .parquet, or give --format npz|parquet")
    if of_suffix in FORMATS and of_suffix != kind:
        raise OptionInvalid(f"--out {out} and --format {kind} contradict each other; leave --format out")
    if kind == "parquet":
        _load_pyarrow()
    check_writable(out, "--out")
    return kind


@torch.inference_mode()
def _embed(bench: Bench, notes: list[str]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Embeddings of videos and texts, float32, each None where the head has none; a note says so of videos."""
    head, features = bench.head(), bench.features()
    videos = texts = None
    if head.has_video_embedding:
        blocks = range(0, len(features.visual), 256)
        parts = [head.embed_videos(*features.videos(slice(start, start + 256))) for start in blocks]
        videos = torch.nn.functional.normalize(torch.cat(parts).float(), dim=-1).cpu().numpy()
    else:
        notes.append("this head has no embedding of a video without a query: only scores are exported")
    if head.has_text_embedding:
        texts = head.embed_text(features.text).float().cpu().numpy()
    return videos, texts


def _write_npz(out: Path, columns: dict[str, Any], about: dict[str, Any]) -> list[Path]:
    texts = {name: pack_texts(values) for name, values in columns.items() if isinstance(values, list)}
    with writing(out) as file:
        np.savez(file, about=np.array(json.dumps(about, ensure_ascii=False)), **(columns | texts))
    return [out]


def _write_parquet(out: Path, columns: dict[str, Any], about: dict[str, Any]) -> list[Path]:
    """One row per query, and beside it a file with one row per video in the order of the scores; or videos alone."""
    has_queries = "caption_id" in columns
    videos = out.with_name(f"{out.stem}.videos{out.suffix}") if has_queries else out
    names = {"video_id": "video_id", "duration": "duration", "rank_v2t": "rank", "video_embedding": "embedding"}
    _write_table(videos, {to: columns[name] for name, to in names.items() if name in columns}, about)
    if not has_queries:
        return [videos]
    queries = {
        "caption_id": columns["caption_id"],
        "text": columns["caption_text"],
        "video_id": columns["video_id"][columns["caption_video"]],
        "rank": columns["rank_t2v"],
        **({"embedding": columns["text_embedding"]} if "text_embedding" in columns else {}),
        "scores": columns["scores"],
    }
    _write_table(out, queries, about | {"columns_of_scores": videos.name})
    return [out, videos]


def _write_table(path: Path, columns: dict[str, np.ndarray | list[str]], about: dict[str, Any]) -> None:
    """Writes one row group at a time, so that scores in a file are never read whole; `about` is the schema's key `gaid`."""
    pyarrow = _load_pyarrow()
    kinds = {name: _kind(values) for name, values in columns.items()}
    schema = pyarrow.schema(list(kinds.items()), metadata={"gaid": json.dumps(about, ensure_ascii=True)})
    with writing(path) as file, pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for batch in _batches(columns, kinds):
            writer.write_batch(pyarrow.record_batch(batch, schema=schema))


def _kind(values: np.ndarray | list[str]) -> Any:
    pyarrow = _load_pyarrow()
    if isinstance(values, list) or values.dtype.kind == "U":
        return pyarrow.string()
    if values.ndim == 2:
        return pyarrow.list_(pyarrow.float32(), values.shape[1])
    return pyarrow.from_numpy_dtype(values.dtype)


def _batches(columns: dict[str, np.ndarray | list[str]], kinds: dict[str, Any]) -> Iterator[list[Any]]:
    pyarrow = _load_pyarrow()
    for start in range(0, len(next(iter(columns.values()))), _GROUP):
        batch = []
        for name, values in columns.items():
            part = values[start : start + _GROUP]
            block = part if isinstance(part, list) else np.ascontiguousarray(part)
            if isinstance(block, list):
                batch.append(pyarrow.array(block, type=kinds[name]))
            elif block.ndim == 2:
                flat = pyarrow.array(block.astype(np.float32).ravel())
                batch.append(pyarrow.FixedSizeListArray.from_arrays(flat, type=kinds[name]))
            else:
                batch.append(pyarrow.array(block.tolist() if block.dtype.kind == "U" else block, type=kinds[name]))
        yield batch


def _strings(names: list[str]) -> np.ndarray:
    """Ids as an array that needs no pickle."""
    return np.array(list(map(_spelled, names)), dtype=str)


def _spelled(text: str) -> str:
    """A text with bytes that are not Unicode (as file names may have) as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _load_pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DependencyMissing("parquet needs pyarrow: pip install 'gaid[parquet]', or write .npz") from error
    return pyarrow
