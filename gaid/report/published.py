"""Published figures, as data with their sources (data/published_table1.toml). They are never in a table with measured ones."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from gaid.metrics import NAMES
from gaid.report.tables import escape_markdown
from gaid.retrieval.results import DIRECTIONS


@dataclass(frozen=True)
class PublishedRow:
    """One published line: figures that are known, which version of which paper, the protocol they rest on, and the source."""

    preset: str
    method: str
    version: str
    backbone: str
    direction: str
    protocol: str
    figures: dict[str, float]
    source: str

    def cell(self, name: str) -> str:
        """The figure as published, or nothing."""
        value = self.figures.get(name)
        return "" if value is None else f"{value:g}" if name == "MdR" else f"{value:.1f}"

    def record(self) -> dict[str, Any]:
        """A line of the CSV."""
        return {
            "preset": self.preset,
            "method": self.method,
            "version": self.version,
            "backbone": self.backbone,
            "direction": self.direction,
            "protocol": self.protocol,
            **{name: self.figures.get(name, "") for name in NAMES},
            "source": self.source,
        }


def load_published() -> tuple[list[PublishedRow], list[str]]:
    """(rows, cautions)."""
    data = tomllib.loads(files("gaid.report").joinpath("data/published_table1.toml").read_text(encoding="utf-8"))
    return [PublishedRow(**row) for row in data["row"]], list(data["cautions"])


def markdown_published(rows: list[PublishedRow], cautions: list[str]) -> str:
    """The published tables and what to know before reading them."""
    parts = []
    for direction, words in DIRECTIONS.items():
        lines = ["| method | version | backbone | protocol |" + "|".join(NAMES) + "| source |"]
        lines.append("|---|---|---|---|" + "---:|" * len(NAMES) + "---|")
        for row in (row for row in rows if row.direction == direction):
            words_of = [escape_markdown(one) for one in (row.method, row.version, row.backbone, row.protocol)]
            cells = [*words_of, *(row.cell(name) for name in NAMES), escape_markdown(row.source)]
            lines.append("| " + " | ".join(cells) + " |")
        parts.append(f"{words}\n\n" + "\n".join(lines))
    return "\n\n".join([*parts, "\n".join(f"* {caution}" for caution in cautions)]) + "\n"
