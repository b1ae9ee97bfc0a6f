"""What a library lacks of its folder: which clips are as they were, which files are known under another name, and which have
to be decoded. Decodes and writes nothing.

A file is the known one where its path, size and time of change are the same; otherwise its digest decides.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gaid.datasets.types import Dataset, Video
from gaid.errors import StoresDisagree
from gaid.extract.report import Changes
from gaid.paths import shown_path, whole_path
from gaid.source_files import Listing, digest_of, look_at
from gaid.stores.library_writer import LibraryWriter, Row
from gaid.stores.schema import StorePlan, decode_texts, encode_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

_READERS = 4
COLUMNS = tuple(Listing.__dataclass_fields__)
ABSENT = (-1, 0)
SOUNDS = "//"  # what the names of files in a separate folder of sounds begin with
Facts = tuple[tuple[int, int], ...]
"""Size and time of change (ns) of a clip's files, its own and that of its sound; ABSENT where there is none."""


@dataclass
class Growth:
    """Where the features of each video are, by id, the videos that have none yet, and the files of all, in their order.

    `listing`: the files of the folder. `read`: how many clips were the known ones by their digest only.
    """

    listing: Listing
    rows: dict[str, Row] = field(default_factory=dict)
    lacking: list[Video] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)
    files: list[tuple[tuple[str, ...], Facts]] = field(default_factory=list)
    read: int = 0

    @property
    def arrays(self) -> dict[str, "NDArray[Any]"]:
        """The files as a view keeps them for the next comparison."""
        arrays: dict[str, NDArray[Any]] = {}
        for place, name in enumerate(("path", "sound")):
            names = [of_clip[place] if len(of_clip) > place else "" for of_clip, _ in self.files]
            arrays[f"{name}_bytes"], arrays[f"{name}_offsets"] = encode_texts(names)
        facts = [(*of_clip, ABSENT)[:2] for _, of_clip in self.files]
        arrays |= {f"listing_{name}": getattr(self.listing, name) for name in COLUMNS}
        return arrays | {"files": np.array(facts, np.int64).reshape(len(facts), 4)}


@dataclass(frozen=True, slots=True)
class _Known:
    """A live clip of the library: its id, where its features are, and its files when the library last looked at them; none
    where they were not recorded."""

    id: str
    row: Row
    facts: Facts


_Uncertain = tuple[Video, _Known | None, Facts]
"""A video, its clip in the library if there is one, and its files as they are now."""


def compare(library: LibraryWriter, dataset: Dataset, listing: Listing, plan: StorePlan) -> Growth:
    """What of the data set the library has. Raises StoresDisagree where the folder is neither the library's nor a copy."""
    growth, known = Growth(listing, files=_look(dataset, listing)), known_clips(library)
    _check_root(library, dataset, known, growth)
    usable = _usable(library, plan)
    uncertain: list[_Uncertain] = []
    for video, (names, facts) in zip(dataset.videos, growth.files, strict=True):
        clip = known.get(names) or known.get((video.id,))
        if clip is not None and not usable(clip.row):
            clip = None  # its shard is lost
        if clip is not None and clip.facts in ((), facts) and not _is_doubtful(library, clip, video):
            growth.rows[video.id] = clip.row
        else:
            uncertain.append((video, clip, facts))
    _settle(library, uncertain, usable, growth)
    there = {names for names, _ in growth.files} | {(video.id,) for video in dataset.videos}
    used = set(growth.rows.values())
    growth.changes.gone.extend(clip.id for key, clip in known.items() if key not in there and clip.row not in used)
    return growth


def _usable(library: LibraryWriter, plan: StorePlan) -> Callable[[Row], bool]:
    """Says of a row whether it is in a finished shard of a part that has all that the plan has."""
    done = {name: np.zeros(part.layout["videos"], bool) for name, part in library.parts.items() if part.holds(plan)}
    for name, rows in done.items():
        rows[library.parts[name].rows] = True
    return lambda row: row.part in done and bool(done[row.part][row.row])


def _look(dataset: Dataset, listing: Listing) -> list[tuple[tuple[str, ...], Facts]]:
    """The names of each clip's files and what they are like now: as they were listed, so that a later change is seen later."""
    now = dict(zip(listing.paths(), zip(listing.sizes.tolist(), listing.changed_ns.tolist(), strict=True), strict=True))
    found = []
    for video in dataset.videos:
        names = _names(dataset, video)
        pairs = zip(names, _paths(video), strict=True)
        found.append((names, tuple(now.get(name) or look_at(path) or ABSENT for name, path in pairs)))
    return found


