"""`folder`: any folder of videos, with captions where there are some.

Captions come from one place: `captions.csv` (video,caption[,split]), else `captions.jsonl` (the same keys, one object per
line), else NAME.txt beside a video (one caption per line). Without any, the videos can still be extracted and searched.
"""

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from gaid.datasets.parts import TOO_FEW, large_enough, part_size, rows_by_part
from gaid.datasets.reading import (
    SOUND_SUFFIXES,
    VIDEO_SUFFIXES,
    plain_file_name,
    plain_name,
    read_lines,
    read_table,
)
from gaid.datasets.types import PARTS, Caption, Dataset, DatasetSpec, WholeFiles, is_unicode
from gaid.errors import DataInvalid, DataMissing
from gaid.paths import iter_files

# Shares of the captioned videos. A hash of the id chooses the part, so a video stays in its part when others are added.
TRAIN, VALIDATION = 0.8, 0.1
PART_NAMES = {part: part for part in PARTS} | {"training": "train", "validation": "val", "valid": "val", "dev": "val"}


@dataclass(frozen=True)
class Entry:
    """One line of a caption file: where it stands, the video as it was typed, the caption, and the split or nothing."""

    where: str
    video: str
    text: str
    split: str


def load(root: Path) -> Dataset:
    """All videos under `root` (recursively, hidden files left aside), in the order of their paths, and their captions.

    A video's id is its path under `root` without the suffix, or with it where two would be the same. A video that the
    caption file names and that is not there is kept and listed as missing.

    Protocols: `given` where captions.csv has a split column; `hash`, 80 % of the captioned videos to train, 10 % each
    (`part_size`) to val and test; `all`, everything in test. The default is the first of these that is there; `hash` is
    the default only where each part has ten videos, and needs three to be there. Raises DataMissing and DataInvalid.
    """
    if not root.is_dir():
        raise DataMissing(
            f"folder: {root} is {'not a folder' if root.exists() else 'not there'}; name yours with --root"
        )
    names = list(iter_files(root, VIDEO_SUFFIXES))
    if not names:
        raise DataMissing(f"folder: no video under {root} (looked for {' '.join(VIDEO_SUFFIXES)}); name another --root")
    ids = _ids(names)
    source, entries, notes = _find_entries(root, ids, names)
    known = _Names(root, ids, names)
    captions, given, missing = _captions(entries, known)
    if missing and len(missing) == len({caption.video for caption in captions}):
        raise DataInvalid(
            f"{source}: none of its videos are under {root}, the first is {missing[0]!r}; the names there look like {ids[0]!r}"
        )
    splits = _splits(captions, given, missing)
    return Dataset(
        name="folder",
        root=root,
        videos=WholeFiles(root, ids + missing, names + [os.fspath(Path(name)) for name in missing]),
        captions=tuple(captions),
        splits=splits,
        default_protocol=next(iter(splits)),
        missing=tuple(missing),
        notes=tuple(notes + _notes(ids, captions, splits)),
    )


def part_of(video: str) -> str:
    """The part of protocol `hash` that the hash of a video's id chooses."""
    place = _place(video)
    return "train" if place < TRAIN else "val" if place < TRAIN + VALIDATION else "test"


def _ids(names: list[str]) -> list[str]:
    """The names without suffix; whole where two would be the same, and numbered where even those are."""
    ids = [plain_file_name(os.path.splitext(name)[0]) for name in names]  # noqa: PTH122 (a million names)
    if len(set(ids)) == len(ids):
        return ids
    whole = list(map(plain_file_name, names))
    while clash := {name for name, count in Counter(ids).items() if count > 1}:
        longer = [full if name in clash else name for name, full in zip(ids, whole, strict=True)]
        if longer == ids:  # two names that differ only in how they compose letters
            seen: Counter[str] = Counter()
            for row, name in enumerate(ids):
                seen[name] += 1
                if seen[name] > 1:
                    longer[row] = whole[row] = f"{name}~{seen[name]}"
        ids = longer
    return ids


