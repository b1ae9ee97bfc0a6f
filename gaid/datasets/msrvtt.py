"""MSR-VTT, from the files that people have: MSRVTT_data.json, the lists of training and test videos, and videoN.mp4."""

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

from gaid.datasets.types import Caption, Dataset, DatasetSpec, Video
from gaid.errors import DataInvalid, DataMissing

HELD_OUT = 500
TEST = "MSRVTT_JSFUSION_test.csv"
TRAIN = {"9k": "MSRVTT_train.9k.csv", "7k": "MSRVTT_train.7k.csv"}
_SOURCE = "the CLIP4Clip repository's release msrvtt_data.zip (docs/msrvtt.md)"


def load(root: Path) -> Dataset:
    """Protocols 9k (default) and 7k, whichever lists are there; test is 1k-A: one caption a video, from the list itself.

    Validation: 500 videos (or a tenth of the list, where that is less) held out of training by a hash of their id, since
    MSR-VTT 9k has none and the field picks checkpoints on test. Videos are looked for anywhere under `root`.
    """
    sentences = _sentences(_file(root, "MSRVTT_data.json"))
    test = _rows(_file(root, TEST), ("video_id", "sentence"))
    lists = {protocol: found[0] for protocol, name in TRAIN.items() if (found := sorted(root.rglob(name)))}
    if not lists:
        raise DataMissing(f"msrvtt: neither {TRAIN['9k']} nor {TRAIN['7k']} in {root}; get one from {_SOURCE}")
    captions: list[Caption] = []
    rows_of: dict[str, list[int]] = {}
    test_rows = []
    for line, entry in test:
        test_rows.append(len(captions))
        captions.append(Caption(f"test{line - 2}", entry["video_id"], entry["sentence"]))
    tested = {entry["video_id"] for _, entry in test}
    splits: dict[str, dict[str, tuple[int, ...]]] = {}
    for protocol, file in lists.items():
        names = [entry["video_id"] for _, entry in _rows(file, ("video_id",))]
        for name in names:
            if name in tested:
                raise DataInvalid(f"{file}: {name} is in the test list {TEST} as well")
            if name not in sentences:
                raise DataInvalid(f"{file}: {name} has no sentence in MSRVTT_data.json")
            if name not in rows_of:
                rows_of[name] = list(range(len(captions), len(captions) + len(sentences[name])))
                captions += [Caption(f"{name}#{number}", name, text) for number, text in enumerate(sentences[name])]
        held = set(sorted(set(names), key=_draw)[: min(HELD_OUT, len(set(names)) // 10)])
        splits[protocol] = {
            "train": tuple(row for name in dict.fromkeys(names) if name not in held for row in rows_of[name]),
            "val": tuple(row for name in dict.fromkeys(names) if name in held for row in rows_of[name]),
            "test": tuple(test_rows),
        }
    there = {file.stem: file for file in sorted(root.rglob("video*.mp4"))}
    ids = sorted({caption.video for caption in captions}, key=lambda name: (len(name), name))
    videos = tuple(Video(name, there.get(name, root / "videos" / f"{name}.mp4")) for name in ids)
    return Dataset(
        "msrvtt", root, videos, tuple(captions), splits, "9k" if "9k" in splits else "7k",
        missing=tuple(name for name in ids if name not in there),
    )  # fmt: skip


def _draw(name: str) -> str:
    return hashlib.sha256(f"msrvtt validation {name}".encode()).hexdigest()


def _file(root: Path, name: str) -> Path:
    found = sorted(root.rglob(name)) if root.is_dir() else []
    if not found:
        raise DataMissing(f"msrvtt: {name} not found in {root}; get it from {_SOURCE}")
    return found[0]


def _sentences(file: Path) -> dict[str, list[str]]:
    """Sentences of each video, in the file's order."""
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
        entries = content["sentences"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataInvalid(f"{file}: expected JSON with a list `sentences` ({type(error).__name__}: {error})") from error
    found: dict[str, list[str]] = {}
    for number, entry in enumerate(entries):
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("video_id"), str)
            or not isinstance(entry.get("caption"), str)
        ):
            raise DataInvalid(f"{file}: sentences[{number}] has no text video_id and caption: {str(entry)[:80]}")
        found.setdefault(entry["video_id"], []).append(entry["caption"])
    return found


def _rows(file: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """A table's lines, each with its number."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataInvalid(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    reader = csv.DictReader(text.splitlines(keepends=True))
    absent = [column for column in columns if column not in (reader.fieldnames or ())]
    if absent:
        raise DataInvalid(f"{file}: its first line names {reader.fieldnames}; {', '.join(absent)} expected")
    found = []
    for entry in reader:
        if not all(entry[column] for column in columns):
            raise DataInvalid(f"{file}, line {reader.line_num}: {', '.join(columns)} expected, found {entry}")
        found.append((reader.line_num, entry))
    return found


SPEC = DatasetSpec(
    name="msrvtt",
    summary="MSR-VTT: 10,000 web clips of 10 to 32 s, 20 captions each; 1k-A test",
    source=_SOURCE,
    docs="docs/msrvtt.md",
    load=load,
    prepare=None,
    default_root="data/msrvtt",
    default_backbones=("clip:ViT-B-32/openai", "clap", "clip:ViT-B-32/openai"),
)
