"""`--save-ranks FILE`: writes the list of every query, by the file's suffix as a table, a TREC run or MTEB's result."""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaid.errors import OptionInvalid
from gaid.evaluation import mteb
from gaid.evaluation import trec as ranking
from gaid.files import check_folder, check_writable, write_bytes

if TYPE_CHECKING:
    from gaid.evaluation.bench import Bench
    from gaid.evaluation.results import Results
    from gaid.stores import Split

TABLES = (".csv", ".jsonl", ".npz")
RUNS = (".trec", ".run")
BEST = 5


def check_ranks_path(path: str | Path) -> Path:
    """The path, if its suffix names a format and it can be written. Raises OptionInvalid."""
    path = Path(path)
    if path.name.endswith(mteb.SUFFIX):
        mteb.require()
    elif path.suffix not in (*TABLES, *RUNS):
        raise OptionInvalid(
            f"--save-ranks {path}: the suffix must be one of {', '.join((*TABLES, *RUNS, mteb.SUFFIX))}"
        )
    check_writable(path, "--save-ranks")
    if holds_lists(path):  # more files are written beside it
        check_folder(path.parent, "--save-ranks")
    return path


def write_ranks(path: Path, bench: "Bench", results: "Results") -> list[str]:
    """What every query found, in the form that the suffix of `path` names; returns notes for the reader."""
    if holds_lists(path):
        return _write_lists(path, bench, results)
    _write_table(path, bench.split, results)
    return []


def _write_lists(path: Path, bench: "Bench", results: "Results") -> list[str]:
    """The first seed's whole lists, text to video at `path` and video to text beside it."""
    basis, split, memory = results.basis, bench.split, bench.memory
    scores = bench.scores(bench.members[0])
    notes = [f"{path.name} holds the lists of seed {basis.seeds[0]}"] if len(basis.seeds) > 1 else []
    is_run = path.suffix in RUNS
    suffix = path.suffix if is_run else mteb.SUFFIX
    for direction in results.figures:
        place = path if direction == "t2v" else ranking.beside(path, direction, suffix)
        if direction == "t2v":
            lists = ranking.text_to_video(scores, split)
        else:
            lists = ranking.video_to_text(scores, split, memory) if is_run else ranking.by_caption(scores, split)
        if is_run:
            ranking.write_trec(place, lists, tag=f"gaid-{basis.preset}-seed-{basis.seeds[0]}", memory=memory)
        else:
            uses_audio = bench.head().uses_audio and results.sense == "video"
            note = mteb.write_result(place, lists, results, split, direction, uses_audio, memory)
            notes += [note] if note else []
    return notes


def holds_lists(path: Path) -> bool:
    """Whether a file of this name holds whole lists, not a table."""
    return path.suffix in RUNS or path.name.endswith(mteb.SUFFIX)


def _write_table(path: Path, split: "Split", results: "Results") -> None:
    """One row per caption: its id and text, its video, the rank of that video for each seed, and the first seed's best five."""
    seeds, ranks = results.basis.seeds, results.ranks["t2v"]
    best_rows, best_scores = results.best_rows, results.best_scores
    videos = np.array(split.video_ids, dtype=object)
    if path.suffix == ".npz":
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            caption_id=np.array(split.caption_ids, dtype=str),
            text=pack_texts(split.caption_texts),
            video_id=np.array(videos[split.caption_video], dtype=str),
            seeds=np.array(seeds),
            ranks=ranks.astype(np.int64),
            best=np.array(videos[best_rows], dtype=str),
            best_scores=best_scores,
        )
        write_bytes(path, buffer.getvalue())
        return
    rows = [
        {
            "caption": caption,
            "text": text,
            "video": videos[own],
            **{
                "rank" if len(seeds) == 1 else f"rank_seed_{seed}": int(rank)
                for seed, rank in zip(seeds, of_query, strict=True)
            },
            "best": list(videos[best]),
            "scores": [round(float(score), 6) for score in scores],
        }
        for caption, text, own, of_query, best, scores in zip(
            split.caption_ids, split.caption_texts, split.caption_video, ranks.T, best_rows, best_scores, strict=True
        )
    ]
    if path.suffix == ".jsonl":
        write_bytes(
            path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "surrogatepass")
        )
        return
    text_file = io.StringIO(newline="")
    flat = [_flat(row) for row in rows]
    writer = csv.DictWriter(text_file, fieldnames=list(flat[0]))
    writer.writeheader()
    writer.writerows(flat)
    write_bytes(path, text_file.getvalue().encode("utf-8", "surrogatepass"))


def pack_texts(texts: list[str]) -> np.ndarray:
    """Texts for an npz as one JSON list: an array of strings makes all as wide as the longest, which may have 100 kB."""
    return np.array(json.dumps(texts))


def _flat(row: dict[str, object]) -> dict[str, object]:
    """A row of a CSV: one column per place of a list."""
    out: dict[str, object] = {}
    for name, value in row.items():
        if isinstance(value, list):
            singular = {"best": "best", "scores": "score"}[name]
            out |= {f"{singular}_{place}": one for place, one in enumerate(value, start=1)}
        else:
            out[name] = value
    return out
