"""Writes what every query found: `--save-ranks FILE`, a table by the file's suffix."""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaid.errors import OptionInvalid
from gaid.runs import write_bytes

if TYPE_CHECKING:
    from gaid.stores import Split

SUFFIXES = (".csv", ".jsonl", ".npz")
BEST = 5


def check_ranks_path(path: str | Path) -> Path:
    """The path, if its suffix says how to write. Raises OptionInvalid."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise OptionInvalid(f"--save-ranks {path}: the suffix must be one of {', '.join(SUFFIXES)}")
    return path


def save_ranks(
    path: Path, split: "Split", seeds: list[int], ranks: np.ndarray, best_rows: np.ndarray, best_scores: np.ndarray
) -> None:
    """One row a caption: its id and text, its video, the rank of that video for each seed, and the first seed's best five.

    `ranks` (seeds, captions) text to video; `best_rows` and `best_scores` (captions, five).
    """
    videos = np.array(split.video_ids, dtype=object)
    if path.suffix == ".npz":
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            caption_id=np.array(split.caption_ids, dtype=str),
            text=np.array(split.caption_texts, dtype=str),
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


def _flat(row: dict[str, object]) -> dict[str, object]:
    """A row of a CSV: a column a place."""
    out: dict[str, object] = {}
    for name, value in row.items():
        if isinstance(value, list):
            singular = {"best": "best", "scores": "score"}[name]
            out |= {f"{singular}_{place}": one for place, one in enumerate(value, start=1)}
        else:
            out[name] = value
    return out
