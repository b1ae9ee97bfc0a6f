"""`vatex`: ten-second clips of YouTube videos with ten English captions each, split as HGR split them, or officially.

Reads the official json files (or HGR's ref_captions.json) and HGR's lists of names. docs/datasets.md says where they are.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gaid.datasets.parts import NamedFiles, check_root, hold_out, impossible_cuts, own_or_cut, pick, rows_by_part
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
# As GAID's code reads them: a part of the official training, and the test that it made of the official validation.
SUBSET = {"train": "vatex_training_v1.0_subset.json", "test": "vatex_validation_v1.0_subset_split.json"}
# Version 1.1 has ten captions per clip; the public test file of version 1.0 had none.
PUBLIC_TEST = "vatex_public_test_english_v1.1.json"
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
    the id names of the source video's file (-cjhQOOQ_J4.mp4), or all of that file where it is no longer than the clip, as
    in GAID's folders; if both are absent it is kept and listed as missing. Without a training list training is all of the
    official training file.

    Protocol `subset`, where GAID's files are there (`SUBSET`): its training, of which validation is held out, and its test.
    Protocol `official`, where the public test file is there: the official training, validation and public test (6,000 clips).
    Raises DataMissing and DataInvalid.
    """
    check_root(root, "vatex", _SOURCE)
    found = find_files(root, (*VIDEO_SUFFIXES, ".json", ".txt", ".npy"))
    files = NamedFiles(file for file in found if file.suffix.lower() in VIDEO_SUFFIXES)
    subset = {part: _described(file, {}) for part, name in SUBSET.items() if (file := pick(found, [name])) is not None}
    sentences = _sentences(found, root, subset)
    lists = {part: file for part, names in LISTS.items() if (file := pick(found, names)) is not None}
    public_test = [name for name, one in sentences.items() if one.file == PUBLIC_TEST]
    if "test" not in lists and not public_test and "test" not in subset:
        raise DataMissing(
            f"vatex: {' or '.join(LISTS['test'])} not found under {root} (nor {PUBLIC_TEST}); get {_SOURCE}"
        )
    notes: list[str] = []
    parts: dict[str, dict[str, str]] = {}
    entries: dict[str, str] = {}
    if "test" in lists:
        parts["hgr"] = _hgr(lists, sentences, entries, notes)
    if public_test and ("hgr" not in parts or any(_file_of(name, files) is not None for name in public_test)):
        parts["official"] = _official(sentences, parts.get("hgr", {}))
        entries |= {name: sentences[name].where for name in parts["official"] if name not in entries}
    elif public_test:
        notes.append(f"none of the {len(public_test)} clips of {PUBLIC_TEST} is here, so they are left out")
    if "test" in subset:
        parts["subset"] = _subset(subset, entries, notes)
    captions = [
        Caption(f"{name}#{number}", name, text) for name in entries for number, text in enumerate(sentences[name].texts)
    ]
    cuts = {name: _cut(name) for name in entries}
    clips_of = Counter(cut[0] for cut in cuts.values() if cut is not None)
    videos = [
        _perhaps_whole(own_or_cut(name, cuts[name], files, root / "videos" / f"{name}.mp4", where), clips_of)
        for name, where in entries.items()
    ]
    notes += impossible_cuts(cuts, files)
    whole = sum(video.start is not None for video in videos)
    if whole:
        notes.append(
            f"{whole} clips have no file of their own and are cut out of their source videos by their ids' times; a file that "
            "is no longer than its clip is taken whole"
        )
    return Dataset(
        name="vatex",
        root=root,
        videos=tuple(videos),
        captions=tuple(captions),
        splits={protocol: rows_by_part(captions, part_of) for protocol, part_of in parts.items()},
        default_protocol=next(iter(parts)),
        missing=tuple(video.id for video in videos if files.find(video.path.stem) is None),
        notes=tuple(notes + files.copies(entries)),
    )


def _hgr(
    lists: dict[str, Path], sentences: dict[str, "_Described"], entries: dict[str, str], notes: list[str]
) -> dict[str, str]:
    """The part of each video that HGR's lists name; `entries` (where each is named) and `notes` are added to."""
    part_of: dict[str, str] = {}
    for part in ("test", "val", "train"):
        for where, name in _listed(lists[part]) if part in lists else ():
            if name in part_of:
                raise DataInvalid(f"{where}: {name} is in {part_of[name]} already, by {entries[name]}")
            if name not in sentences:
                raise DataInvalid(f"{where}: {name} has no caption in the json files")
            part_of[name], entries[name] = part, where
    if "train" not in lists:
        for name, one in sentences.items():
            if one.file == OFFICIAL[0] and name not in part_of:
                part_of[name], entries[name] = "train", one.where
        if "train" in part_of.values():
            notes.append(f"no list of training videos: they are all of {OFFICIAL[0]}")
    if "val" not in lists and "train" in part_of.values():
        train = [name for name, part in part_of.items() if part == "train"]
        part_of |= dict.fromkeys(hold_out(train, "vatex"), "val")
        notes.append("no list of validation videos; they are held out of train by a hash")
    return part_of


