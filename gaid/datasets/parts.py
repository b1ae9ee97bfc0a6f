"""What the data sets share: files by name, clips cut from sources, validation held out of training, splits from captions.

Knows no data set; `reading` reads text, tables and JSON.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gaid.datasets.reading import SOUND_SUFFIXES, VIDEO_SUFFIXES, find_files, plain_name
from gaid.datasets.types import PARTS, Caption, Dataset, Video, with_sounds
from gaid.errors import DataMissing

# Videos of a training list that become validation where a data set has none of its own.
HELD_OUT = 500
# The least videos of a part that chooses or evaluates heads: among fewer, one video is more than ten points of R@1.
LEAST_PART = 10
TOO_FEW = (
    f"too few captioned videos for {LEAST_PART} each in train, val and test: all of them are in test (protocol all); "
    "train with --split-protocol hash, or add a split column"
)


def part_size(wanted: int, of: int) -> int:
    """How many of `of` videos make a part that chooses or evaluates heads: `wanted`, but at least ten.

    Of fewer than forty videos at least a quarter, so that most remain for training; at least one, and at most half.
    """
    return min(max(wanted, min(LEAST_PART, of // 4), 1), of // 2)


def hold_out(names: Collection[str], dataset: str) -> set[str]:
    """The videos of a training list that are validation: 500, or a tenth of fewer than 5,000 (`part_size`: at least ten).

    Chosen by a hash of the data set's name and the video's id, so they are the same on every machine and in every order
    of the list. Without this, checkpoints would be chosen on the test list, as published work often does.
    """
    count = part_size(min(HELD_OUT, len(names) // 10), len(names))
    return set(sorted(names, key=lambda name: _draw(dataset, name))[:count])


def _draw(dataset: str, name: str) -> str:
    return hashlib.sha256(f"{dataset} validation {name}".encode("utf-8", "surrogatepass")).hexdigest()


class NamedFiles:
    """Files by the name of the video that each holds; the first path wins where there are several."""

    def __init__(self, files: Iterable[Path], name_of: Callable[[Path], str] = lambda file: file.stem) -> None:
        self._files: dict[str, list[Path]] = defaultdict(list)
        for file in sorted(files, key=lambda path: path.parts):
            self._files[name_of(file)].append(file)

    def find(self, name: str) -> Path | None:
        """The file of a video, or None."""
        found = self._files.get(name)
        return found[0] if found else None

    def copies(self, names: Iterable[str]) -> list[str]:
        """A note where some of `names` have more than one file."""
        several = [name for name in names if len(self._files.get(name, ())) > 1]
        if not several:
            return []
        taken, other = self._files[several[0]][:2]
        return [
            f"{len(several)} videos have more than one file; the first path is used, such as {taken} rather than {other} "
            "(compressed copies often lack sound: move them out of --root)"
        ]


def with_sounds_beside(dataset: Dataset, folder: Path) -> Dataset:
    """The data set, in which a file of sound under `folder` with the name of a video's file is that video's sound.

    Common copies of the benchmarks are so: pictures in compressed copies without sound, `ID.wav` elsewhere. A sound's first
    sample belongs to the file's first picture, so clips that are cut from one file share its sound. Where several videos
    have files of one name in different folders, only a sound in the same place counts.
    """
    sounds: dict[str, list[Path]] = defaultdict(list)
    for file in find_files(folder, SOUND_SUFFIXES):
        sounds[_bare_name(file)].append(file)
    if not sounds:
        return dataset
    files_called: dict[str, set[Path]] = defaultdict(set)
    for video in dataset.videos:
        if (name := _bare_name(video.path)) in sounds:
            files_called[name].add(video.path)

    def sound_of(video: Video) -> Path | None:
        name = _bare_name(video.path)
        found = sounds.get(name, [])
        own = video.path.parent
        beside = [one for one in found if one.parent == own or _place(one, folder) == _place(video.path, dataset.root)]
        return next(iter(beside or (found if len(files_called[name]) == 1 else [])), None)

    found = {
        row: sound
        for row, video in enumerate(dataset.videos)
        if video.audio_path is None and (sound := sound_of(video)) is not None
    }
    used = set(found.values()) - {video.audio_path for video in dataset.videos}
    if not used:
        return dataset
    note = f"sound from {len(used)} files beside the videos, such as {min(used)}"
    return replace(dataset, videos=with_sounds(dataset.videos, found), notes=(*dataset.notes, note))


def _bare_name(file: Path) -> str:
    """A file's name without its suffixes, of which some copies have two (NAME.mov.mp4)."""
    name = Path(plain_name(file.stem))
    return name.stem if name.suffix.lower() in VIDEO_SUFFIXES else str(name)


