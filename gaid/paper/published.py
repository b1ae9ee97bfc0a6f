"""Published figures, as data with their sources (data/published.toml). They are never in one table with measured ones."""

import math
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from gaid.evaluation.results import DIRECTION_NAMES
from gaid.metrics import BY_NAME, NAMES
from gaid.report.tables import escape_markdown

DATASET_NAMES = {"msrvtt": "MSR-VTT 1k-A", "didemo": "DiDeMo", "lsmdc": "LSMDC", "vatex": "VATEX"}


@dataclass(frozen=True)
class PublishedRow:
    """One published line: the known figures, the method and its version, the protocol behind the figures, the source."""

    dataset: str
    backbone: str
    direction: str
    method: str
    protocol: str
    figures: dict[str, float]
    source: str
    preset: str = ""
    version: str = ""
    note: str = ""

    def cell(self, name: str) -> str:
        """The figure as published, or nothing."""
        value = self.figures.get(name)
        return "" if value is None else BY_NAME[name].text(value)

    def record(self) -> dict[str, Any]:
        """A line of the CSV."""
        about = {
            name: getattr(self, name)
            for name in ("dataset", "backbone", "direction", "method", "preset", "version", "protocol")
        }
        figures = {name: self.figures.get(name, "") for name in NAMES}
        return {**about, **figures, "source": self.source, "note": self.note}


@dataclass(frozen=True)
class PublishedGain:
    """How many points a source says that a method gains, by metric. A difference between figures, never a figure itself."""

    dataset: str
    direction: str
    method: str
    points: dict[str, float]
    over: str
    source: str
    preset: str = ""
    backbone: str = ""
    note: str = ""

    def __str__(self) -> str:
        gained = ", ".join(f"+{value:.1f} {name}" for name, value in self.points.items())
        where = ", ".join(filter(None, (DATASET_NAMES[self.dataset], self.backbone, DIRECTION_NAMES[self.direction])))
        source = f"{self.source}; {self.note}" if self.note else self.source
        return f"{self.method} gains {gained} over {self.over} on {where}. A gain, not a figure ({source})"


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    return tomllib.loads(files("gaid.paper").joinpath("data/published.toml").read_text(encoding="utf-8"))


def load_published(
    datasets: Collection[str], directions: Collection[str], presets: Collection[str] = ()
) -> list[PublishedRow]:
    """What is known about these data sets, of these presets or of all methods, in the file's order: by backbone, then R@1."""
    data = _data()
    found = []
    for row in data["row"]:
        wanted = not presets or row.get("preset") in presets
        if wanted and row["dataset"] in datasets and row["direction"] in directions:
            values = zip(data["metrics"], row["values"], strict=True)
            figures = {name: value for name, value in values if not math.isnan(value)}
            rest = {key: value for key, value in row.items() if key not in ("values", "source")}
            found.append(PublishedRow(figures=figures, source=data["sources"][row["source"]], **rest))
    return found


def published_gains(
    datasets: Collection[str], directions: Collection[str], presets: Collection[str] = ()
) -> list[PublishedGain]:
    """The gains that a source states on these data sets, of these presets or of all methods, in the file's order."""
    data = _data()
    return [
        PublishedGain(**{**one, "source": data["sources"][one["source"]]})
        for one in data["gain"]
        if one["dataset"] in datasets and one["direction"] in directions and (not presets or one["preset"] in presets)
    ]


def cautions() -> list[str]:
    """What to know before reading any of them."""
    return list(_data()["cautions"])


def published_seconds(table: int) -> list[dict[str, Any]]:
    """Times that are known of a table: `row`, `seconds`, `source`."""
    data = _data()
    return [{**one, "source": data["sources"][one["source"]]} for one in data["seconds"] if one["table"] == table]


def markdown_published(
    rows: list[PublishedRow], seconds: list[dict[str, Any]], gains: Sequence[PublishedGain] = ()
) -> str:
    """The published tables, one per data set and direction, and what to know before reading them."""
    parts = []
    for dataset, direction in dict.fromkeys((row.dataset, row.direction) for row in rows):
        lines = ["| method | version | backbone | protocol |" + "|".join(NAMES) + "| source |"]
        lines.append("|---|---|---|---|" + "---:|" * len(NAMES) + "---|")
        for row in rows:
            if (row.dataset, row.direction) == (dataset, direction):
                words = [escape_markdown(one) for one in (row.method, row.version, row.backbone, row.protocol)]
                source = escape_markdown(f"{row.source}; {row.note}" if row.note else row.source)
                lines.append("| " + " | ".join([*words, *(row.cell(name) for name in NAMES), source]) + " |")
        parts.append(f"{DATASET_NAMES[dataset]}, {DIRECTION_NAMES[direction]}\n\n" + "\n".join(lines))
    for one in seconds:
        parts.append(f"{one['row']}: {one['seconds']:g} s ({escape_markdown(one['source'])})")
    parts += [escape_markdown(str(gain)) for gain in gains]
    return "\n\n".join([*parts, "\n".join(f"* {caution}" for caution in cautions())])
