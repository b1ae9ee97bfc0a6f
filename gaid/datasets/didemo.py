"""`didemo`: DiDeMo for paragraph retrieval, a video's descriptions joined into one text.

Reads LocalizingMoments' train_data.json, val_data.json and test_data.json, and the label csv (or the lists of videos) that
published results rest on. Where to get them is in docs/datasets.md.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from gaid.datasets.parts import NamedFiles, check_root, hold_out, pick
from gaid.datasets.reading import (
    VIDEO_SUFFIXES,
    find_files,
    one_line,
    read_json,
    read_lines,
    read_table,
    seconds_of,
    text_of,
)  # fmt: skip
from gaid.datasets.types import PARTS, Caption, Dataset, DatasetSpec, Published, Video
from gaid.errors import DataInvalid, DataMissing

DATA = {part: f"{part}_data.json" for part in PARTS}
LABELS = {part: f"didemo_{part}_label.csv" for part in PARTS}
LISTS = {part: f"{part}_list.txt" for part in PARTS}
# Annotators saw the first 30 s; published loaders read 31 "to save looking up each length", as does the label csv.
SHOWN = 31.0
# Flickr's names: some have these suffixes, some none at all, and the copies on AWS have .mp4 after the whole name.
SUFFIXES = (*VIDEO_SUFFIXES, ".3g2", ".qt", ".", "")
_SOURCE = "train_data.json, val_data.json and test_data.json from the LisaAnne/LocalizingMoments repository (docs/datasets.md)"


@dataclass
class _Paragraph:
    """A video's descriptions, in order, and the part of the file that they are about."""

    where: str
    texts: list[str] = field(default_factory=list)
    start: float = 0.0
    end: float = SHOWN


@dataclass
class _Descriptions:
    """A part's descriptions, by the name as it is written and by video; a video may occur under two suffixes."""

    by_name: dict[str, _Paragraph] = field(default_factory=dict)
    by_video: dict[str, _Paragraph] = field(default_factory=dict)


def load(root: Path) -> Dataset:
    """Protocols `paragraph` (from the json files) and `label` (from the label csv, or from lists and json); one is enough.

    `paragraph` joins all descriptions of a video in the file's order, under whatever suffix its name is written. `label`
    is what published figures rest on: some videos stand in the json under two suffixes, and only descriptions under the
    listed one count. A clip is the first 31 s of its file. A video without a file is kept and listed as missing.
    Raises DataMissing and DataInvalid.
    """
    check_root(root, "didemo", _SOURCE)
    found = find_files(root, (*SUFFIXES, ".json", ".csv", ".txt"))
    described = {part: _described(file) for part, file in _named(found, DATA).items()}
    protocols: dict[str, dict[str, dict[str, _Paragraph]]] = {}
    if described:
        protocols["paragraph"] = {part: one.by_video for part, one in described.items()}
    listed = _listed(found, described)
    if listed:
        protocols["label"] = listed
    if not protocols:
        raise DataMissing(f"didemo: neither {DATA['test']} nor {LABELS['test']} under {root}; get {_SOURCE}")

    captions: list[Caption] = []
    splits: dict[str, dict[str, tuple[int, ...]]] = {}
    clips: dict[str, _Paragraph] = {}
    notes: list[str] = []
    for protocol, parts in protocols.items():
        if "test" not in parts:
            raise DataMissing(f"didemo: no test among the files of protocol {protocol!r} under {root}; get {_SOURCE}")
        _check_parts(parts)
        part_of = {name: part for part, names in parts.items() for name in names}
        if "val" not in parts and "train" in parts:
            part_of |= dict.fromkeys(hold_out(parts["train"], "didemo"), "val")
            notes.append(f"{protocol}: no list of validation videos; they are held out of train by a hash")
        rows: dict[str, list[int]] = {}
        for name, paragraph in ((name, one) for names in parts.values() for name, one in names.items()):
            rows.setdefault(part_of[name], []).append(len(captions))
            captions.append(Caption(f"{name}#{protocol}", name, " ".join(paragraph.texts)))
            clips[name] = paragraph  # the label csv comes last: its times may differ
        splits[protocol] = {part: tuple(rows[part]) for part in PARTS if part in rows}
    files = NamedFiles((file for file in found if file.suffix.lower() in SUFFIXES), _name_of_file)
    videos = [
        Video(name, files.find(name) or root / "videos" / f"{name}.mp4", one.start, one.end)
        for name, one in clips.items()
    ]
    return Dataset(
        name="didemo",
        root=root,
        videos=tuple(videos),
        captions=tuple(captions),
        splits=splits,
        default_protocol=next(iter(splits)),
        missing=tuple(name for name in clips if files.find(name) is None),
        notes=tuple(notes + files.copies(clips)),
    )


def video_name(name: str) -> str:
    """The id of a video: its Flickr name without the suffix, which may be a bare dot."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else name


def _name_of_file(file: Path) -> str:
    """The id that a file's name holds: NAME.mov, NAME.mov.mp4 (from AWS), NAME. and NAME."""
    name = file.name
    while (shorter := video_name(name)) != name:
        name = shorter
    return name


