"""Any folder of videos, with captions where there are some: captions.csv, captions.jsonl, or a .txt beside a video."""

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from gaid.datasets.types import PARTS, Caption, Dataset, DatasetSpec, Video
from gaid.errors import DataInvalid, DataMissing

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mpg", ".mpeg", ".flv", ".ogv", ".wmv", ".3gp")


def load(root: Path) -> Dataset:
    """All videos under `root` in the order of their paths, hidden files left aside; ids are paths without suffix.

    Captions: `captions.csv` (video,caption[,split]), `captions.jsonl` (the same keys), or NAME.txt beside a video, a caption
    a line. Protocol `all`: every caption in test. Protocol `hash` (the default where there are captions of ten videos or
    more): 80 % of the videos to train, 10 % each to val and test, by a hash of the id. Protocol `given`: the split column.
    """
    if not root.is_dir():
        raise DataMissing(f"folder: {root} is no folder; name yours with --root")
    files = sorted(
        file
        for file in root.rglob("*")
        if file.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in file.relative_to(root).parts)
    )
    if not files:
        raise DataMissing(f"folder: no video under {root} (looked for {', '.join(SUFFIXES)}); name another with --root")
    videos = [Video(name, file) for name, file in zip(_ids(root, files), files, strict=True)]
    captions, given = _captions(root, videos)
    splits = _splits(captions, given)
    default = "given" if given else "hash" if "hash" in splits else "all"
    return Dataset("folder", root, tuple(videos), tuple(captions), splits, default)


def _ids(root: Path, files: list[Path]) -> list[str]:
    """Relative paths without suffix, with it where two would be the same."""
    short = [file.relative_to(root).with_suffix("").as_posix() for file in files]
    return [
        file.relative_to(root).as_posix() if short.count(name) > 1 else name
        for name, file in zip(short, files, strict=True)
    ]


def _captions(root: Path, videos: list[Video]) -> tuple[list[Caption], dict[str, str]]:
    """The captions, and the part of each video where the file tells it."""
    names = {video.id: video.id for video in videos}
    names |= {video.path.relative_to(root).as_posix(): video.id for video in videos}
    found: list[Caption] = []
    parts: dict[str, str] = {}
    table = [file for file in (root / "captions.csv", root / "captions.jsonl") if file.is_file()]
    if len(table) > 1:
        raise DataInvalid(f"folder: both {table[0]} and {table[1]} are there; keep one")
    entries = _entries(table[0]) if table else _beside(root, videos)
    for where, video, caption, part in entries:
        if video not in names:
            raise DataInvalid(f"{where}: there is no video {video!r} under {root}; names are as {next(iter(names))!r}")
        found.append(
            Caption(f"{names[video]}#{sum(one.video == names[video] for one in found)}", names[video], caption)
        )
        if part:
            if part not in PARTS:
                raise DataInvalid(f"{where}: split {part!r}; a split is one of {', '.join(PARTS)}")
            if parts.setdefault(names[video], part) != part:
                raise DataInvalid(f"{where}: video {video!r} is in {parts[names[video]]} as well")
    return found, parts


def _entries(file: Path) -> Iterator[tuple[str, str, str, str]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataInvalid(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    if file.suffix == ".csv":
        reader = csv.DictReader(text.splitlines(keepends=True))
        if not {"video", "caption"} <= set(reader.fieldnames or ()):
            raise DataInvalid(f"{file}: its first line names {reader.fieldnames}; expected video,caption[,split]")
        for entry in reader:
            yield (
                f"{file}, line {reader.line_num}",
                entry["video"] or "",
                entry["caption"] or "",
                entry.get("split") or "",
            )
        return
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{file}, line {number}"
        if line.strip():
            try:
                entry = json.loads(line)
                yield where, str(entry["video"]), str(entry["caption"]), str(entry.get("split") or "")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataInvalid(f'{where}: expected {{"video": ..., "caption": ...}}, found {line[:60]!r}') from error


def _beside(root: Path, videos: list[Video]) -> Iterator[tuple[str, str, str, str]]:
    for video in videos:
        file = video.path.with_suffix(".txt")
        if file.is_file():
            try:
                lines = file.read_text(encoding="utf-8-sig").splitlines()
            except UnicodeDecodeError as error:
                raise DataInvalid(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield f"{file}, line {number}", video.id, line.strip(), ""


def _splits(captions: list[Caption], given: dict[str, str]) -> dict[str, dict[str, tuple[int, ...]]]:
    splits: dict[str, dict[str, tuple[int, ...]]] = {"all": {"test": tuple(range(len(captions)))}}
    if given:
        splits["given"] = _by_part([given.get(caption.video, "train") for caption in captions])
    if len({caption.video for caption in captions}) >= 10:
        splits["hash"] = _by_part([_part_of(caption.video) for caption in captions])
    return splits


def _by_part(parts: list[str]) -> dict[str, tuple[int, ...]]:
    return {part: tuple(row for row, its in enumerate(parts) if its == part) for part in PARTS}


def _part_of(video: str) -> str:
    drawn = int.from_bytes(hashlib.sha256(video.encode("utf-8", "surrogatepass")).digest()[:4], "big") % 10
    return "train" if drawn < 8 else "val" if drawn == 8 else "test"


SPEC = DatasetSpec(
    name="folder",
    summary="any folder of videos, captions optional",
    source="yours: --root FOLDER",
    docs="docs/datasets.md",
    load=load,
    prepare=None,
    default_root="data/folder",
    default_backbones=("clip:ViT-B-32/openai", "clap", "clip:ViT-B-32/openai"),
)
