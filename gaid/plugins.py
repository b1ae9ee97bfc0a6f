"""What is loaded by name: what users bring (a head, a backbone, a data set), and what is built in.

There is one door for a user's own: `some/file.py:Name` or `some.module:Name`.

A run or a store may come from anywhere, so code that lies within one is refused unless the user allows it. The file is
found before any of it runs, so every spelling of a path is judged alike. What an object has to be is left to the caller.
"""

import importlib
import importlib.util
import json
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

from gaid.errors import CodeRefused, GaidError, OptionInvalid
from gaid.paths import shown_path, whole_path
from gaid.settings import nearest, read_settings

# Set to 1, this allows code within runs and stores.
TRUST = "GAID_TRUST_CODE"
# A folder with this file is zarr's, and one with such settings is a run or a published head, whatever else is in it.
_STORE, _RUN, _PUBLISHED = "zarr.json", "config.toml", "config.json"
RUN_KEYS = ("preset", "seed", "store")
PUBLISHED = {"format": "gaid-head"}


def load_object(name: str, role: str, fits: Callable[[Any], bool] = lambda found: True, kind: str = "") -> Any:
    """The object called `name`, `file.py:Name` or `module:Name` (installed, or in the current folder).

    `role` is what it is wanted for ("backbone"), `fits` says which objects will do and `kind` what those are called: role
    and kind are for errors. Raises CodeRefused for code within a run or store, and OptionInvalid for everything else that is
    wrong, with the nearest name where there is no such object.
    """
    name = shown(name)
    source, _, attribute = name.rpartition(":")
    try:
        module = load_module(source)
    except CodeRefused:
        raise
    except Exception as error:  # a user's module may raise anything while it is imported
        raise OptionInvalid(f"{role} {name!r}: {_why(source, error)}") from error
    found = getattr(module, attribute, None)
    if found is None or not fits(found):
        known = [one for one, value in vars(module).items() if not one.startswith("_") and fits(value)]
        raise OptionInvalid(f"{role} {name!r}: {source} has no {kind}{attribute!r}; {nearest(attribute, known)}")
    return found


def _why(source: str, error: Exception) -> str:
    """Why a module can't be had."""
    if is_file_name(source) and not Path(source).is_file():
        return f"no file {source}"
    if isinstance(error, ModuleNotFoundError) and error.name and f"{source}.".startswith(f"{error.name}."):
        return f"no module {error.name!r} is here ({Path.cwd()}) or installed"
    return f"{source} can't be imported ({type(error).__name__}: {error})"


class BuiltIn(Mapping[str, Any]):
    """What is built in: each module of a package is one, described by its `SPEC`; a module's name, with dashes, is its name.

    Names are found by listing the folder, which imports nothing; asking for one imports its module. Modules in `besides` are
    none of them.
    """

    def __init__(self, package: str, path: Iterable[str], besides: Iterable[str]) -> None:
        self._package, self._path, self._besides = package, path, frozenset(besides)

    def __iter__(self) -> Iterator[str]:
        names = sorted(module.name for module in pkgutil.iter_modules(self._path))
        return (name.replace("_", "-") for name in names if name not in self._besides)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in list(iter(self))

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return importlib.import_module(f"{self._package}.{name.replace('-', '_')}").SPEC


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
    """Raises CodeRefused where a file of code lies within a run, a published head or a store, by its name or behind symbolic links."""
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
    if is_published(folder):
        return "published head"
    if not (folder / _RUN).is_file():
        return ""
    try:
        settings = read_settings(folder / _RUN)
    except GaidError:  # then it can't be opened as a run either
        return ""
    return "run" if all(key in settings for key in RUN_KEYS) else ""


def is_published(folder: Path) -> bool:
    """Whether a folder's settings are those of a published head."""
    if not (folder / _PUBLISHED).is_file():
        return False
    try:
        settings = json.loads((folder / _PUBLISHED).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(settings, dict) and settings.items() >= PUBLISHED.items()


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
