"""Filters: which clips of a library may be found, by their folder, their length and the date of their file.

What fits a query is the head's; a searcher takes the rows that are chosen here.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from gaid.errors import DataMissing, GaidError, OptionInvalid
from gaid.extract.sources import find_videos
from gaid.paths import shown_path
from gaid.source_files import look_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gaid.stores import Store

NAMES = ("within", "longer", "shorter", "since", "until")
_OPTION = re.compile(rf'(?<!\S)--({"|".join(NAMES)})(?:\s+|=)("[^"]*"|\S+)')
_NAMED = 6  # folders that a message lists


@dataclass(frozen=True)
class Filters:
    """What clips must be to be found; None asks for nothing.

    `within`: a folder, as a part of the clips' paths (holidays, 2024/may) or as a path on this machine. `longer`, `shorter`:
    seconds that a clip lasts at least and at most. `since`, `until`: when its file was last changed, both inclusive.
    """

    within: str | None = None
    longer: float | None = None
    shorter: float | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        for name in ("longer", "shorter"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise OptionInvalid(f"--{name} {value}: seconds are a number from 0 on")
        for least, most in (("longer", "shorter"), ("since", "until")):
            low, high = getattr(self, least), getattr(self, most)
            if low is not None and high is not None and low > high:
                raise OptionInvalid(f"--{least} {low} and --{most} {high} exclude every clip; swap the two")

    def __bool__(self) -> bool:
        return any(value is not None for value in vars(self).values())

    def __str__(self) -> str:
        return " ".join(f"--{name} {value}" for name, value in self.to_dict().items())

    @classmethod
    def parse(
        cls,
        within: str | Path | None = None,
        longer: float | str | None = None,
        shorter: float | str | None = None,
        since: str | date | None = None,
        until: str | date | None = None,
    ) -> "Filters":
        """Filters as they are typed. A date is 2024-05-31, alone or with a time (2024-05-31T18:30), in this machine's time zone
        where it names none; until a day includes the day. Raises OptionInvalid."""
        return cls(
            within=None if within is None or not str(within).strip() else str(within),
            longer=_seconds("longer", longer),
            shorter=_seconds("shorter", shorter),
            since=_moment("since", since, time.min),
            until=_moment("until", until, time.max),
        )

    def read(self, line: str) -> tuple[str, "Filters"]:
        """A line as it was typed at a prompt: its sentence, and these filters with those that the line names as options."""
        named = {name: value.strip('"') for name, value in _OPTION.findall(line)}
        given = vars(Filters.parse(**named))
        return _OPTION.sub(" ", line).strip(), replace(self, **{name: given[name] for name in named})

    def to_dict(self) -> dict[str, Any]:
        """Those that are set, JSON types only."""
        plain = {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in vars(self).items()
        }
        return {name: value for name, value in plain.items() if value is not None}


NO_FILTERS = Filters()


def _seconds(name: str, value: float | str | None) -> float | None:
    if value is None or value == "":
        return None
    try:
        return float(value)
    except ValueError as error:
        raise OptionInvalid(f"--{name} {value}: seconds are a number from 0 on") from error


def _moment(name: str, value: str | date | None, of_day: time) -> datetime | None:
    """A date with the time zone of this machine; a day alone is that time of it."""
    if value is None or value == "":
        return None
    try:
        found = value if isinstance(value, date) else datetime.fromisoformat(value.strip())
        alone = not isinstance(found, datetime) or (isinstance(value, str) and len(value.strip()) <= len("2024-05-31"))
        found = datetime.combine(found, of_day) if alone else found
        assert isinstance(found, datetime)
        return found if found.tzinfo else found.astimezone()
    except (ValueError, OverflowError, OSError) as error:
        raise OptionInvalid(f"--{name} {value}: a date is written 2024-05-31, or 2024-05-31T18:30") from error


class ClipFacts:
    """What filters ask about the clips of a library, each read when it is first asked for. `rows`: those with features."""

    def __init__(self, store: "Store", rows: "NDArray[np.int64]", root: str | Path | None = None) -> None:
        self.store, self.rows, self.root = store, rows, root

    def choose(self, filters: Filters) -> "tuple[NDArray[np.int64], list[str]]":
        """Rows of the clips that pass, ascending, and notes on what could not be judged.

        Raises OptionInvalid, DataMissing for a folder that no clip lies in.
        """
        kept, notes = np.ones(len(self.rows), bool), []
        if filters.within is not None:
            kept &= self._within(filters.within)
        if filters.longer is not None:
            kept &= self.durations >= filters.longer
        if filters.shorter is not None:
            kept &= self.durations <= filters.shorter
        if filters.since is not None or filters.until is not None:
            unknown = int((kept & np.isnan(self.changed)).sum())
            if unknown:
                count = "1 clip is" if unknown == 1 else f"{unknown:,} clips are"
                notes.append(
                    f"{count} left out by date: the store does not say when their file was changed, and it is not there"
                )
            kept &= ~np.isnan(self.changed)
        if filters.since is not None:
            kept &= self.changed >= filters.since.timestamp()
        if filters.until is not None:
            kept &= self.changed <= filters.until.timestamp()
        return self.rows[kept], notes

    @cached_property
    def durations(self) -> "NDArray[np.float32]":
        """(N) seconds."""
        found: NDArray[np.float32] = self.store["videos/duration"][:][self.rows]
        return found

    @cached_property
    def changed(self) -> "NDArray[np.float64]":
        """(N) seconds since 1970 at which the clip's file was last changed, as the store keeps it, else as the file says; NaN
        where neither is known."""
        found, ids = np.full(len(self.rows), np.nan), self.store.ids
        unknown = {}
        for place, row in enumerate(self.rows.tolist()):
            files = self.store.source(row)
            if files and files[0] is not None:
                found[place] = files[0].changed_ns / 1e9
            else:
                unknown[ids[row]] = place
        try:
            videos = find_videos(self.store, unknown, self.root) if unknown else {}
        except (GaidError, OSError):
            return found
        for name, video in videos.items():
            facts = look_at(video.path)
            if facts is not None:
                found[unknown[name]] = facts[1] / 1e9
        return found

    @cached_property
    def folders(self) -> list[str]:
        """The folders of the clips, sorted: those of their files under the library's root where the store keeps these, else of
        their ids."""
        return self.by_folder[0]

    @cached_property
    def by_folder(self) -> "tuple[list[str], NDArray[np.int64]]":
        """The folders, and for each clip (N) the number of its own."""
        names = self.store.file_names
        paths = self.store.ids if names is None else [path for path, _ in names]
        mine = [paths[row].rpartition("/")[0] for row in self.rows.tolist()]
        folders = sorted(set(mine))
        number = {folder: place for place, folder in enumerate(folders)}
        return folders, np.array([number[one] for one in mine], np.int64)

    def named(self, filters: Filters) -> Filters:
        """The same filters with their folder as names below the library's root. Raises OptionInvalid for a path elsewhere."""
        return filters if filters.within is None else replace(filters, within="/".join(self._parts(filters.within)))

    def _within(self, within: str) -> "NDArray[np.bool_]":
        """(N) whether the clip lies in the folder or below it."""
        wanted = [part.casefold() for part in self._parts(within)]
        folders, number = self.by_folder
        inside = np.array([_holds(folder.casefold().split("/"), wanted) for folder in folders], bool)
        if not inside.any():
            named = [one for one in folders if one][:_NAMED]
            there = f"; there are {', '.join(named)}{' and more' if len(folders) > _NAMED else ''}" if named else ""
            raise DataMissing(f"--within {within}: no clip of {self.store.path} lies in such a folder{there}")
        return inside[number]

    def _parts(self, within: str) -> Sequence[str]:
        """The names that make up a folder, from the library's root on where it is a path on this machine."""
        place = Path(within).expanduser()
        if place.is_absolute():
            root = self.root or (self.store.attrs.get("dataset") or {}).get("root") or "/"
            home = Path(root).expanduser().absolute()
            if not place.is_relative_to(home):
                raise OptionInvalid(
                    f"--within {within}: is not below {shown_path(home)}, where the clips of the library are"
                )
            place = place.relative_to(home)
        return PurePosixPath(place).parts


def _holds(folder: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether the names are in a path one after the other."""
    count = len(wanted)
    return any(list(folder[start : start + count]) == list(wanted) for start in range(len(folder) - count + 1))
