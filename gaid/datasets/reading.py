"""Reading what people made by hand: text files, tables and folders, with errors that name the file and the line.

No data set is known here.
"""

import csv
import io
import os
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from gaid.errors import DataInvalid, DataMissing

VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".flv", ".f4v",
    ".wmv", ".asf", ".ogv",
)  # fmt: skip


def find_files(root: Path, suffixes: Collection[str]) -> list[Path]:
    """Files under `root` with one of `suffixes` (lower case), in the order of their paths; hidden ones are left aside.

    Links to folders are followed, each folder once. A folder that is named like a file looked for and holds none is
    returned too: whoever opens it will say that it is a folder, which is better than leaving it out silently.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(root, followlinks=True):
        here = os.stat(place)  # noqa: PTH116 (an entry of os.walk)
        if (here.st_dev, here.st_ino) in seen:
            folders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        named = [name for name in files if Path(name).suffix.lower() in suffixes and not name.startswith(".")]
        found += [Path(place, name) for name in named]
    for folder in _folders_named_like(root, suffixes):
        if not any(file.is_relative_to(folder) for file in found):
            found.append(folder)
    return sorted(found, key=lambda path: path.parts)


def _folders_named_like(root: Path, suffixes: Collection[str]) -> list[Path]:
    return [
        Path(place, name)
        for place, folders, _ in os.walk(root)
        for name in folders
        if Path(name).suffix.lower() in suffixes and not name.startswith(".")
    ]


def plain_name(path: Path | str) -> str:
    """A path as an id: forward slashes, one form of accented letters, and bytes that are no UTF-8 written as \\xNN.

    Names typed on one system and files stored by another differ in how they compose letters, so both go through here.
    """
    name = os.fspath(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return unicodedata.normalize("NFC", name.replace("\\", "/") if isinstance(path, str) else name)


def read_text(file: Path) -> str:
    """A text file in UTF-8, with or without a mark at its start. Raises DataMissing or DataInvalid."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataMissing(f"{file}: no such file") from None
    except UnicodeDecodeError as error:
        raise DataInvalid(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise DataInvalid(f"{file}: can't be read ({error.strerror})") from None


def read_lines(file: Path) -> Iterator[tuple[str, str]]:
    """Lines that are not empty, stripped, each after where it stands, as `FILE, line 3`."""
    for number, line in enumerate(read_text(file).split("\n"), 1):
        if line.strip():
            yield f"{file}, line {number}", line.strip()


def read_table(file: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of a CSV file that has at least `columns` in its first line, each after where it stands.

    The delimiter is a comma, or a semicolon or tab where the first line has these (spreadsheets of some countries).
    """
    text = read_text(file)
    head = text.split("\n", 1)[0]
    delimiter = next((mark for mark in (";", "\t") if mark in head and "," not in head), ",")
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        names = [(name or "").strip() for name in reader.fieldnames or ()]
        reader.fieldnames = names
        absent = [column for column in columns if column not in names]
        if absent:
            raise DataInvalid(
                f"{file}, line 1: no column {', '.join(absent)}; it names {', '.join(names) or 'nothing'}"
            )
        for entry in reader:
            where = f"{file}, line {reader.line_num}"
            empty = [column for column in columns if not (entry[column] or "").strip()]
            if empty:
                raise DataInvalid(f"{where}: no {', '.join(empty)}")
            yield (
                where,
                {name: (value or "").strip() for name, value in entry.items() if isinstance(name, str) and name},
            )
    except csv.Error as error:
        raise DataInvalid(f"{file}, line {reader.line_num}: {error}") from None
