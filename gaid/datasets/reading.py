"""Reads what people write by hand: text files, tables and folders. Errors name the file and the line.

No data set is known here.
"""

import csv
import io
import json
import math
import os
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gaid.errors import DataInvalid, DataMissing
from gaid.paths import iter_files

VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".flv", ".f4v",
    ".wmv", ".asf", ".ogv",
)  # fmt: skip
# Files of sound that may lie beside a video; extract with pictures and sound apart leaves such.
SOUND_SUFFIXES = (".wav", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".aac")


def find_files(root: Path, suffixes: Collection[str]) -> list[Path]:
    """Files under `root` with one of `suffixes` (lower case), as `iter_files` finds them."""
    return [root / name for name in iter_files(root, suffixes)]


def unreadable_folders(root: Path) -> list[Path]:
    """Folders under `root` that cannot be read: what they hold is missing from every list of files."""
    found: list[str] = []
    for _ in iter_files(root, (), found):
        pass
    return sorted(map(Path, found))


def plain_name(path: Path | str) -> str:
    """A path as an id: forward slashes, one form of accented letters, and bytes that are not UTF-8 written as \\xNN.

    Names typed on one system and files stored by another differ in how they compose letters, so both go through here.
    """
    name = os.fspath(path)
    return plain_file_name(name.replace("\\", "/") if isinstance(path, str) else name)


def plain_file_name(name: str) -> str:
    """The same of a path as the system gives it, in which a backslash is a character."""
    if name.isascii():
        return name
    return unicodedata.normalize("NFC", name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))


# Marks that no UTF-8 text begins with. UTF-32's begins with UTF-16's, so it comes first.
MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def read_text(file: Path) -> str:
    """A text file in UTF-8, with or without a mark at its start, or in UTF-16 or UTF-32 with one (spreadsheets write it).

    Any other encoding is refused: a wrong guess would be trained on. Raises DataMissing or DataInvalid.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise DataMissing(f"{file}: no such file") from None
    except OSError as error:
        raise DataInvalid(f"{file}: can't be read ({error.strerror})") from None
    encoding = next((name for mark, name in MARKS if data.startswith(mark)), "utf-8-sig")
    if encoding == "utf-8-sig" and b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise DataInvalid(f"{file}, line {line}: contains zero bytes, as UTF-16 without a mark does; save it as UTF-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise DataInvalid(
                f"{file}: has the mark of {encoding.upper()} but is not valid {encoding.upper()}; save it as UTF-8"
            ) from None
        line = data.count(b"\n", 0, error.start) + 1
        raise DataInvalid(f"{file}, line {line}: not UTF-8 at byte {error.start}; save it as UTF-8") from None


def read_json(file: Path, kind: type, meaning: str) -> Any:
    """A JSON file whose outermost value is a `kind` (list or dict). Raises DataInvalid that says what was expected.

    A key that occurs twice in one object is refused: JSON would silently keep the last one.
    """
    text = read_text(file)
    try:
        content = json.loads(text, object_pairs_hook=lambda pairs: _once(file, pairs))
    except DataInvalid:
        raise
    except RecursionError:
        raise DataInvalid(f"{file}: nested too deeply") from None
    except ValueError as error:
        raise DataInvalid(f"{file}: not valid JSON ({error}); is the file complete?") from None
    if not isinstance(content, kind):
        found = f"{'list' if isinstance(content, list) else type(content).__name__}"
        raise DataInvalid(f"{file}: holds a {found}, expected {meaning}")
    return content


def _once(file: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise DataInvalid(f"{file}: the key {twice[:60]!r} occurs twice in one object; keep one")
    return found


def text_of(entry: Any, key: str, where: str) -> str:
    """The text under `key`, stripped. Raises DataInvalid where it is missing, of another type or empty."""
    if not isinstance(entry, Mapping):
        raise DataInvalid(f"{where}: expected an object with {key!r}, found {_short(entry)}")
    if key not in entry:
        raise DataInvalid(f"{where}: no {key!r}; it has {', '.join(map(repr, list(entry)[:6])) or 'nothing'}")
    return check_text(entry[key], f"{where}: {key!r}")


def check_text(value: Any, what: str) -> str:
    """`value`, stripped, if it is a text that is not empty. Raises DataInvalid."""
    if not isinstance(value, str):
        raise DataInvalid(f"{what} is {_short(value)}, expected text")
    if not value.strip():
        raise DataInvalid(f"{what} is empty")
    return one_line(value)


def one_line(text: str) -> str:
    """A caption on one line: every run of white space is one space."""
    return " ".join(text.split())


def seconds_of(value: str, what: str) -> float:
    """A moment in seconds: `75.5`, or `1:15.5`, or `0:01:15.5`. Raises DataInvalid for NaN, infinite or negative ones."""
    parts = value.strip().split(":")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if not numbers or len(numbers) > 3 or "_" in value:
        raise DataInvalid(f"{what} is {value[:40]!r}, expected seconds, as 75.5 or 1:15.5")
    if not all(map(math.isfinite, numbers)):
        raise DataInvalid(f"{what} is {value.strip()}, which is not a time")
    if any(number < 0 for number in numbers) or value.strip().startswith("-"):
        raise DataInvalid(f"{what} is {value.strip()}: before the video's start")
    return float(sum(number * 60**place for place, number in enumerate(reversed(numbers))))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_lines(file: Path) -> Iterator[tuple[str, str]]:
    """Lines that are not empty, stripped, each after where it stands, as `FILE, line 3`."""
    for number, line in enumerate(read_text(file).split("\n"), 1):
        if line.strip():
            yield f"{file}, line {number}", line.strip()


def read_table(file: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of a CSV file that has at least `columns` in its first line, each after where it stands.

    The delimiter is a comma, or a semicolon or tab where the first line has these (spreadsheets of some countries).
    Raises DataInvalid for a line of more fields than columns, and for quotes that don't pair: both would silently cut a caption.
    """
    text = read_text(file)
    head = text.split("\n", 1)[0]
    delimiter = next((mark for mark in (";", "\t") if mark in head and "," not in head), ",")
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True, restkey=_MORE
    )
    begun = 1
    try:
        names = [(name or "").strip() for name in reader.fieldnames or ()]
        reader.fieldnames = names
        absent = [column for column in columns if column not in names]
        if absent:
            raise DataInvalid(
                f"{file}, line 1: no column {', '.join(absent)}; it names {', '.join(names) or 'nothing'}"
            )
        twice = next((name for name in names if name and names.count(name) > 1), None)
        if twice is not None:
            raise DataInvalid(f"{file}, line 1: the column {twice} occurs twice")
        begun = reader.line_num + 1
        for entry in reader:
            where = f"{file}, line {reader.line_num}"
            begun = reader.line_num + 1
            if any(field.strip() for field in entry.pop(_MORE, ())):
                raise DataInvalid(
                    f"{where}: more fields than the {len(names)} columns of the first line; "
                    f"put text that contains {_MARK_NAMES[delimiter]} in quotes"
                )
            row = {name: (value or "").strip() for name, value in entry.items() if name}
            empty = [column for column in columns if not row[column]]
            if empty:
                raise DataInvalid(f"{where}: no {', '.join(empty)}")
            yield where, row
    except csv.Error as error:
        said = str(error)
        if "unexpected end of data" in said:
            raise DataInvalid(
                f"{file}, line {begun}: a quote opens here and never closes; double a quote inside quoted text"
            ) from None
        raise DataInvalid(f"{file}, line {begun}: {said}; double a quote inside quoted text") from None


_MORE = "\0more"  # no column is called that: text with a zero byte is refused
_MARK_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs"}