def _subset(subset: dict[str, dict[str, "_Described"]], entries: dict[str, str], notes: list[str]) -> dict[str, str]:
    """The part of each video of GAID's files; `entries` and `notes` are added to."""
    test, train = subset["test"], subset.get("train", {})
    both = next((name for name in train if name in test), None)
    if both is not None:
        raise DataInvalid(f"{train[both].where}: {both} is in test already, by {test[both].where}")
    for name, one in {**train, **test}.items():
        entries.setdefault(name, one.where)
    if train:
        notes.append("subset: no list of validation videos; they are held out of train by a hash")
    held = hold_out(train, "vatex")
    return {**{name: "val" if name in held else "train" for name in train}, **dict.fromkeys(test, "test")}


def _perhaps_whole(video: Video, clips_of: Mapping[str, int]) -> Video:
    """The clip, whose file may be the clip itself where no other clip is cut from that file."""
    cut = _cut(video.id)
    return replace(video, may_be_whole=video.start is not None and cut is not None and clips_of[cut[0]] == 1)


def _official(sentences: dict[str, "_Described"], hgr: dict[str, str]) -> dict[str, str]:
    """The official part of each video, by the file that describes it; of HGR's own captions, by HGR's lists."""
    of_file = dict(zip((*OFFICIAL, PUBLIC_TEST), ("train", "val", "test"), strict=True))
    of_hgr = {"train": "train", "val": "val", "test": "val"}  # HGR's val and test are halves of the official validation
    found = {name: of_file.get(one.file) or of_hgr.get(hgr.get(name, "")) for name, one in sentences.items()}
    return {name: part for name, part in found.items() if part is not None}


@dataclass(frozen=True)
class _Described:
    """A video's captions, where they stand, and the name of that file."""

    where: str
    texts: list[str]
    file: str


def _sentences(found: list[Path], root: Path, subset: Mapping[str, Mapping[str, _Described]]) -> dict[str, _Described]:
    """The captions of each video that a file describes. GAID's files repeat some of the official ones."""
    collected = pick(found, [COLLECTED])
    sentences: dict[str, _Described] = {}
    if collected is not None:
        for name, texts in read_json(collected, dict, "HGR's captions by video").items():
            where = f"{collected}: {name!r}"
            sentences[_without_suffix(name)] = _Described(where, _texts(texts, where), COLLECTED)
    names = (PUBLIC_TEST,) if collected is not None else (*OFFICIAL, PUBLIC_TEST)
    official = [file for name in names if (file := pick(found, [name])) is not None]
    if not (official or sentences or subset):
        raise DataMissing(f"vatex: neither {' nor '.join(OFFICIAL)} nor {COLLECTED} under {root}; get {_SOURCE}")
    for file in official:
        sentences |= _described(file, sentences)
    for described in subset.values():
        sentences = {**described, **sentences}
    return sentences


def _described(file: Path, known: Mapping[str, _Described]) -> dict[str, _Described]:
    """What a json file of VATEX says of its videos, none of which is `known`."""
    found: dict[str, _Described] = {}
    for number, entry in enumerate(read_json(file, list, "VATEX's list of videos")):
        where = f"{file}: entry {number}"
        name = text_of(entry, "videoID", where)
        if (other := known.get(name) or found.get(name)) is not None:
            raise DataInvalid(f"{where}: {name} is described already, in {other.where}")
        if "enCap" not in entry:
            raise DataInvalid(f"{where}: no 'enCap'; of the public test only {PUBLIC_TEST} has captions")
        found[name] = _Described(where, _texts(entry["enCap"], f"{where}: 'enCap'"), file.name)
    return found


def _without_suffix(name: str) -> str:
    """Some lists name files, not clips."""
    return Path(name).stem if Path(name).suffix.lower() in VIDEO_SUFFIXES else name


def _texts(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not value:
        raise DataInvalid(f"{where} is not a list of captions, but {str(value)[:60]!r}")
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
            f"{file}: not a plain array of names ({reason}); write them as {text_file}, one per line"
        ) from None
    if names.dtype.kind not in "US" or names.ndim != 1:
        raise DataInvalid(f"{file}: holds {names.dtype} {names.shape}, expected a list of names")
    for number, name in enumerate(names.tolist()):
        text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
        yield f"{file}, entry {number}", check_text(text, f"{file}, entry {number}: the name")


def _file_of(name: str, files: NamedFiles) -> Path | None:
    """The clip's file, or else that of its source video."""
    cut = _cut(name)
    return files.find(name) or (files.find(cut[0]) if cut is not None else None)


def _cut(name: str) -> tuple[str, float, float] | None:
    """The source video that an id names, and the clip's start and end in seconds."""
    found = _ID.fullmatch(name)
    return None if found is None else (found["source"], float(found["start"]), float(found["end"]))


SPEC = DatasetSpec(
    name="vatex",
    summary="VATEX: 28,991 clips of 10 s from YouTube, ten English captions each, HGR's 1,500-clip test",
    source=_SOURCE,
    load=load,
    sounds_beside=True,
    default_root="data/vatex",
    published=(
        Published("hgr", ("train",), 25_991, 259_910, "danieljf24/hybrid_space, dataset/README.md"),
        Published("hgr", ("val",), 1_500, 15_000, "danieljf24/hybrid_space, dataset/README.md"),
        Published("hgr", ("test",), 1_500, 15_000, "danieljf24/hybrid_space, dataset/README.md"),
    ),
)
