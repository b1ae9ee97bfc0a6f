"""How paths are kept, shown and read: whole in stores and runs, relative on a terminal, on this machine's file system only."""

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from gaid.errors import OptionInvalid


def shown_path(path: str | os.PathLike[str]) -> str:
    """A path relative to the current folder where that is shorter, else as it is."""
    whole = os.fspath(path)
    try:
        relative = os.path.relpath(whole)
    except (OSError, ValueError):  # another drive, or a current folder that was deleted
        return whole
    return relative if len(relative) < len(whole) else whole


def whole_path(path: str | os.PathLike[str]) -> Path:
    """A path from the root on, its symbolic links as they are. So stores and runs keep paths: they are read from elsewhere."""
    return Path(os.path.normpath(Path(path).expanduser().absolute()))


def local_path(path: str | os.PathLike[str]) -> Path:
    """A path of this machine's file system. Raises OptionInvalid for an address, of which a path would drop a slash."""
    address = re.match(r"([a-z][a-z0-9+.-]+):/+", os.fspath(path), re.IGNORECASE)
    if address:
        rest = os.fspath(path)[address.end() :]
        raise OptionInvalid(
            f"{address[1]}://{rest}: is an address; stores are written on a file system of this machine, and read from there or from s3://, gs:// "
            "or az://: mount it, or copy it here"
        )
    return Path(path)


def suffix_of(name: str) -> str:
    """The suffix of a file's name that begins with no dot, in lower case; faster than `Path`, for a million names."""
    _, dot, end = name.rpartition(".")
    return f".{end.lower()}" if dot and end else ""


def iter_files(
    folder: str | os.PathLike[str], suffixes: Collection[str], unreadable: list[str] | None = None
) -> Iterator[str]:
    """The paths under `folder` of its files with one of `suffixes` (lower case), in the order of the paths; hidden ones are left out.

    Links to folders are followed, each folder once. A folder that is named like such a file and holds none is given too: opening it
    is then an error, which is better than leaving it out silently. `unreadable` takes the folders that cannot be read.
    """
    top, seen, count = os.fspath(folder), set[tuple[int, int]](), 0
    # Folders that are being read: what is left of each, the start of its paths, and where it is to be given itself if none is found.
    open_folders = [(_entries(top, suffixes, seen, unreadable), "", -1)]
    while open_folders:
        entries, start, before = open_folders[-1]
        for name, is_folder in entries:
            path = f"{start}{name}"
            if is_folder:
                inside = _entries(f"{top}/{path}", suffixes, seen, unreadable)
                open_folders.append((inside, f"{path}/", count if suffix_of(name) in suffixes else -1))
                break
            count += 1
            yield path
        else:
            open_folders.pop()
            if before == count:
                count += 1
                yield start[:-1]


def _entries(
    folder: str, suffixes: Collection[str], seen: set[tuple[int, int]], unreadable: list[str] | None
) -> Iterator[tuple[str, bool]]:
    """The names in a folder that are not hidden, those of folders and of files with one of `suffixes`, in their order; nothing for
    a folder that was seen before."""
    try:
        here = os.stat(folder)  # noqa: PTH116 (a million files)
        if (here.st_dev, here.st_ino) in seen:
            return iter(())
        seen.add((here.st_dev, here.st_ino))
        with os.scandir(folder) as entries:
            return iter(
                sorted(
                    (one.name, is_folder)
                    for one in entries
                    if not one.name.startswith(".") and ((is_folder := one.is_dir()) or suffix_of(one.name) in suffixes)
                )
            )
    except OSError:
        if unreadable is not None:
            unreadable.append(folder)
        return iter(())