def _settle(library: LibraryWriter, uncertain: list[_Uncertain], usable: Callable[[Row], bool], growth: Growth) -> None:
    """Finds the rows of clips whose files are known by their digests; the others lack features."""
    by_size = _by_size(library, usable) if uncertain else {}
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(lambda one: _find(library, one[0], one[2], by_size), uncertain)
        for (video, clip, _), rows in zip(uncertain, found, strict=True):
            growth.read += bool(rows)
            if not rows:
                growth.lacking.append(video)
                (growth.changes.added if clip is None else growth.changes.replaced).append(video.id)
            elif clip is not None and clip.row in rows:
                growth.rows[video.id] = clip.row
            else:
                growth.rows[video.id] = rows[0]
                growth.changes.recognised.append(video.id)


def known_listing(library: LibraryWriter) -> Listing | None:
    """The files of the folder when the library was last brought up to date with it."""
    kept = "files" in library.own_names()
    return Listing(*(library.own(f"listing_{name}") for name in COLUMNS)) if kept else None


def known_clips(library: LibraryWriter) -> dict[tuple[str, ...], _Known]:
    """The live clips by the names of their files; by id where these are not kept: in a store that never grew, or one that
    was joined."""
    if "files" not in library.own_names():
        return dict(_clips_of_parts(library))
    names = [decode_texts(library.own(f"{name}_bytes"), library.own(f"{name}_offsets")) for name in ("path", "sound")]
    columns = zip(library.ids(), library.live(), *names, library.own("files").tolist(), strict=True)
    found: dict[tuple[str, ...], _Known] = {}
    for clip, row, path, sound, facts in columns:
        files = (path, sound) if sound else (path,)
        found[files] = _Known(clip, row, ((facts[0], facts[1]), (facts[2], facts[3]))[: len(files)])
    return found


def _clips_of_parts(library: LibraryWriter) -> Iterator[tuple[tuple[str, ...], _Known]]:
    for part in library.parts.values():
        for row in part.rows:
            facts = tuple(ABSENT if one is None else (one[0], one[1]) for one in part.sources[row])
            yield (part.ids[row],), _Known(part.ids[row], Row(part.name, row), facts)


def _names(dataset: Dataset, video: Video) -> tuple[str, ...]:
    """The names of a clip's files in a listing: their paths under the root, or under the folder of the sounds."""
    starts = [
        (os.fspath(folder) + os.sep, prefix)
        for folder, prefix in ((dataset.root, ""), (dataset.audio_root, SOUNDS))
        if folder
    ]
    names = []
    for path in _paths(video):
        start, prefix = next((one for one in starts if path.startswith(one[0])), ("", ""))
        names.append(prefix + path.removeprefix(start))
    return tuple(names)


def _paths(video: Video) -> tuple[str, ...]:
    return tuple(os.fspath(path) for path in (video.path, video.audio_path) if path is not None)


def _is_doubtful(library: LibraryWriter, clip: _Known, video: Video) -> bool:
    """Whether a file of the clip changed while it was decoded, or could not be read to its end."""
    files = library.parts[clip.row.part].sources[clip.row.row]
    pairs = zip(files, _paths(video), strict=False)
    return any(one is not None and not one[2] and Path(path).is_file() for one, path in pairs)


def _by_size(library: LibraryWriter, usable: Callable[[Row], bool]) -> Mapping[int, list[Row]]:
    """The rows whose files are known, by the size of the first."""
    found: dict[int, list[Row]] = defaultdict(list)
    for part in library.parts.values():
        for row in part.rows:
            files = part.sources[row]
            if files and all(files) and usable(Row(part.name, row)):
                found[files[0][0]].append(Row(part.name, row))
    return found


def _find(library: LibraryWriter, video: Video, facts: Facts, by_size: Mapping[int, list[Row]]) -> list[Row]:
    """The rows that were made of files with the bytes of this clip's. Files are read only where a row has their size."""
    sources = ((row, library.parts[row.part].sources[row.row]) for row in by_size.get(facts[0][0], ()))
    alike = [(row, files) for row, files in sources if [one[0] for one in files] == [size for size, _ in facts]]
    if not alike:
        return []
    digests = [digest_of(path, *known) for path, known in zip(_paths(video), facts, strict=True)]
    return [row for row, files in alike if all(digests) and [one[2] for one in files] == digests]


def _check_root(
    library: LibraryWriter, dataset: Dataset, known: Mapping[tuple[str, ...], _Known], growth: Growth
) -> None:
    """A library may move with its folder; another folder is another library."""
    before, now = library.attributes["attrs"].get("dataset", {}).get("root"), str(whole_path(dataset.root))
    if before in (None, now) or not known:
        return
    sizes = {key: [size for size, _ in clip.facts] for key, clip in known.items()}
    same = sum(
        [size for size, _ in facts] in (sizes.get(names), sizes.get((video.id,)))
        for video, (names, facts) in zip(dataset.videos, growth.files, strict=True)
    )
    if 2 * same < len(known):
        raise StoresDisagree(
            f"{library.path}: is a library of {shown_path(before)}, and {shown_path(now)} holds {same} of its "
            f"{len(known)} files; extract elsewhere (--out), or replace the library (--overwrite)"
        )
