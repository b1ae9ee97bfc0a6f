"""A table of the paper as measured here, one section per data set, and the published figures; as markdown, CSV and HTML."""

from dataclasses import asdict, dataclass, field
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

from gaid.evaluation.results import DIRECTION_NAMES, Results
from gaid.files import write_bytes
from gaid.metrics import NAMES
from gaid.paper.cost import Cost
from gaid.paper.published import PublishedGain, PublishedRow, markdown_published
from gaid.paper.tables import PaperTable
from gaid.report.html import write_template
from gaid.report.tables import (
    Row,
    census_items,
    csv_records,
    csv_text,
    escape_markdown,
    findings,
    heading,
    markdown,
    markdown_rows,
    rows,
)

KINDS = ("main", "protocol", "leak")
COST_NAMES = ("parameters", "FLOPs per pair", "s, all pairs", "s, direct")


@dataclass
class Section:
    """The measured rows of one data set, `names[i]` the i-th row's name; `zero_shot` are untrained heads."""

    dataset: str
    heading: str
    names: list[str]
    results: list[Results]
    absent: list[str]
    page: Path
    costs: list[Cost] = field(default_factory=list)
    zero_shot: list[Results] = field(default_factory=list)

    @property
    def last(self) -> Results:
        """The row that is compared with the others; notes, census and backbones of the section are its own."""
        return self.results[-1]

    def rows(self, direction: str) -> list[Row]:
        """Every head's figures, its published protocol's and the leak, one under the other."""
        return [row for _, row in self.named_rows(direction)]

    def named_rows(self, direction: str) -> list[tuple[str, Row]]:
        """These rows, each with the table's name of its head."""
        return [
            (name, changed(row, label=row.label.replace(one.label, name, 1)))
            for name, one in zip(self.names, self.results, strict=True)
            for row in rows(one, direction)
            if row.kind in KINDS
        ]

    def conclusion(self, direction: str) -> str:
        """Which row has the highest R@1 under the query protocol, and that of the row which is compared with the others."""
        figures = {name: one.figures[direction] for name, one in zip(self.names, self.results, strict=True)}
        cells = {name: Row.of(name, "main", of) for name, of in figures.items()}
        best = max(figures, key=lambda name: figures[name].values["R@1"])
        said = f"{best} has the highest R@1, {cells[best].cell('R@1')} ({cells[best].interval('R@1')})"
        last = self.names[-1]
        return said if best == last else f"{said}; {last} has {cells[last].cell('R@1')} ({cells[last].interval('R@1')})"

    def cost_rows(self) -> list[tuple[str, list[str]]]:
        """(row, cells under COST_NAMES)."""
        return [
            (
                name,
                [
                    f"{cost.parameters:,}",
                    f"{cost.flops:,.0f}",
                    f"{cost.seconds:.2f}",
                    "" if cost.direct_seconds is None else f"{cost.direct_seconds:.1f}",
                ],
            )
            for name, cost in zip(self.names, self.costs, strict=True)
        ]

    def cost_note(self) -> str:
        one = self.costs[0]
        return (
            "FLOPs count the matrix products of one (text, video) pair scored directly. Seconds are of this machine "
            f"({one.device}), one seed, for {one.pairs:,} pairs: as `gaid eval` scores them, and with every tensor materialised (for a "
            "part of the texts, scaled). If the machine was busy, only their ratios are meaningful."
        )

    def markdown(self, directions: tuple[str, ...]) -> list[str]:
        """Paragraphs: one table per direction, costs, findings, census, and the figures of untrained heads."""
        parts = [f"**{escape_markdown(heading(self.last))}**"]
        parts += [f"> {escape_markdown(note)}" for note in [*self.last.notes, *self.absent]]
        for direction in directions:
            queries = self.last.figures[direction].queries
            parts.append(f"{DIRECTION_NAMES[direction]} ({queries} queries)\n\n{markdown_rows(self.rows(direction))}")
        if self.costs:
            lines = ["| |" + "|".join(COST_NAMES) + "|", "|---|" + "---:|" * len(COST_NAMES)]
            lines += [f"| {escape_markdown(name)} | {' | '.join(cells)} |" for name, cells in self.cost_rows()]
            parts += ["\n".join(lines), escape_markdown(self.cost_note())]
        parts.append("\n".join(f"* {escape_markdown(line)}" for line in self.findings(directions)))
        census = ", ".join(f"{name} {count}" for name, count in census_items(self.last.basis.census))
        parts.append(
            f"Census: {census}; gallery `{self.last.basis.gallery_hash[:12]}`. 95 % intervals: bootstrap over videos."
        )
        if self.zero_shot:
            parts.append("### Untrained heads")
        return parts + [markdown(one).rstrip() for one in self.zero_shot]

    def findings(self, directions: tuple[str, ...]) -> list[str]:
        """The findings beside the figures, of the directions of this table."""
        others = tuple(words for direction, words in DIRECTION_NAMES.items() if direction not in directions)
        return [line for line in findings(self.last, self.names[-1]) if not line.startswith(others)]

    def records(self, directions: tuple[str, ...]) -> list[dict[str, Any]]:
        """Lines of the CSV. A baseline's row is its own result's; as a line under another head it would stand there twice."""
        found = []
        for number, one in enumerate(self.results):
            cost = self.costs[number].to_dict() if self.costs else {}
            for record in csv_records(one):
                if record["kind"] in KINDS and record["direction"] in directions:
                    found.append({"row": self.names[number], **record, **cost})
        for one in self.zero_shot:
            found += [
                {"row": one.label, **record}
                for record in csv_records(one)
                if record["kind"] in KINDS and record["direction"] in directions
            ]
        return found