class _Names:
    """Finds the video that a user meant: by path with or without suffix, or by bare name where only one has it. `ids` of the videos,
    and their files' `names` under the root."""

    def __init__(self, root: Path, ids: list[str], names: list[str]) -> None:
        self.root, self._ids, self._names = root, ids, names

    @cached_property
    def exact(self) -> set[str]:
        return set(self._ids)

    @cached_property
    def ids(self) -> dict[str, set[str]]:
        """The videos of a path, with or without its suffix."""
        found: dict[str, set[str]] = defaultdict(set)
        for video, name in zip(self._ids, self._names, strict=True):
            for known in (video, plain_file_name(name), plain_file_name(os.path.splitext(name)[0])):  # noqa: PTH122
                found[known].add(video)
        return found

    @cached_property
    def bare(self) -> dict[str, set[str]]:
        """The videos whose file has a name, with or without its suffix."""
        found: dict[str, set[str]] = defaultdict(set)
        for video, name in zip(self._ids, self._names, strict=True):
            file = Path(name)
            for known in (file.name, file.stem):
                found[plain_file_name(known)].add(video)
        return found

    def find(self, entry: Entry) -> str | None:
        """The id, or None where there is no such video. Raises DataInvalid where there are several."""
        typed = plain_name(entry.video).removeprefix("./")
        start = f"{plain_name(self.root)}/"
        typed = typed.removeprefix(start).removeprefix(f"{plain_name(self.root.absolute())}/")
        if typed in self.exact:
            return typed
        meant = self.ids.get(typed) or self.bare.get(typed) or set()
        if len(meant) > 1:
            raise DataInvalid(
                f"{entry.where}: {entry.video!r} can mean {' or '.join(sorted(meant)[:3])}; name one of these"
            )
        return next(iter(meant), None)

    def as_missing(self, entry: Entry) -> str:
        """The id of a video that is named and absent."""
        name = plain_name(entry.video).removeprefix("./")
        path = Path(name)
        return plain_name(path.with_suffix("")) if path.suffix.lower() in VIDEO_SUFFIXES else name


def _find_entries(root: Path, ids: list[str], names: list[str]) -> tuple[Path, Iterator[Entry], list[str]]:
    """The file or folder of the captions, the captions, and notes on what was left out."""
    tables = [file for file in (root / "captions.csv", root / "captions.jsonl") if file.is_file()]
    if len(tables) > 1:
        raise DataInvalid(f"folder: both {tables[0]} and {tables[1]} are there; keep one")
    texts = {os.path.splitext(name)[0] for name in iter_files(root, (".txt",))}  # noqa: PTH122 (a million names)
    stems = (os.path.splitext(name)[0] for name in (names if texts else ()))  # noqa: PTH122
    beside = [(video, root / f"{stem}.txt") for video, stem in zip(ids, stems, strict=False) if stem in texts]
    beside = [(video, file) for video, file in beside if file.is_file()]
    if not tables:
        return root, _beside(beside), []
    notes = (
        [f"captions are those of {tables[0].name}; {len(beside)} .txt files beside videos are not read"]
        if beside
        else []
    )
    return tables[0], _in_table(tables[0]) if tables[0].suffix == ".csv" else _in_lines(tables[0]), notes


def _in_table(file: Path) -> Iterator[Entry]:
    for where, row in read_table(file, ("video", "caption")):
        split = row.get("split")
        if split == "":
            raise DataInvalid(f"{where}: the split is empty; fill it in, or drop the column")
        yield Entry(where, row["video"], row["caption"], split or "")


def _in_lines(file: Path) -> Iterator[Entry]:
    for where, line in read_lines(file):
        try:
            row = json.loads(line, object_pairs_hook=partial(_once, where))
            found = [row[key] for key in ("video", "caption")] + [row.get("split") or ""]
        except DataInvalid:
            raise
        except (ValueError, KeyError, TypeError, AttributeError):
            found = []
        if len(found) != 3 or not all(isinstance(value, str) for value in found) or not all(map(str.strip, found[:2])):
            raise DataInvalid(f'{where}: expected {{"video": "...", "caption": "..."}}, found {line[:60]!r}')
        yield Entry(where, *(value.strip() for value in found))


