"""`csv`: a table of your own, `video,caption[,start,end,split]`: clips inside longer videos, one caption per line.

`folder` takes whole videos with captions beside them; this takes parts of videos, and files anywhere.
"""

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from gaid.datasets.folder import PART_NAMES, hash_parts
from gaid.datasets.parts import TOO_FEW, hold_out, large_enough, rows_by_part
from gaid.datasets.reading import VIDEO_SUFFIXES, find_files, one_line, plain_name, read_table, seconds_of
from gaid.datasets.types import PARTS, Caption, Dataset, DatasetSpec, Video
from gaid.errors import DataInvalid, DataMissing

TABLE = "captions.csv"


@dataclass(frozen=True)
class _Line:
    """One line of the table; `source` is the video as it was typed."""

    where: str
    source: str
    start: float | None
    end: float | None
    text: str
    split: str

    @property
    def name(self) -> str:
        """The video's name without its suffix."""
        name = Path(plain_name(self.source).removeprefix("./"))
        return str(name.with_suffix("")) if name.suffix.lower() in VIDEO_SUFFIXES else str(name)

    @property
    def clip(self) -> str:
        """The clip's id: the video's name, and its times where it is a part of it."""
        if self.start is None and self.end is None:
            return self.name
        return f"{self.name}@{_stamp(self.start or 0.0)}-{'' if self.end is None else _stamp(self.end)}"


