"""The media files that features come from, as they were when they were decoded: size, time of change and digest of each.

A file that is replaced under its name is another clip under the old features, and is recognised here. A store keeps these
facts beside its identity, not within it; what to do about a changed file is left to the callers.
"""

import hashlib
import os
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.paths import iter_files

# Files up to this size are digested whole. Of larger ones, films of hours, this many pieces of this size are, evenly spread.
WHOLE, PIECES, PIECE = 256 * 2**20, 64, 2**20
_READERS = 4


@dataclass(frozen=True)
class Source:
    """A file as it was when it was decoded: bytes, time of change (ns since 1970), and its digest with the kind of it."""

    size: int
    changed_ns: int
    digest: str

    @classmethod
    def of(cls, value: Any) -> "Source | None":
        """From what `plain` gave."""
        return None if value is None else cls(int(value[0]), int(value[1]), str(value[2]))

    def plain(self) -> list[Any]:
        """As JSON holds it."""
        return [self.size, self.changed_ns, self.digest]


Sources = Sequence[Source | None]
"""A clip's: of its video, and of its sound where that is a file of its own. None: the file was not there."""


def look_at(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Size and time of change of a file, None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 (ten thousand of them at a time)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def source_of(path: str | os.PathLike[str], before: tuple[int, int] | None) -> Source | None:
    """A file that was decoded, `before` being what `look_at` gave ahead of that. One that changed meanwhile has no digest, and
    so counts as changed ever after."""
    if before is None:
        return None
    digest = digest_of(os.fspath(path), *before) if look_at(path) == before else ""
    return Source(*before, digest)


@lru_cache(maxsize=4096)  # clips of one long file, for which its size and time stand
def digest_of(path: str, size: int, changed_ns: int) -> str:
    """`sha256:...` of a whole file, or `sha256-64x1MiB:...` of pieces of a large one; nothing where it can't be read."""
    whole = size <= WHOLE
    digest = hashlib.sha256()
    try:
        if not os.path.isfile(path):  # noqa: PTH113 (a pipe would be waited for)
            return ""
        with Path(path).open("rb", buffering=0) as file:
            if whole:
                while piece := file.read(PIECE):
                    digest.update(piece)
            else:
                for number in range(PIECES):
                    file.seek(number * (size - PIECE) // (PIECES - 1))
                    digest.update(file.read(PIECE))
    except OSError:
        return ""
    return f"{'sha256' if whole else 'sha256-64x1MiB'}:{digest.hexdigest()}"


def changed_clips(known: Mapping[str, Sources], paths: Iterable[tuple[str, Sequence[str | None]]]) -> list[str]:
    """Ids of the clips one of whose files is there and is not the one that was decoded.

    `paths`: each clip's id and files, in the order of its sources. Sizes and times are compared first; a file of another time
    and the same size is read, since a copy has the time of its making. A file that is gone or was not there is not changed.
    """
    asked = [(clip, source, path) for clip, files in paths for source, path in _pairs(known.get(clip, ()), files)]
    with ThreadPoolExecutor(_READERS) as pool:
        changed = pool.map(lambda one: _is_changed(one[1], one[2]), asked)
        return list(dict.fromkeys(clip for (clip, _, _), differs in zip(asked, changed, strict=True) if differs))


def _pairs(sources: Sources, files: Sequence[str | None]) -> Iterator[tuple[Source, str]]:
    for source, path in zip(sources, files, strict=False):
        if source is not None and path is not None:
            yield source, path


def _is_changed(known: Source, path: str) -> bool:
    now = look_at(path)
    if now is None or now == (known.size, known.changed_ns):
        return now is not None and not known.digest
    return now[0] != known.size or digest_of(path, *now) != known.digest


@dataclass(frozen=True)
class Listing:
    """The files of a folder as they were when it was looked at, in the order of their paths: about 80 bytes per file.

    `names`: the paths under the folder as UTF-8 (`surrogatepass`), one after the other; name i is bytes `offsets[i]` to
    `offsets[i + 1]`.
    `sizes` in bytes and `changed_ns`, the time of change; -1 and 0 for what could not be looked at.
    """

    names: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    changed_ns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sizes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Listing) and all(map(np.array_equal, vars(self).values(), vars(other).values()))

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def of(cls, folders: Iterable[tuple[str, Path]], suffixes: Collection[str]) -> "Listing":
        """The files in these folders with one of `suffixes`, as `iter_files` finds them. Each folder comes with what its paths begin
        with."""
        names, offsets, sizes, times = bytearray(), array("q", [0]), array("q"), array("q")
        for start, folder in folders:
            top = os.fspath(folder)
            for name in iter_files(top, suffixes):
                size, changed = look_at(f"{top}/{name}") or (-1, 0)
                names += f"{start}{name}".encode("utf-8", "surrogatepass")
                offsets.append(len(names))
                sizes.append(size)
                times.append(changed)
        return cls(np.frombuffer(names, np.uint8), *(np.frombuffer(one, np.int64) for one in (offsets, sizes, times)))