def _once(where: str, pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object in which no key occurs twice: json would keep the last one silently."""
    twice = next((key for key, count in Counter(key for key, _ in pairs).items() if count > 1), None)
    if twice is not None:
        raise DataInvalid(f"{where}: the key {twice!r} occurs twice; keep one")
    return dict(pairs)


def _beside(files: Iterable[tuple[str, Path]]) -> Iterator[Entry]:
    for video, file in files:
        for where, line in read_lines(file):
            yield Entry(where, video, line, "")


def _captions(entries: Iterable[Entry], known: _Names) -> tuple[list[Caption], dict[str, str], list[str]]:
    """The captions, the part of each video where the file names one, and the videos that are absent."""
    captions: list[Caption] = []
    parts: dict[str, str] = {}
    missing: dict[str, None] = {}
    count: Counter[str] = Counter()
    for entry in entries:
        if not is_unicode(entry.video + entry.text):
            raise DataInvalid(
                f"{entry.where}: holds half of a character (a lone surrogate); write the whole character, or leave it out"
            )
        video = known.find(entry)
        if video is None:
            video = known.as_missing(entry)
            missing[video] = None
        captions.append(Caption(f"{video}#{count[video]}", video, " ".join(entry.text.split())))
        count[video] += 1
        if entry.split:
            part = PART_NAMES.get(entry.split.lower())
            if part is None:
                raise DataInvalid(f"{entry.where}: split {entry.split!r} is not one of {', '.join(PARTS)}")
            if parts.setdefault(video, part) != part:
                raise DataInvalid(f"{entry.where}: video {entry.video!r} is in {part} here and in {parts[video]} above")
    unsplit = next((caption.video for caption in captions if parts and caption.video not in parts), None)
    if unsplit is not None:
        raise DataInvalid(f"{known.root}: video {unsplit!r} has captions without a split, while others have one")
    return captions, parts, list(missing)


def _splits(
    captions: list[Caption], given: Mapping[str, str], missing: list[str]
) -> dict[str, dict[str, tuple[int, ...]]]:
    """The protocols, the default one first."""
    videos = sorted({caption.video for caption in captions})
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    if given:
        found["given"] = rows_by_part(captions, given)
    hashed = rows_by_part(captions, hash_parts(videos)) if len(videos) >= 3 else {}
    if large_enough(captions, hashed, missing):
        found["hash"] = hashed
    found["all"] = {"test": tuple(range(len(captions)))}
    if hashed:
        found.setdefault("hash", hashed)
    return found


def hash_parts(videos: list[str]) -> dict[str, str]:
    """A part for each video by its hash; where that leaves val or test too small, by its rank among the hashes instead."""
    parts = {video: part_of(video) for video in videos}
    counts = Counter(parts.values())
    if min(counts[part] for part in PARTS) >= part_size(0, len(videos)):
        return parts
    few = part_size(round(len(videos) * VALIDATION), len(videos))
    ranked = sorted(videos, key=_place)
    return {
        video: "train" if rank < len(videos) - 2 * few else "val" if rank < len(videos) - few else "test"
        for rank, video in enumerate(ranked)
    }


def _place(video: str) -> float:
    return int.from_bytes(hashlib.sha256(f"gaid folder {video}".encode()).digest()[:8], "big") / 2**64


def _notes(videos: list[str], captions: list[Caption], splits: Mapping[str, object]) -> list[str]:
    if not captions:
        return [
            "no captions (captions.csv, captions.jsonl, or NAME.txt beside a video): there is nothing to train on or to evaluate"
        ]
    silent = len(set(videos) - {caption.video for caption in captions})
    notes = (
        [f"{silent} of {len(videos)} videos have no caption: they are extracted, but belong to no split"]
        if silent
        else []
    )
    if next(iter(splits)) == "all":
        notes.append(TOO_FEW)
    return notes


SPEC = DatasetSpec(
    name="folder",
    summary="any folder of videos of your own, captions optional",
    source="yours: --root FOLDER",
    load=load,
    sounds_beside=True,
    grows=(*VIDEO_SUFFIXES, *SOUND_SUFFIXES, ".txt", ".csv", ".jsonl"),
    default_root="data/folder",
)