def _stamp(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def load(root: Path) -> Dataset:
    """The clips of a table. `root` is the table, or a folder with `captions.csv` or one other .csv in it.

    `video` is a path, from the table's folder where it is not absolute; the suffix may be left out. Lines of the same video and
    times are captions of one clip. Times are seconds (75.5) or clock times (1:15.5); an empty start is the video's, an
    empty end its end. Protocols: `given` where there is a split column, `hash` (80/10/10 by a hash of the video, so that
    no video is in two parts) and `all` (everything is test), as for `folder`. A given train without val has some of its videos held
    out. Raises DataMissing and DataInvalid.
    """
    table = _table(root)
    lines = list(_lines(table))
    if not lines:
        raise DataInvalid(f"{table}: has no line below its header")
    files = _files(table.parent, lines)
    notes: list[str] = []
    first: dict[str, _Line] = {}
    captions: list[Caption] = []
    count: Counter[str] = Counter()
    said: set[tuple[str, str]] = set()
    repeated: list[str] = []
    for line in lines:
        known = first.setdefault(line.clip, line)
        if known.split != line.split:
            raise DataInvalid(
                f"{line.where}: {line.clip} is in {line.split} here and in {known.split} by {known.where}"
            )
        if (known.start, known.end) != (line.start, line.end) or known.source != line.source:
            _check_same(line, known)
        if (line.clip, line.text) in said:
            repeated.append(line.where)
        said.add((line.clip, line.text))
        captions.append(Caption(f"{line.clip}#{count[line.clip]}", line.clip, line.text))
        count[line.clip] += 1
    if repeated:
        notes.append(
            f"{len(repeated)} lines repeat a caption of the same clip, the first is {repeated[0]}; they are kept"
        )
    missing = tuple(clip for clip, line in first.items() if not files[line.source].exists())
    if len(missing) == len(first):
        raise DataMissing(
            f"{table}: none of its videos are there; the first one is expected at {files[lines[0].source]}"
        )
    splits = _splits(captions, first, files, missing, notes)
    return Dataset(
        name="csv",
        root=table,
        videos=tuple(
            Video(clip, files[one.source], one.start, one.end, entry=Path(one.where).name)
            for clip, one in first.items()
        ),
        captions=tuple(captions),
        splits=splits,
        default_protocol=next(iter(splits)),
        missing=missing,
        notes=tuple(notes),
    )


def _table(root: Path) -> Path:
    if root.is_file():
        return root
    if not root.is_dir():
        raise DataMissing(f"csv: {root} is not there; name your table, or its folder, with --root")
    tables = sorted(file for file in root.glob("*.csv") if not file.name.startswith("."))
    chosen = next((file for file in tables if file.name == TABLE), tables[0] if len(tables) == 1 else None)
    if chosen is None:
        found = f"{len(tables)}, such as {tables[0].name} and {tables[1].name}" if tables else "none"
        raise DataMissing(f"csv: {root} holds no {TABLE}, and other .csv files: {found}; name one with --root FILE.csv")
    return chosen


def _lines(table: Path) -> list[_Line]:
    lines = []
    for where, row in read_table(table, ("video", "caption")):
        start, end = (
            # To the millisecond, as in the ids.
            round(seconds_of(row[column], f"{where}: {column}"), 3) if row.get(column) else None
            for column in ("start", "end")
        )
        if end is not None and end <= (start or 0.0):
            raise DataInvalid(f"{where}: ends at {end:g} s, which is not after its start at {start or 0:g} s")
        split = ""
        if "split" in row:
            split = PART_NAMES.get(row["split"].lower(), "")
            if not split:
                found = f"split {row['split']!r} is not one of {', '.join(PARTS)}" if row["split"] else "no split"
                raise DataInvalid(f"{where}: {found}; fill it in, or drop the column")
        lines.append(_Line(where, row["video"], start, end, one_line(row["caption"]), split))
    return lines


def _files(folder: Path, lines: list[_Line]) -> dict[str, Path]:
    """The file of each video as it was typed. Names without a suffix are looked for beside those that have one."""
    found: dict[str, Path] = {}
    by_name: dict[str, list[Path]] | None = None
    for line in lines:
        if line.source in found:
            continue
        typed = folder / line.source.replace("\\", "/")
        if not typed.is_file():
            if by_name is None:
                by_name = defaultdict(list)
                for file in find_files(folder, VIDEO_SUFFIXES):
                    inside = file.relative_to(folder)
                    for name in {plain_name(inside), plain_name(inside.with_suffix(""))}:
                        by_name[name].append(file)
            meant = by_name.get(plain_name(line.source).removeprefix("./"), [])
            if len(meant) > 1:
                named = " or ".join(file.name for file in meant[:3])
                raise DataInvalid(f"{line.where}: {line.source!r} can mean {named}; write the suffix")
            typed = meant[0] if meant else typed
        found[line.source] = typed
    return found


def _check_same(line: _Line, known: _Line) -> None:
    """Two spellings of one id must mean one clip of one file."""
    suffixes = {Path(one.source).suffix.lower() for one in (line, known)} & set(VIDEO_SUFFIXES)
    if len(suffixes) > 1 or (known.start or 0, known.end) != (line.start or 0, line.end):
        raise DataInvalid(
            f"{line.where}: {line.source!r} would have the id of {known.source!r} ({known.where}), {line.clip}"
        )


def _splits(
    captions: list[Caption], first: dict[str, _Line], files: dict[str, Path], missing: Collection[str], notes: list[str]
) -> dict[str, dict[str, tuple[int, ...]]]:
    """The protocols, the default one first."""
    # Grouped by the name as typed, which is the same on every machine; two spellings of one file are one video.
    name_of: dict[Path, str] = {}
    sources: dict[str, list[str]] = defaultdict(list)
    for clip, line in first.items():
        sources[name_of.setdefault(files[line.source], line.name)].append(clip)
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    given = {clip: line.split for clip, line in first.items() if line.split}
    if given:
        several = [clips for clips in sources.values() if len({given[clip] for clip in clips}) > 1]
        if several:
            notes.append(
                f"{len(several)} videos have clips in more than one part, such as {several[0][0]} and {several[0][-1]}"
            )
        if "train" in given.values() and "val" not in given.values():
            held = hold_out([source for source, clips in sources.items() if given[clips[0]] == "train"], "csv")
            given |= {clip: "val" for source in held for clip in sources[source] if given[clip] == "train"}
            notes.append(
                f"no val in the split column: the clips of {len(held)} training videos are held out, by a hash"
            )
        found["given"] = rows_by_part(captions, given)
    hashed: dict[str, tuple[int, ...]] = {}
    if len(sources) >= 3:
        parts = hash_parts(sorted(sources))
        hashed = rows_by_part(captions, {clip: part for name, part in parts.items() for clip in sources[name]})
    if large_enough(captions, hashed, missing):
        found["hash"] = hashed
    found["all"] = {"test": tuple(range(len(captions)))}
    if hashed:
        found.setdefault("hash", hashed)
    if next(iter(found)) == "all":
        notes.append(TOO_FEW)
    return found


SPEC = DatasetSpec(
    name="csv",
    summary="a table of your own, video,caption[,start,end,split]: clips inside longer videos",
    source="yours: --root TABLE.csv",
    load=load,
    sounds_beside=True,
    default_root="data/csv",
)
