"""Whether the copy of a data set is whole: its counts beside the published ones, and faults of its files, before days
are spent.

There are three ways of looking, each slower and surer than the one before: `check_headers` opens every file and believes its
header, `check_clips` decodes every clip as an extraction would, `check_store` reads what an extraction found. Printing is left
to the command.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaid.console import printable
from gaid.datasets.types import Dataset, Published, Video
from gaid.errors import MediaError
from gaid.extract.report import judge_length

if TYPE_CHECKING:
    from gaid.media.clip import MediaInfo
    from gaid.stores import Store

# Faults of a copy. What follows is not a fault, but decides what a figure with sound means.
FAULTS = {
    "missing": "not there",
    "unreadable": "there, but not a video that can be read",
    "outside": "begins after its file's end",
    "cut short": "ends after its file's end",
    "sound unreadable": "its sound can't be read",
    "not in the store": "asked for, and not in the store",
}
TRAITS = {
    "no track": "without a sound track",
    "silent": "silent throughout",
    "short": "fewer pictures than frames asked for",
}
# Kinds of clips that have no features.
_LOST = ("missing", "unreadable", "outside", "not in the store")
# Small pictures, and windows of sound as encoders take them: what is looked for depends on neither.
_SIZE, _RATE, _SHORTEST, _LONGEST = 32, 16_000, 1.0, 10.0

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Finding:
    """One clip and what was found of it; `kind` is a key of FAULTS or TRAITS."""

    video: str
    kind: str
    message: str = ""

    def __str__(self) -> str:
        return printable(f"{self.video}: {self.message}" if self.message else self.video)


@dataclass(frozen=True)
class Counted:
    """A published count beside the one that is here."""

    published: Published
    videos: int
    captions: int

    @property
    def equal(self) -> bool:
        return self.published.videos in (None, self.videos) and self.published.captions in (None, self.captions)

    def to_dict(self) -> dict[str, Any]:
        return {
            "protocol": self.published.protocol, "parts": list(self.published.parts), "equal": self.equal,
            "videos": self.videos, "videos published": self.published.videos,
            "captions": self.captions, "captions published": self.published.captions, "source": self.published.source,
        }  # fmt: skip


@dataclass
class CheckReport:
    """What a check found. `looked` is headers, clips or store; kinds that it cannot see are in `unknown`."""

    dataset: Dataset
    looked: str
    frames: int
    findings: list[Finding]
    counted: list[Counted] = field(default_factory=list)
    unknown: tuple[str, ...] = ()

    @property
    def wrong(self) -> int:
        """How many things are wrong: faults of files, folders that can't be read, and counts that are not the published
        ones."""
        faults = sum(finding.kind in FAULTS for finding in self.findings) + len(self.dataset.unreadable_folders)
        return faults + sum(not counted.equal for counted in self.counted)

    def of(self, kind: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.kind == kind]

    def parts(self) -> dict[str, dict[str, dict[str, Any]]]:
        """A census for each protocol and part, with the hash that a store of the clips that are usable would have."""
        from gaid.stores import hash_gallery

        kinds = {kind: {finding.video for finding in self.of(kind)} for kind in (*FAULTS, *TRAITS)}
        lost = set().union(*(kinds[kind] for kind in _LOST))
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for protocol, parts in self.dataset.splits.items():
            found[protocol] = {}
            for part, rows in parts.items():
                captions = [self.dataset.captions[row] for row in rows]
                asked = {caption.video for caption in captions}
                usable = asked - lost
                left = [caption.text for caption in captions if caption.video in usable]
                found[protocol][part] = {
                    "asked": len(asked),
                    "found": len(asked - kinds["missing"] - kinds["not in the store"]),
                    "unreadable": len(asked & (kinds["unreadable"] | kinds["outside"])),
                    "usable": len(usable),
                    **{kind: None if kind in self.unknown else len(usable & kinds[kind]) for kind in TRAITS},
                    "captions": len(left),
                    "duplicate captions": len(left) - len(set(left)),
                    "gallery_hash": hash_gallery(list(usable)),
                }
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "name": self.dataset.name,
            "root": str(self.dataset.root),
            "looked": self.looked,
            "frames": self.frames,
            "wrong": self.wrong,
            "counts": [counted.to_dict() for counted in self.counted],
            "parts": self.parts(),
            "unknown": list(self.unknown),
            "unreadable folders": [str(folder) for folder in self.dataset.unreadable_folders],
            **{
                kind: [{"video": one.video, "message": one.message} for one in self.of(kind)]
                for kind in (*FAULTS, *TRAITS)
            },
        }


def count_published(dataset: Dataset, published: Iterable[Published]) -> list[Counted]:
    """The published counts of the protocols and parts that are here, beside what is here."""
    counted = []
    for one in published:
        parts = dataset.splits.get(one.protocol, {})
        rows = [row for part in one.parts for row in parts.get(part, ())]
        if rows:
            videos = {dataset.captions[row].video for row in rows}
            counted.append(Counted(one, len(videos), len(rows)))
    return counted


def check_headers(
    dataset: Dataset, frames: int = 12, workers: int = 4, advance: Advance = lambda done: None
) -> list[Finding]:
    """What the headers of the files say, each opened once, in processes of their own; nothing is decoded. `advance` is called
    with 1 for each file that is done.

    Silence, and damage beyond the header, can't be seen this way; lengths and numbers of pictures are those of the header.
    """
    from gaid.media.pool import DecodePool

    missing = set(dataset.missing)
    paths = list({video.path for video in dataset.videos if video.id not in missing})
    infos: dict[Path, MediaInfo | MediaError] = {}
    with DecodePool(max(1, workers)) as pool:
        for path, info in zip(paths, pool.probe(map(str, paths)), strict=True):
            infos[path] = info
            advance(1)
    findings = []
    for video in dataset.videos:
        if video.id in missing:
            findings.append(Finding(video.id, "missing", f"looked for {video.path}"))
        else:
            findings += _judge(video, infos[video.path], frames)
    return findings


def _judge(video: Video, info: "MediaInfo | MediaError", frames: int) -> list[Finding]:
    """What a header means for one clip."""
    from gaid.media.decode import clip_times

    if isinstance(info, MediaError):
        return [Finding(video.id, "missing" if info.reason == "missing" else "unreadable", str(info))]
    still = info.format == "picture"
    if info.video_codec is None and not still:
        return [Finding(video.id, "unreadable", f"no video: {video.path} holds no moving picture")]
    found = []
    start, end = clip_times(video, info.duration)
    start = start or 0.0
    if info.duration and not still:
        if start >= info.duration:
            said = f"begins at {start:g} s, {video.path.name} ends at {info.duration:.2f} s"
            return [Finding(video.id, "outside", said + (f" ({video.entry})" if video.entry else ""))]
        length = min(info.duration, end if end is not None else info.duration) - start
        found += _cut_short(video, length)
        pictures = round(length * info.rate)
        if info.rate and pictures < frames:
            found.append(Finding(video.id, "short", f"{pictures} pictures"))
    if info.audio_codec is None and video.audio_path is None:
        found.append(Finding(video.id, "no track"))
    return found


def check_clips(
    dataset: Dataset, frames: int = 12, workers: int = 2, advance: Advance = lambda done: None
) -> list[Finding]:
    """Every clip decoded, in processes of their own, as an extraction of `frames` frames would decode it."""
    from gaid.media.clip import ClipRequest, Sampling
    from gaid.media.pool import DecodePool
    from gaid.specs import AudioSpec, FrameSpec

    missing = set(dataset.missing)
    there = [video for video in dataset.videos if video.id not in missing]
    small, sound = FrameSpec(_SIZE), AudioSpec(rate=_RATE, shortest=_SHORTEST, longest=_LONGEST)
    requests = [ClipRequest.of(video, Sampling(frames), small, sound) for video in there]
    findings = [
        Finding(video.id, "missing", f"looked for {video.path}") for video in dataset.videos if video.id in missing
    ]
    with DecodePool(workers) as pool:
        for video, clip in zip(there, pool.map(requests), strict=True):
            advance(1)
            if isinstance(clip, MediaError):
                findings.append(_failed(video.id, clip.reason, clip.message))
                continue
            findings += _cut_short(video, clip.duration)
            if clip.audio_state != "sound":
                findings.append(
                    Finding(video.id, "sound unreadable" if clip.audio_state == "failed" else clip.audio_state)
                )
            if clip.short:
                findings.append(Finding(video.id, "short"))
    return findings


def _cut_short(video: Video, seconds: float) -> list[Finding]:
    found = judge_length(video, seconds)
    return [Finding(video.id, "cut short", found.message)] if found else []


def _failed(video: str, reason: str, message: str) -> Finding:
    kind = {"missing": "missing", "empty": "outside"}.get(reason, "unreadable")
    return Finding(video, kind, message if kind == "missing" else f"{reason}: {message}")


def check_store(dataset: Dataset, store: "Store") -> list[Finding]:
    """What an extraction of the data set found, clip by clip; `short` is of the store's own number of frames."""
    from gaid.stores import AUDIO_STATES

    place = {name: row for row, name in enumerate(store.ids)}
    failures = {one["id"]: one for one in store.failures}
    states, short, durations = (store[f"videos/{name}"][:] for name in ("audio_state", "short", "duration"))
    findings = []
    for video in dataset.videos:
        row = place.get(video.id)
        if row is None:
            findings.append(Finding(video.id, "not in the store"))
        elif video.id in failures:
            findings.append(_failed(video.id, failures[video.id]["reason"], failures[video.id]["message"]))
        else:
            findings += _cut_short(video, float(durations[row]))
            state = AUDIO_STATES[int(states[row])]
            if state != "sound":
                findings.append(Finding(video.id, "sound unreadable" if state == "failed" else state))
            if short[row]:
                findings.append(Finding(video.id, "short"))
    return findings
