"""How every output file is written: whole or not at all, to the place that its path leads to.

A plain file is written beside its target under a name that no other process or call has, synced, and renamed. It keeps the
target's permissions; a symbolic link stays, and the file behind it is replaced. A device, a pipe or an open descriptor
(/dev/null, /dev/stdout, a FIFO, a shell's >(...)) is never replaced: the bytes are written to it once they are complete.
What the files hold is left to the callers.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from gaid.errors import OptionInvalid

_HELD = 64 * 2**20  # bytes for a device or pipe that are held in memory before a temporary file takes them
_FORGOTTEN = 3600  # seconds after which an unfinished file counts as left behind by a killed process


@contextmanager
def writing(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary file, seekable, whose bytes are at `path` after the block, or not at all where the block fails.

    Missing folders are made. Raises OSError.
    """
    if not _is_stream(path):
        with replacing(path) as part, part.open("wb") as file:
            yield file
        return
    with tempfile.SpooledTemporaryFile(_HELD, prefix="gaid-") as held:
        yield held
        held.seek(0)
        with _open_stream(path) as stream:
            shutil.copyfileobj(held, stream)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """The name of an empty file that takes the place of `path` after the block, for libraries that open files by name."""
    target = follow(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # A name has at most 255 bytes, and a character at most 4.
    begin = f".{target.name[:50]}."
    _remove_forgotten(target.parent, begin)
    part = target.with_name(f"{begin}{secrets.token_hex(4)}.part")
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        with suppress(FileNotFoundError):
            part.chmod(stat.S_IMODE(target.stat().st_mode))
        yield part
        sync_file(part)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes a file whole or not at all. Raises OSError."""
    with writing(path) as file:
        file.write(content)


def write_json(path: str | Path, value: Any) -> None:
    """A JSON file for people and programs, whole or not at all. Raises ValueError for NaN, which JSON does not have."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def cache_folder() -> Path:
    """Where costly results may be kept for this user: $XDG_CACHE_HOME/gaid, by default ~/.cache/gaid. It may not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "gaid"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_writable(path: str | Path, option: str) -> None:
    """Raises OptionInvalid, naming `option`, where no file can be written at `path`: a check before long work.

    Missing folders would be made. Whether the disk has room is not checked.
    """
    descriptor = _descriptor(path)
    if descriptor is not None:
        _check_descriptor(descriptor, f"{option} {path}")
        return
    target = follow(path)
    if target.is_dir():
        raise OptionInvalid(f"{option} {path}: is a folder; name a file in it")
    if target.is_symlink():
        raise OptionInvalid(f"{option} {path}: a symbolic link that leads back to itself; name another place")
    if target.exists():
        mode = target.stat().st_mode
        if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
            kind = "disk" if stat.S_ISBLK(mode) else "socket"
            raise OptionInvalid(f"{option} {path}: is a {kind}; name a file, a pipe or /dev/null")
        if not os.access(target, os.W_OK):
            raise OptionInvalid(
                f"{option} {path}: exists and can't be written; change its permissions or name another place"
            )
        if not stat.S_ISREG(mode):
            return
    check_folder(target.parent, option)


def check_folder(path: str | Path, option: str) -> None:
    """Raises OptionInvalid, naming `option`, where no files can be written into the folder `path`, which need not exist yet."""
    place = Path(os.path.realpath(path))
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        raise OptionInvalid(f"{option} {path}: {place} is not a folder; name another place")
    if not os.access(place, os.W_OK | os.X_OK):
        raise OptionInvalid(
            f"{option} {path}: the folder {place} can't be written; change its permissions or name another place"
        )


def follow(path: str | Path) -> Path:
    """The path, or the target of a symbolic link; neither need exist."""
    path = Path(path)
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def sync_file(path: Path) -> None:
    """Returns when a file's bytes are on the disk."""
    _sync(path)


def sync_folder(path: Path) -> None:
    """Returns when the names in a folder are on the disk."""
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_forgotten(folder: Path, begin: str) -> None:
    """Removes what killed processes left of this file. One that still writes has done so within the hour."""
    for left in folder.iterdir():
        if left.name.startswith(begin) and re.fullmatch(r"[0-9a-f]{8}\.part", left.name[len(begin) :]):
            with suppress(FileNotFoundError):  # its writer has renamed it meanwhile
                if time.time() - left.stat().st_mtime > _FORGOTTEN:
                    left.unlink()


# Devices, pipes, descriptors


def _descriptor(path: str | Path) -> int | None:
    """The open descriptor that a path names, as /dev/stdout or /dev/fd/63, also behind links; else None."""
    place = Path(os.path.normpath(Path(path).absolute()))
    for _ in range(40):  # as many links as systems follow
        match = re.fullmatch(r"/(?:dev|proc/self)/fd/(\d+)", str(place))
        if match:
            return int(match[1])
        if not place.is_symlink():
            return None
        place = Path(os.path.normpath(place.parent / place.readlink()))
    return None


def _is_stream(path: str | Path) -> bool:
    """Whether a path is written to rather than replaced."""
    if _descriptor(path) is not None:
        return True
    path = Path(path)
    return path.exists() and not path.is_file() and not path.is_dir()


def _open_stream(path: str | Path) -> IO[bytes]:
    descriptor = _descriptor(path)
    if descriptor is None:
        return Path(path).open("wb")
    # Opened by its name, a file behind it would be truncated; the flush keeps the order of what was printed before.
    sys.stdout.flush()
    return os.fdopen(os.dup(descriptor), "wb")


def _check_descriptor(descriptor: int, given: str) -> None:
    try:
        os.fstat(descriptor)
    except OSError as error:
        raise OptionInvalid(f"{given}: no such descriptor is open; name a file") from error
