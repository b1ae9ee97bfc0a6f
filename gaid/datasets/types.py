"""What a data set is to the rest of the package: videos, captions, and which captions belong to which part of which split.

A data set's module turns annotation files into a `Dataset`. Nothing here reads a file, and nothing downstream depends on
which data set it was. Videos whose file is absent stay in the list, so every count states its total.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import eq
from pathlib import Path
from typing import Any, overload

from gaid.errors import DataInvalid

PARTS = ("train", "val", "test")
USUAL_BACKBONES = ("clip:ViT-B-32/openai", "clap", "clip:ViT-B-32/openai")
"""Visual, audio and text backbone of a data set that names no others."""

Progress = Callable[[int, int], None]
"""Called with (clips done, clips in all) while a data set is being made."""


@dataclass(frozen=True, slots=True)
class Video:
    """One clip: a file, or the part of it from `start` to `end` seconds. `audio_path` is its sound if that is a separate file.

    `entry` is where those times come from, such as `table.csv, line 3`, for messages about times that the file does not have.
    `may_be_whole`: the file may be the clip itself in place of what it is cut from; its length decides
    (`gaid.media.decode.clip_times`).
    """

    id: str
    path: Path
    start: float | None = None
    end: float | None = None
    audio_path: Path | None = None
    entry: str = ""
    may_be_whole: bool = False


class WholeFiles(Sequence[Video]):
    """Clips that are whole files under one folder, by their names. Each `Video` is made when it is asked for: a million of them would
    take most of a gigabyte.

    `ids`: of the clips. `names`: their files, as paths under `root`. `sounds`: files of sound of their own, by place.
    """

    def __init__(
        self, root: Path, ids: Sequence[str], names: Sequence[str], sounds: Mapping[int, Path] | None = None
    ) -> None:
        self.root, self.ids, self.names, self.sounds = root, ids, names, dict(sounds or {})

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> Video: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Video, ...]: ...

    def __getitem__(self, place: int | slice) -> Video | tuple[Video, ...]:
        if isinstance(place, slice):
            return tuple(self[one] for one in range(*place.indices(len(self))))
        row = range(len(self))[place]
        return Video(self.ids[row], self.root / self.names[row], audio_path=self.sounds.get(row))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]


def with_sounds(videos: Sequence[Video], sounds: Mapping[int, Path]) -> Sequence[Video]:
    """The same clips, those at these places with files of sound of their own."""
    if isinstance(videos, WholeFiles):
        return WholeFiles(videos.root, videos.ids, videos.names, {**videos.sounds, **sounds})
    return tuple(replace(video, audio_path=sounds.get(row, video.audio_path)) for row, video in enumerate(videos))


@dataclass(frozen=True)
class Caption:
    """One sentence about the video whose id is `video`."""

    id: str
    video: str
    text: str


@dataclass(frozen=True)
class Dataset:
    """Videos, captions, and `splits[protocol][part]`: rows of `captions` (a part's videos are those its captions name).

    `missing` holds the ids of videos whose file is absent. `notes` are lines for the user: what was left out and why.
    `unreadable_folders`: those under `root` that could not be looked into. `audio_root`: where files of sound were looked for,
    if not under `root`. `loader`: for a data set of your own, the name by
    which `load_dataset` finds it again (`file.py:NAME`); a store keeps it.
    """

    name: str
    root: Path
    videos: Sequence[Video]
    captions: tuple[Caption, ...]
    splits: Mapping[str, Mapping[str, tuple[int, ...]]]
    default_protocol: str
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unreadable_folders: tuple[Path, ...] = ()
    audio_root: Path | None = None
    loader: str = ""

    @property
    def video_ids(self) -> Sequence[str]:
        """The ids of the videos, in their order."""
        return self.videos.ids if isinstance(self.videos, WholeFiles) else [video.id for video in self.videos]

    def validate(self) -> None:
        """Raises `DataInvalid` where the lists contradict each other."""
        videos = _unique("video", self.video_ids, self)
        _unique("caption", (caption.id for caption in self.captions), self)
        for caption in self.captions:
            if caption.video not in videos:
                raise DataInvalid(
                    f"{self.name}: caption {caption.id!r} is of video {caption.video!r}, which {self.root} does not list"
                )
            if not is_unicode(caption.text):
                raise DataInvalid(
                    f"{self.name}: caption {caption.id!r} holds half of a character (a lone surrogate): {caption.text[:60]!r}; "
                    "write the whole character, or leave it out"
                )
        for video_id in self.missing:
            if video_id not in videos:
                raise DataInvalid(
                    f"{self.name}: video {video_id!r} is listed as missing, but is not in the list of videos"
                )
        if self.default_protocol not in self.splits:
            raise DataInvalid(
                f"{self.name}: no protocol {self.default_protocol!r}, only {', '.join(self.splits) or 'none'}"
            )
        for protocol, parts in self.splits.items():
            self._validate_protocol(protocol, parts)

    def _validate_protocol(self, protocol: str, parts: Mapping[str, tuple[int, ...]]) -> None:
        part_of: dict[str, str] = {}
        for part, rows in parts.items():
            where = f"{self.name}: protocol {protocol!r}, part {part!r}"
            if part not in PARTS:
                raise DataInvalid(f"{where}: a part is one of {', '.join(PARTS)}")
            if len(set(rows)) != len(rows):
                raise DataInvalid(f"{where}: a caption is listed twice")
            for row in rows:
                if not 0 <= row < len(self.captions):
                    raise DataInvalid(f"{where}: row {row} of {len(self.captions)} captions")
                video = self.captions[row].video
                if part_of.setdefault(video, part) != part:
                    raise DataInvalid(f"{where}: video {video!r} is in part {part_of[video]!r} as well")

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """For each protocol and part: how many captions, how many videos, how many of these are missing."""
        missing = set(self.missing)
        found: dict[str, dict[str, dict[str, int]]] = {}
        for protocol, parts in self.splits.items():
            found[protocol] = {}
            for part, rows in parts.items():
                videos = {self.captions[row].video for row in rows}
                found[protocol][part] = {"captions": len(rows), "videos": len(videos), "missing": len(videos & missing)}
        return found


@dataclass(frozen=True)
class Published:
    """How many videos, and captions where stated, `parts` of a protocol together have according to `source`.

    Parts are counted together, since a validation part that a data set lacks is held out of its training list.
    """

    protocol: str
    parts: tuple[str, ...]
    videos: int | None
    captions: int | None
    source: str


@dataclass(frozen=True)
class DatasetSpec:
    """What can be said of a data set without reading it, and how to read it.

    `load(root, **options)` reads the annotation files. `prepare(root, progress)`, where there is one, makes the files, and does
    nothing when they are all there. `docs` is where the set-up is written down. `default_backbones` are (visual, audio, text).
    `published` are the counts that a whole copy should have. `truth(root, video_id, times, duration)`, where the answer is
    known, says at which times the sound is informative. `sounds_beside`: a file of sound with a video's name is its sound.
    `grows`: the suffixes of the files that the videos and captions follow from, where a store of it may grow with its folder;
    none where the list of clips is fixed.
    """

    name: str
    summary: str
    source: str
    load: Callable[..., Dataset]
    default_root: str
    docs: str = "docs/datasets.md"
    default_backbones: tuple[str, str, str] = USUAL_BACKBONES
    prepare: Callable[[Path, Progress | None], None] | None = None
    published: tuple[Published, ...] = ()
    truth: Callable[..., Any] | None = None
    sounds_beside: bool = False
    grows: tuple[str, ...] = ()


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8; half of a surrogate pair, which JSON may hold, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unique(kind: str, ids: Iterable[str], dataset: Dataset) -> set[str]:
    seen: set[str] = set()
    for item in ids:
        if item in seen:
            raise DataInvalid(f"{dataset.name}: {kind} id {item!r} occurs twice under {dataset.root}")
        seen.add(item)
    return seen
