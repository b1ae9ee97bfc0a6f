"""One loader for the code that users bring: a head or a backbone, named `some/file.py:Name` or `some.module:Name`.

A run or a store may come from anywhere, so code that lies within one is refused unless the user allows it. The file is
found before any of it runs, which makes every spelling of its place the same place. What a class has to be is judged by
those who asked for it.
"""

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType

from gaid.errors import CodeRefused, GaidError, OptionInvalid
from gaid.settings import read_settings

# Set to 1, this allows code within runs and stores.
TRUST = "GAID_TRUST_CODE"
# A folder with this file is zarr's, and one with such settings is a run, whatever else is in it.
_STORE, _RUN = "zarr.json", "config.toml"
RUN_KEYS = ("preset", "seed", "store")


def is_file_name(source: str) -> bool:
    """Whether `source`, the part of a name before its colon, is a file rather than a module."""
    return source.endswith(".py")


def absolute(name: str) -> str:
    """A name with the whole path of its file; module names, and names of what is built in, are as they are."""
    source, colon, attribute = name.rpartition(":")
    return f"{whole_path(Path(source))}:{attribute}" if colon and is_file_name(source) else name


def shown(name: str) -> str:
    """A name as a reader in the current folder wants it: its file relative to that folder where this is shorter."""
    source, colon, attribute = name.rpartition(":")
    return f"{shown_path(source)}:{attribute}" if colon and is_file_name(source) else name


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
            f"{address[1]}://{rest}: is an address; stores are read from a file system of this machine: mount it, or copy it here"
        )
    return Path(path)


def is_there(source: str) -> bool:
    """Whether a file, or the package that a module is in, can be found from here. Runs nothing."""
    if is_file_name(source):
        return Path(source).is_file()
    with _current_folder_first():
        top = source.partition(".")[0]
        try:
            return importlib.util.find_spec(top) is not None
        except (ImportError, ValueError):
            return False


def load_module(source: str) -> ModuleType:
    """The module of a file (run anew), or by its dotted name, installed or in the current folder.

    Raises CodeRefused for code within a run or store, and whatever the code itself raises while it is imported.
    """
    return _load_file(Path(source)) if is_file_name(source) else _load_by_name(source)


def refuse_downloaded(file: Path) -> None:
    """Raises CodeRefused where a file of code lies within a run or a store, by its name or behind symbolic links."""
    found = _downloaded(file)
    if found and not _trusted():
        kind, folder = found
        raise CodeRefused(
            f"{shown_path(file)}: is code within the {kind} {shown_path(folder)}, which is not run unasked, since a {kind} may "
            f"come from anywhere; move the file elsewhere, or allow it with {TRUST}=1"
        )


def _trusted() -> bool:
    return os.environ.get(TRUST) == "1"


def _downloaded(place: Path) -> tuple[str, Path] | None:
    """The run or store, and its kind, that a file or folder lies in."""
    for spelled in (whole_path(place), place.resolve()):
        for folder in (spelled, *spelled.parents):
            kind = _kind_of(folder)
            if kind:
                return kind, folder
    return None


def _kind_of(folder: Path) -> str:
    if os.path.lexists(folder / _STORE):
        return "store"
    if not (folder / _RUN).is_file():
        return ""
    try:
        settings = read_settings(folder / _RUN)
    except GaidError:  # then it can't be opened as a run either
        return ""
    return "run" if all(key in settings for key in RUN_KEYS) else ""


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    refuse_downloaded(path)
    name = f"gaid_own_{re.sub(r'[^0-9a-zA-Z]', '_', str(path.resolve()))}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _load_by_name(name: str) -> ModuleType:
    """Package by package: each is found, judged and only then imported, since importing a package runs its code."""
    importlib.invalidate_caches()
    # What is imported may import more, and that must not come out of a run in which the user stands.
    while_importing = _current_folder_first if _trusted() or not _downloaded(Path.cwd()) else nullcontext
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        package = ".".join(parts[:depth])
        with _current_folder_first():
            spec = importlib.util.find_spec(package)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        if spec.has_location and spec.origin is not None:
            refuse_downloaded(Path(spec.origin))
        with while_importing():
            module = importlib.import_module(package)
    return module


@contextmanager
def _current_folder_first() -> Iterator[None]:
    """As `python -m` has it and a console script has not."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
