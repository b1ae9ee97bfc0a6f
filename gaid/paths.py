"""How paths are kept, shown and read: whole in stores and runs, relative on a terminal, on this machine's file system only."""

import os
import re
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
