"""`lsmdc`: clips of movies with the sentences that describe them to the blind, from the challenge's tab-separated lists.

A clip's name holds its movie and its times: 0001_American_Beauty_00.00.51.926-00.00.54.129. The lists and videos are distributed by
its authors only; docs/datasets.md says how.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from gaid.datasets.parts import NamedFiles, check_root, hold_out, impossible_cuts, own_or_cut, pick, rows_by_part
from gaid.datasets.reading import VIDEO_SUFFIXES, find_files, one_line, read_text, seconds_of
from gaid.datasets.types import Caption, Dataset, DatasetSpec, Published
from gaid.errors import DataInvalid, DataMissing

# The plain lists are those that published results rest on; in the others every name is SOMEONE.
LISTS = {
    "train": ("LSMDC16_annos_training.csv", "LSMDC16_annos_training_someone.csv"),
    "val": ("LSMDC16_annos_val.csv", "LSMDC16_annos_val_someone.csv"),
    "test": ("LSMDC16_challenge_1000_publictect.csv",),
}
COLUMNS = "CLIP_ID, START_ALIGNED, END_ALIGNED, START_EXTRACTED, END_EXTRACTED, SENTENCE"
_NAME = re.compile(r"(?P<movie>.+)_(?P<start>\d+(?:\.\d+){3})-(?P<end>\d+(?:\.\d+){3})")
_SOURCE = "the lists of LSMDC 2016, which its authors distribute on request (docs/datasets.md)"


def load(root: Path) -> Dataset:
    """Protocol `challenge`: the training and validation lists, and the 1,000 clips of the public test.

    A clip is the file of its name, anywhere under `root`; where there is none but the whole movie is (0001_American_Beauty.mp4),
    the part of it that the clip's name states. If both are absent it is kept and listed as missing. Without a validation
    list 500 clips of the training list are held out by a hash. Raises DataMissing and DataInvalid.
    """
    check_root(root, "lsmdc", _SOURCE)
    found = find_files(root, (*VIDEO_SUFFIXES, ".csv"))
    lists = {part: file for part, names in LISTS.items() if (file := pick(found, names)) is not None}
    if "test" not in lists:
        raise DataMissing(f"lsmdc: {LISTS['test'][0]} not found under {root}; get {_SOURCE}")
    notes = [
        f"{file.name}: names are replaced by SOMEONE; published results rest on {LISTS[part][0]}"
        for part, file in lists.items()
        if file.name != LISTS[part][0]
    ]
    captions: list[Caption] = []
    entries: dict[str, str] = {}
    part_of: dict[str, str] = {}
    count: dict[str, int] = {}
    for part, file in lists.items():
        for where, clip, sentence in _read(file):
            if part_of.setdefault(clip, part) != part:
                raise DataInvalid(f"{where}: {clip} is in {part} here, and in {part_of[clip]} by {entries[clip]}")
            if part == "test" and clip in entries:
                raise DataInvalid(f"{where}: {clip} is in {entries[clip]} already; a test clip has one sentence")
            entries.setdefault(clip, where)
            captions.append(Caption(f"{clip}#{count.setdefault(clip, 0)}", clip, sentence))
            count[clip] += 1
    if "val" not in lists and "train" in lists:
        part_of |= dict.fromkeys(hold_out([name for name, part in part_of.items() if part == "train"], "lsmdc"), "val")
        notes.append(f"no {LISTS['val'][0]}: validation clips are held out of train by a hash")
    files = NamedFiles(file for file in found if file.suffix.lower() in VIDEO_SUFFIXES)
    cuts = {clip: clip_times(clip, where) for clip, where in entries.items()}
    videos = [
        own_or_cut(clip, cuts[clip], files, root / "videos" / cuts[clip][0] / f"{clip}.avi", where)
        for clip, where in entries.items()
    ]
    notes += impossible_cuts(cuts, files)
    missing = [video.id for video in videos if files.find(video.path.stem) is None]
    from_movies = sum(video.start is not None for video in videos)
    if from_movies:
        notes.append(
            f"{from_movies} clips have no file of their own and are cut out of whole movies by their names' times"
        )
    return Dataset(
        name="lsmdc",
        root=root,
        videos=tuple(videos),
        captions=tuple(captions),
        splits={"challenge": rows_by_part(captions, part_of)},
        default_protocol="challenge",
        missing=tuple(missing),
        notes=tuple(notes + files.copies(entries)),
    )


def clip_times(clip: str, where: str) -> tuple[str, float, float]:
    """The movie of a clip, and its start and end in seconds, from its name. Raises DataInvalid."""
    found = _NAME.fullmatch(clip)
    if found is None:
        raise DataInvalid(f"{where}: {clip[:80]!r} contains no times; expected MOVIE_00.00.51.926-00.00.54.129")
    start, end = (_seconds(found[name], where) for name in ("start", "end"))
    return found["movie"], start, end


def _seconds(stamp: str, where: str) -> float:
    hours, minutes, seconds, milliseconds = stamp.split(".")
    return seconds_of(f"{hours}:{minutes}:{seconds}.{milliseconds}", f"{where}: the time in the clip's name")


def _read(file: Path) -> Iterator[tuple[str, str, str]]:
    """(where, clip, sentence) of each line. Tabs part the fields and quotes part nothing, as the lists are made."""
    lines = 0
    for number, line in enumerate(read_text(file).split("\n"), 1):
        if not line.strip():
            continue
        lines += 1
        where = f"{file}, line {number}"
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 6:
            raise DataInvalid(f"{where}: {len(fields)} fields between tabs, expected 6: {COLUMNS}")
        clip, sentence = fields[0], fields[5]
        if clip.startswith('"'):  # some copies have passed a spreadsheet, which quoted whole lines
            clip, sentence = clip[1:], sentence.removesuffix('"').replace('""', '"')
        if not clip or not sentence:
            raise DataInvalid(f"{where}: no {'sentence' if clip else 'clip'}; expected {COLUMNS}")
        clip_times(clip, where)
        yield where, clip, one_line(sentence)
    if not lines:
        raise DataInvalid(f"{file}: lists no clip")


SPEC = DatasetSpec(
    name="lsmdc",
    summary="LSMDC: 118,081 clips of movies with the sentences that describe them to the blind, 1,000-clip test",
    source=_SOURCE,
    load=load,
    sounds_beside=True,
    default_root="data/lsmdc",
    published=(
        Published("challenge", ("train",), None, 101_079, "the data set's readme.txt (ArrowLuo/CLIP4Clip#47)"),
        Published("challenge", ("val",), None, 7_408, "the data set's readme.txt (ArrowLuo/CLIP4Clip#47)"),
        Published("challenge", ("test",), 1_000, 1_000, "LSMDC16_challenge_1000_publictect.csv's name and CLIP4Clip"),
    ),
)