def _named(found: list[Path], names: dict[str, str]) -> dict[str, Path]:
    files = {part: pick(found, [name]) for part, name in names.items()}
    return {part: file for part, file in files.items() if file is not None}


def _described(file: Path) -> _Descriptions:
    """What a json file says, in its order."""
    found = _Descriptions()
    seen: dict[tuple[object, str, str], int] = {}
    for number, entry in enumerate(read_json(file, list, "LocalizingMoments' list of descriptions")):
        where = f"{file}: entry {number}"
        name, text = text_of(entry, "video", where), text_of(entry, "description", where)
        key = entry.get("annotation_id")
        if key is not None and (isinstance(key, bool) or not isinstance(key, int | str)):
            raise DataInvalid(f"{where}: 'annotation_id' is {key!r}, expected a number")
        if key is not None and seen.setdefault((key, name, text), number) != number:
            raise DataInvalid(f"{where}: annotation_id {key} occurs already, in entry {seen[key, name, text]}")
        found.by_name.setdefault(name, _Paragraph(where)).texts.append(text)
        found.by_video.setdefault(video_name(name), _Paragraph(where)).texts.append(text)
    if not found.by_name:
        raise DataInvalid(f"{file}: describes no video")
    return found


def _listed(found: list[Path], described: dict[str, _Descriptions]) -> dict[str, dict[str, _Paragraph]]:
    """The parts of protocol `label`, from the label csv files where there are some, else from lists and descriptions."""
    labels = _named(found, LABELS)
    if labels:
        return {part: _labelled(file) for part, file in labels.items()}
    parts: dict[str, dict[str, _Paragraph]] = {}
    for part, file in _named(found, LISTS).items():
        if part not in described:
            continue
        named: dict[str, _Paragraph] = {}
        for where, line in read_lines(file):
            if line not in described[part].by_name:
                raise DataInvalid(f"{where}: {line} has no description in {DATA[part]}")
            if video_name(line) in named:
                raise DataInvalid(f"{where}: {line} is listed twice")
            named[video_name(line)] = described[part].by_name[line]
        if not named:
            raise DataInvalid(f"{file}: lists no video")
        parts[part] = named
    return parts


def _labelled(file: Path) -> dict[str, _Paragraph]:
    """A label csv: success,video_path,starts,ends,text,formatted_data, times as tensor([[0]])."""
    paragraphs: dict[str, _Paragraph] = {}
    first: dict[str, str] = {}
    for where, row in read_table(file, ("video_path", "starts", "ends", "text")):
        if row.get("success", "True") != "True":
            raise DataInvalid(f"{where}: success is {row['success']!r}, expected True; leave the line out")
        name = video_name(row["video_path"].replace("\\", "/").rsplit("/", 1)[-1])
        if name in first:
            raise DataInvalid(f"{where}: {name} is in {first[name].rsplit(', ', 1)[1]} as well")
        first[name] = where
        start, end = (seconds_of(_number(row[column]), f"{where}: {column}") for column in ("starts", "ends"))
        if end <= start:
            raise DataInvalid(f"{where}: ends at {end:g} s, which is not after its start at {start:g} s")
        paragraphs[name] = _Paragraph(where, [one_line(row["text"])], start, end)
    if not paragraphs:
        raise DataInvalid(f"{file}: labels no video")
    return paragraphs


def _number(text: str) -> str:
    """The number inside `tensor([[31]])`."""
    inside = re.fullmatch(r"tensor\(\[*([^\[\]]*)\]*\)", text)
    return inside[1] if inside else text


def _check_parts(parts: dict[str, dict[str, _Paragraph]]) -> None:
    first: dict[str, str] = {}
    for part, names in parts.items():
        for name, paragraph in names.items():
            if first.setdefault(name, part) != part:
                raise DataInvalid(f"{paragraph.where}: {name} is in {part} here and in {first[name]} as well")


SPEC = DatasetSpec(
    name="didemo",
    summary="DiDeMo: 10,464 Flickr videos, the first 30 s, a paragraph each",
    source="descriptions: the LisaAnne/LocalizingMoments repository, which says where the videos are (docs/datasets.md)",
    load=load,
    sounds_beside=True,
    default_root="data/didemo",
    published=(
        Published(
            "paragraph",
            ("train",),
            8395,
            None,
            "Hendricks et al., ICCV 2017, as reported by albanie/collaborative-experts",
        ),
        Published("paragraph", ("val",), 1065, 1065, "albanie/collaborative-experts, misc/datasets/didemo"),
        Published("paragraph", ("test",), 1004, 1004, "albanie/collaborative-experts, misc/datasets/didemo"),
        Published(
            "label",
            ("train",),
            8392,
            None,
            "albanie/collaborative-experts, misc/datasets/didemo (T-MASS's label csv has 8,362)",
        ),
        Published(
            "label",
            ("val",),
            1065,
            1065,
            "albanie/collaborative-experts, misc/datasets/didemo (T-MASS's label csv has 1,062)",
        ),
        Published(
            "label", ("test",), 1004, 1004, "albanie/collaborative-experts, misc/datasets/didemo; T-MASS's label csv"
        ),
    ),
)