@dataclass
class Group:
    """One data set under several visual backbones, side by side as in the paper: the column groups of one table."""

    sections: list[Section]

    @property
    def heading(self) -> str:
        return f"{self.sections[0].dataset}, {' beside '.join(self.backbones)}"

    @property
    def backbones(self) -> list[str]:
        """The visual backbones, a column group each."""
        return [section.last.basis.backbones["visual"] for section in self.sections]

    def lines(self, direction: str) -> list[tuple[Row, list[Row | None]]]:
        """Each line's row and its like under every backbone; None where a store lacks what the row needs."""
        columns = [{(name, row.kind): row for name, row in section.named_rows(direction)} for section in self.sections]
        places = list(dict.fromkeys(place for column in columns for place in column))
        found = []
        for place in places:
            cells = [column.get(place) for column in columns]
            found.append((next(row for row in cells if row is not None), cells))
        return found

    def markdown(self, directions: tuple[str, ...]) -> list[str]:
        """Paragraphs: one table per direction, without intervals, which are in the sections."""
        parts = []
        for direction in directions:
            names = [f"{name}, {backbone}" for backbone in self.backbones for name in NAMES]
            lines = ["| |" + "|".join(map(escape_markdown, names)) + "|", "|---|" + "---:|" * len(names)]
            for row, cells in self.lines(direction):
                shown = [cell.cell(name) if cell else "" for cell in cells for name in NAMES]
                lines.append(f"| {escape_markdown(row.label)} | " + " | ".join(shown) + " |")
            parts.append(f"{DIRECTION_NAMES[direction]}\n\n" + "\n".join(lines))
        return parts


@dataclass
class Table:
    """Measured sections and published rows, never mixed."""

    spec: PaperTable
    sections: list[Section]
    published: list[PublishedRow]
    published_seconds: list[dict[str, Any]]
    published_gains: list[PublishedGain]
    cautions: list[str]

    @property
    def groups(self) -> list[Group]:
        """The data sets that were measured under more than one visual backbone."""
        by_dataset: dict[str, list[Section]] = {}
        for section in self.sections:
            by_dataset.setdefault(section.dataset, []).append(section)
        return [Group(sections) for sections in by_dataset.values() if len(sections) > 1]

    def to_dict(self) -> dict[str, Any]:
        """JSON types only; measured and published apart."""
        return {
            "title": self.spec.title,
            "measured": {
                section.page.stem: {
                    "dataset": section.dataset,
                    "heading": section.heading,
                    "rows": {name: one.to_dict() for name, one in zip(section.names, section.results, strict=True)},
                    "costs": {name: cost.to_dict() for name, cost in zip(section.names, section.costs, strict=False)},
                    "absent": section.absent,
                    "zero_shot": [one.to_dict() for one in section.zero_shot],
                }
                for section in self.sections
            },
            "published": {
                "rows": [row.record() for row in self.published],
                "seconds": self.published_seconds,
                "gains": [asdict(gain) for gain in self.published_gains],
                "unseen": self.spec.unseen,
                "cautions": self.cautions,
            },
        }

    def __str__(self) -> str:
        parts = [f"# Table {self.spec.number}: {self.spec.title}, for the methods and data sets on this machine"]
        for group in self.groups:
            parts += [
                f"## Measured, side by side: {escape_markdown(group.heading)}",
                *group.markdown(self.spec.directions),
            ]
        for section in self.sections:
            parts.append(f"## Measured: {escape_markdown(section.heading)}")
            parts += section.markdown(self.spec.directions)
        parts.append("## Published, CLIP fine-tuned. Not measured here")
        if not (self.published or self.published_seconds):
            parts.append("No figure of this table could be found in a source.")
        if self.spec.unseen:
            parts.append(self.spec.unseen)
        parts.append(markdown_published(self.published, self.published_seconds, self.published_gains))
        return "\n\n".join(parts) + "\n"

    def write(self, out: Path) -> list[Path]:
        """OUT/tableN.md, .csv, .html and tableN-published.csv; returns them and the sections' pages."""
        name = self.spec.name
        page = write_template(
            out / f"{name}.html",
            "paper_table.html",
            room="gaid.paper",
            title=f"Table {self.spec.number}",
            table=self,
            directions=self.spec.directions,
            words=DIRECTION_NAMES,
            rows=rows,
            heading=heading,
            census_items=census_items,
            cost_names=COST_NAMES,
        )
        texts = {
            f"{name}.csv": csv_text(
                [one for section in self.sections for one in section.records(self.spec.directions)]
            ),
            f"{name}-published.csv": csv_text([row.record() for row in self.published]),
            f"{name}.md": str(self),
        }
        for file, text in texts.items():
            write_bytes(out / file, text.encode())
        return [page, *(out / file for file in texts), *(section.page for section in self.sections)]