def _place(file: Path, root: Path) -> Path | None:
    """Where a file lies under `root`; None elsewhere."""
    return file.parent.relative_to(root) if file.is_relative_to(root) else None


Cut = tuple[str, float, float]
"""What a clip is cut from: the name of the source, and start and end in seconds."""


def own_or_cut(name: str, cut: Cut | None, files: NamedFiles, otherwise: Path, where: str) -> Video:
    """A clip whose name says what it is cut from: its own file, else that part of its source's file, else one that is missing.

    `otherwise` is the path that is reported as missing, `where` the entry that lists the clip. Times are needed only where
    the clip is cut; one that does not end after its start is missing then (`impossible_cuts`).
    """
    file = files.find(name)
    if file is None and cut is not None and cut[2] > cut[1] and (source := files.find(cut[0])) is not None:
        return Video(name, source, *cut[1:], entry=Path(where).name)
    return Video(name, file or otherwise, entry=Path(where).name)


def impossible_cuts(cuts: Mapping[str, Cut | None], files: NamedFiles) -> list[str]:
    """A note on clips that cannot be cut from their sources, since by their names they do not end after their start."""
    wrong = [
        name
        for name, cut in cuts.items()
        if cut is not None and cut[2] <= cut[1] and files.find(name) is None and files.find(cut[0]) is not None
    ]
    if not wrong:
        return []
    return [
        f"{len(wrong)} clips have no file of their own and by their names do not end after their start, so they count as "
        f"missing: {', '.join(wrong[:3])}{', ...' if len(wrong) > 3 else ''}"
    ]


def need(found: Iterable[Path], names: Sequence[str], root: Path, dataset: str, source: str) -> Path:
    """The first file called one of `names`, in their order. Raises DataMissing, which says where to get it."""
    file = pick(found, names)
    if file is None:
        raise DataMissing(f"{dataset}: {' or '.join(names)} not found under {root}; get {source}")
    return file


def pick(found: Iterable[Path], names: Sequence[str]) -> Path | None:
    """The first file called one of `names`, in their order, or None."""
    files = [file for file in found if file.name in names and file.is_file()]
    return min(files, key=lambda file: names.index(file.name), default=None)


def check_root(root: Path, dataset: str, source: str) -> None:
    """Raises DataMissing where `root` is not a folder."""
    if not root.is_dir():
        raise DataMissing(f"{dataset}: {root} is {'not a folder' if root.exists() else 'not there'}; get {source}")


def large_enough(captions: Sequence[Caption], split: Mapping[str, Sequence[int]], missing: Collection[str]) -> bool:
    """Whether each of train, val and test has the least number of videos (`LEAST_PART`), counting those that are there."""
    absent = set(missing)
    counts = [len({captions[row].video for row in split.get(part, ())} - absent) for part in PARTS]
    return min(counts) >= LEAST_PART


def rows_by_part(captions: Sequence[Caption], part_of: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    """Rows of `captions` for each part that has some, by the part of the video; videos without a part are left out."""
    rows: dict[str, list[int]] = {part: [] for part in PARTS}
    for row, caption in enumerate(captions):
        if caption.video in part_of:
            rows[part_of[caption.video]].append(row)
    return {part: tuple(found) for part, found in rows.items() if found}
