"""`vatex`: ten-second clips of YouTube videos with ten English captions each, split as HGR split them for retrieval.

Reads the official json files (or HGR's ref_captions.json) and HGR's lists of names. docs/datasets.md says where they are.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gaid.datasets.parts import NamedFiles, check_root, hold_out, pick, rows_by_part
from gaid.datasets.reading import VIDEO_SUFFIXES, check_text, find_files, read_json, read_lines, text_of
from gaid.datasets.types import Caption, Dataset, DatasetSpec, Published, Video
from gaid.errors import DataInvalid, DataMissing

# HGR's archive has the lists as numpy's files, loaders that build on it as text.
LISTS = {
    "train": ("train_list.txt", "trn_names.npy"),
    "val": ("val_list.txt", "val_names.npy"),
    "test": ("test_list.txt", "tst_names.npy"),
}
OFFICIAL = ("vatex_training_v1.0.json", "vatex_validation_v1.0.json")
COLLECTED = "ref_captions.json"
_ID = re.compile(r"(?P<source>.{11})_(?P<start>\d{6})_(?P<end>\d{6})")
_SOURCE = (
    "captions: vatex_training_v1.0.json and vatex_validation_v1.0.json from VATEX's site; lists: the cshizhe/hgr_v2t "
    "repository's data (docs/datasets.md)"
)


def load(root: Path) -> Dataset:
    """Protocol `hgr`: 25,991 training videos, and the official validation halved into 1,500 for validation and 1,500 for test.

    All ten captions of a test video are queries; `gaid eval --first-caption` asks only the first, as GAID's and other
    published evaluations do. A clip is the file of its id (-cjhQOOQ_J4_000026_000036.mp4); where there is none, the part that
    the id tells of the source video's file (-cjhQOOQ_J4.mp4); neither: it is kept and listed as missing. Without a training
    list training is all of the official training file. Raises DataMissing and DataInvalid.
    """
    check_root(root, "vatex", _SOURCE)
    found = find_files(root, (*VIDEO_SUFFIXES, ".json", ".txt", ".npy"))
    sentences = _sentences(found, root)
    lists = {part: file for part, names in LISTS.items() if (file := pick(found, names)) is not None}
    if "test" not in lists:
        raise DataMissing(f"vatex: {' or '.join(LISTS['test'])} not found under {root}; get {_SOURCE}")
    notes: list[str] = []
    part_of: dict[str, str] = {}
    entries: dict[str, str] = {}
    for part in ("test", "val", "train"):
        for where, name in _listed(lists[part]) if part in lists else ():
            if name in part_of:
                raise DataInvalid(f"{where}: {name} is in {part_of[name]} already, by {entries[name]}")
            if name not in sentences:
                raise DataInvalid(f"{where}: {name} has no caption in the json files")
            part_of[name], entries[name] = part, where
    if "train" not in lists:
        for name, (where, _, origin) in sentences.items():
            if origin == OFFICIAL[0] and name not in part_of:
                part_of[name], entries[name] = "train", where
        if "train" in part_of.values():
            notes.append(f"no list of training videos: they are all of {OFFICIAL[0]}")
    if "val" not in lists and "train" in part_of.values():
        train = [name for name, part in part_of.items() if part == "train"]
        part_of |= dict.fromkeys(hold_out(train, "vatex"), "val")
        notes.append("no list of validation videos; they are held out of train by a hash")
    captions = [
        Caption(f"{name}#{number}", name, text) for name in part_of for number, text in enumerate(sentences[name][1])
    ]
    files = NamedFiles(file for file in found if file.suffix.lower() in VIDEO_SUFFIXES)
    videos = [_video(name, where, files, root) for name, where in entries.items()]
    whole = sum(video.start is not None for video in videos)
    if whole:
        notes.append(
            f"{whole} clips have no file of their own and are cut out of their source videos by their ids' times"
        )
    return Dataset(
        name="vatex",
        root=root,
        videos=tuple(videos),
        captions=tuple(captions),
        splits={"hgr": rows_by_part(captions, part_of)},
        default_protocol="hgr",
        missing=tuple(video.id for video in videos if files.find(video.path.stem) is None),
        notes=tuple(notes + files.copies(entries)),
    )


def _sentences(found: list[Path], root: Path) -> dict[str, tuple[str, list[str], str]]:
    """For each video where it is described, its captions, and the name of that file."""
    collected = pick(found, [COLLECTED])
    sentences: dict[str, tuple[str, list[str], str]] = {}
    if collected is not None:
        for name, texts in read_json(collected, dict, "HGR's captions by video").items():
            where = f"{collected}: {name!r}"
            sentences[_without_suffix(name)] = where, _texts(texts, where), COLLECTED
        return sentences
    official = [file for name in OFFICIAL if (file := pick(found, [name])) is not None]
    if not official:
        raise DataMissing(f"vatex: neither {' nor '.join(OFFICIAL)} nor {COLLECTED} under {root}; get {_SOURCE}")
    for file in official:
        for number, entry in enumerate(read_json(file, list, "VATEX's list of videos")):
            where = f"{file}: entry {number}"
            name = text_of(entry, "videoID", where)
            if name in sentences:
                raise DataInvalid(f"{where}: {name} is described already, in {sentences[name][0]}")
            if "enCap" not in entry:
                raise DataInvalid(f"{where}: no 'enCap'; the public test file has no captions and is not used here")
            sentences[name] = where, _texts(entry["enCap"], f"{where}: 'enCap'"), file.name
    return sentences


def _without_suffix(name: str) -> str:
    """Some lists name files, not clips."""
    return Path(name).stem if Path(name).suffix.lower() in VIDEO_SUFFIXES else name


def _texts(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not value:
        raise DataInvalid(f"{where} is no list of captions, but {str(value)[:60]!r}")
    return [check_text(text, f"{where}, caption {number}") for number, text in enumerate(value)]


def _listed(file: Path) -> Iterator[tuple[str, str]]:
    """The names of a list, each after where it stands."""
    lines = 0
    for where, name in _lines_of_array(file) if file.suffix == ".npy" else read_lines(file):
        lines += 1
        yield where, _without_suffix(name)
    if not lines:
        raise DataInvalid(f"{file}: lists no video")


def _lines_of_array(file: Path) -> Iterator[tuple[str, str]]:
    import numpy as np

    try:
        names = np.load(file, allow_pickle=False)  # a pickle may run code
    except (OSError, ValueError, EOFError) as error:
        reason = str(error).split(";")[0].split("\n")[0]
        text_file = next(names[0] for names in LISTS.values() if file.name in names)
        raise DataInvalid(
            f"{file}: no plain array of names ({reason}); write them as {text_file}, one a line"
        ) from None
    if names.dtype.kind not in "US" or names.ndim != 1:
        raise DataInvalid(f"{file}: holds {names.dtype} {names.shape}, expected a list of names")
    for number, name in enumerate(names.tolist()):
        text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
        yield f"{file}, entry {number}", check_text(text, f"{file}, entry {number}: the name")


def _video(name: str, where: str, files: NamedFiles, root: Path) -> Video:
    file = files.find(name)
    told = _ID.fullmatch(name)
    if file is None and told is not None and (source := files.find(told["source"])) is not None:
        start, end = float(told["start"]), float(told["end"])
        if end <= start:
            raise DataInvalid(f"{where}: {name} ends at {end:g} s, which is not after its start at {start:g} s")
        return Video(name, source, start, end, entry=Path(where).name)
    return Video(name, file or root / "videos" / f"{name}.mp4", entry=Path(where).name)


SPEC = DatasetSpec(
    name="vatex",
    summary="VATEX: 28,991 clips of 10 s from YouTube, ten English captions each, HGR's 1,500-clip test",
    source=_SOURCE,
    docs="docs/datasets.md",
    load=load,
    default_root="data/vatex",
    default_backbones=("clip:ViT-B-32/openai", "clap", "clip:ViT-B-32/openai"),
    published=(
        Published("hgr", ("train",), 25_991, 259_910, "danieljf24/hybrid_space, dataset/README.md"),
        Published("hgr", ("val",), 1_500, 15_000, "danieljf24/hybrid_space, dataset/README.md"),
        Published("hgr", ("test",), 1_500, 15_000, "danieljf24/hybrid_space, dataset/README.md"),
    ),
)
