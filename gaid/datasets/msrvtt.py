"""`msrvtt`: MSR-VTT from the files that people have: MSRVTT_data.json, lists of training and test videos, videoN.mp4.

Where to get them is in docs/msrvtt.md. The test is 1k-A, whose one caption a video comes from the test list itself.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from gaid.datasets.reading import VIDEO_SUFFIXES, find_files, read_table, read_text
from gaid.datasets.types import Caption, Dataset, DatasetSpec, Video
from gaid.errors import DataInvalid, DataMissing

DATA = "MSRVTT_data.json"
TEST = "MSRVTT_JSFUSION_test.csv"
TRAIN = {"9k": "MSRVTT_train.9k.csv", "7k": "MSRVTT_train.7k.csv"}
# Videos of the training list that are validation: the field picks its checkpoints on the test list, which we don't.
HELD_OUT = 500
_SOURCE = "lists: msrvtt_data.zip of the CLIP4Clip repository's release v0.0; videos: docs/msrvtt.md says where"


def load(root: Path) -> Dataset:
    """Protocols `9k` (default) and `7k`, whichever lists are there; all files are looked for anywhere under `root`.

    Validation is 500 videos of the training list, chosen by a hash of their id; of a shorter list a tenth, at least one
    where there are two. The two lists are held out by the same hash, but not of the same videos. A video without a file
    is kept and listed as missing. Raises DataMissing and DataInvalid.
    """
    if not root.is_dir():
        raise DataMissing(f"msrvtt: {root} is {'no folder' if root.exists() else 'not there'}; get {_SOURCE}")
    found = find_files(root, (*VIDEO_SUFFIXES, ".json", ".csv"))
    sentences = _sentences(_one(found, DATA, root))
    test_file = _one(found, TEST, root)
    lists = {protocol: file for protocol, name in TRAIN.items() for file in found if file.name == name}
    if not lists:
        raise DataMissing(f"msrvtt: neither {' nor '.join(TRAIN.values())} under {root}; get {_SOURCE}")

    captions = _test_captions(test_file)
    test = tuple(range(len(captions)))
    tested = {caption.video for caption in captions}
    rows_of: dict[str, range] = {}
    splits: dict[str, dict[str, tuple[int, ...]]] = {}
    for protocol, file in lists.items():
        names = _listed(file, tested, sentences)
        for name in names:
            if name not in rows_of:
                rows_of[name] = range(len(captions), len(captions) + len(sentences[name]))
                captions += [Caption(f"{name}#{number}", name, text) for number, text in enumerate(sentences[name])]
        held = set(sorted(names, key=_draw)[: _held_out(len(names))])
        splits[protocol] = {
            "train": tuple(row for name in names if name not in held for row in rows_of[name]),
            "val": tuple(row for name in names if name in held for row in rows_of[name]),
            "test": test,
        }
    videos, missing, notes = _videos({caption.video for caption in captions}, found, root)
    return Dataset(
        name="msrvtt",
        root=root,
        videos=tuple(videos),
        captions=tuple(captions),
        splits=splits,
        default_protocol=next(iter(splits)),
        missing=tuple(missing),
        notes=tuple(notes),
    )


def _one(found: list[Path], name: str, root: Path) -> Path:
    for file in found:
        if file.name == name and file.is_file():
            return file
    raise DataMissing(f"msrvtt: {name} not found under {root}; get {_SOURCE}")


def _test_captions(file: Path) -> list[Caption]:
    captions = []
    for number, (where, row) in enumerate(read_table(file, ("video_id",))):
        text = row.get("sentence") or row.get("sentences")  # some copies have the plural
        if not text:
            raise DataInvalid(f"{where}: no sentence; its first line should be key,vid_key,video_id,sentence")
        captions.append(Caption(row.get("key") or f"test{number}", row["video_id"], text))
    if not captions:
        raise DataInvalid(f"{file}: lists no video")
    return captions


def _listed(file: Path, tested: set[str], sentences: dict[str, list[str]]) -> list[str]:
    """The videos of a training list, each once, in its order."""
    names: dict[str, None] = {}
    for where, row in read_table(file, ("video_id",)):
        name = row["video_id"]
        if name in tested:
            raise DataInvalid(f"{where}: {name} is in the test list {TEST} as well")
        if name not in sentences:
            raise DataInvalid(f"{where}: {name} has no sentence in {DATA}")
        names[name] = None
    if not names:
        raise DataInvalid(f"{file}: lists no video")
    return list(names)


def _held_out(videos: int) -> int:
    return min(HELD_OUT, max(videos // 10, 1)) if videos > 1 else 0


def _draw(name: str) -> str:
    return hashlib.sha256(f"msrvtt validation {name}".encode()).hexdigest()


def _sentences(file: Path) -> dict[str, list[str]]:
    """Sentences of each video, in the file's order."""
    try:
        content: Any = json.loads(read_text(file))
    except ValueError as error:
        if isinstance(error, DataInvalid):
            raise
        raise DataInvalid(f"{file}: not JSON ({error}); is it whole?") from None
    entries = content.get("sentences") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise DataInvalid(f"{file}: no list `sentences` in it; expected MSR-VTT's `videos` and `sentences`")
    found: dict[str, list[str]] = {}
    for number, entry in enumerate(entries):
        video, caption = (entry.get(key) if isinstance(entry, dict) else None for key in ("video_id", "caption"))
        if not isinstance(video, str) or not isinstance(caption, str) or not caption.strip():
            raise DataInvalid(f"{file}: sentences[{number}] has no video_id and caption, but is {str(entry)[:80]}")
        found.setdefault(video, []).append(caption.strip())
    return found


def _videos(wanted: set[str], found: list[Path], root: Path) -> tuple[list[Video], list[str], list[str]]:
    """The videos by number, those without a file, and notes. Of several files of one name the first path's is taken."""
    files = [file for file in found if file.suffix.lower() in VIDEO_SUFFIXES and file.stem in wanted]
    first = {file.stem: file for file in reversed(files)}
    names = sorted(wanted, key=lambda name: (len(name), name))
    missing = [name for name in names if name not in first]
    notes = []
    copies = [name for name, count in Counter(file.stem for file in files).items() if count > 1]
    if copies:
        taken, other = [file for file in files if file.stem == copies[0]][:2]
        notes.append(
            f"{len(copies)} videos are there more than once; taken is the first path, as {taken} rather than {other} "
            "(compressed copies have often lost their sound: move them away from --root)"
        )
    return [Video(name, first.get(name, root / "videos" / f"{name}.mp4")) for name in names], missing, notes


SPEC = DatasetSpec(
    name="msrvtt",
    summary="MSR-VTT: 10,000 web clips of 10 to 32 s, 20 captions each, 1k-A test",
    source=_SOURCE,
    docs="docs/msrvtt.md",
    load=load,
    default_root="data/msrvtt",
    default_backbones=("clip:ViT-B-32/openai", "clap", "clip:ViT-B-32/openai"),
)
