"""The paper's Table 1 over the data sets that are here: extracts, trains and evaluates what is not there yet, and writes it.

On a machine with MSR-VTT and the weights of CLIP and CLAP the table is of these; elsewhere of `demo` and `stamps`, each
headed as what it is. Published figures stand in a table of their own.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaid.errors import DataMissing, GaidError, OptionInvalid
from gaid.report.published import PublishedRow, load_published, markdown_published
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
from gaid.retrieval import evaluate
from gaid.retrieval.results import DIRECTIONS, Results
from gaid.runs import CONFIG, Run, head_settings, load_run, write_bytes

if TYPE_CHECKING:
    from gaid.stores import Store

PRESETS = ("mean-pool", "x-pool", "t-mass", "gaid")
HEADINGS = {
    "msrvtt": "MSR-VTT, 1k-A test: the paper's data set; frozen features, so not the paper's set-up",
    "demo": "The demo world: generated clips whose sights and sounds inform at different times. It shows what the method does, "
    "not how well it does on real video",
    "stamps": "Tux Paint's stamps: still pictures with captions, some with a sound. Real input, but no videos",
}
# Figures without training, where backbones share a space: (the data set's protocol, what texts are compared with).
ZERO_SHOT: dict[str, tuple[tuple[str, str], ...]] = {"stamps": (("pictures", "video"), ("sounds", "sound"))}


@dataclass
class Section:
    """One data set's measured rows; `zero_shot` are heads without training."""

    dataset: str
    heading: str
    results: list[Results]
    zero_shot: list[Results] = field(default_factory=list)
    page: Path | None = None

    @property
    def all_results(self) -> list[Results]:
        return [*self.results, *self.zero_shot]

    @property
    def last(self) -> Results:
        """The method's own row, which is compared with the others; what all rows rest on is said of it."""
        return self.results[-1]

    def rows(self, direction: str) -> list[Row]:
        """Every head's figures, its published protocol's and the leak, one under the other."""
        kinds = ("main", "protocol", "leak")
        return [row for one in self.results for row in rows(one, direction) if row.kind in kinds]

    def markdown(self) -> list[str]:
        """Paragraphs: a table a direction, findings, census, and what was measured without training."""
        parts = [f"**{escape_markdown(heading(self.last))}**"]
        parts += [f"> {escape_markdown(note)}" for note in self.last.notes]
        for direction, words in DIRECTIONS.items():
            queries = self.last.figures[direction].queries
            parts.append(f"{words} ({queries} queries)\n\n{markdown_rows(self.rows(direction))}")
        parts.append("\n".join(f"* {escape_markdown(line)}" for line in findings(self.last)))
        census = ", ".join(f"{name} {count}" for name, count in census_items(self.last.census))
        parts.append(
            f"Census: {census}; gallery `{self.last.gallery_hash[:12]}`. 95 % intervals: bootstrap over videos."
        )
        if self.zero_shot:
            parts.append("### Without training")
        return parts + [markdown(one).rstrip() for one in self.zero_shot]


@dataclass
class Table1:
    """What `reproduce` measured, beside what is published; `skipped` says which data sets are not in it and why."""

    sections: list[Section]
    skipped: dict[str, str]
    published: list[PublishedRow]
    cautions: list[str]
    files: list[Path] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON types only; measured and published apart."""
        return {
            "measured": {
                section.dataset: {
                    "heading": section.heading,
                    "rows": [one.to_dict() for one in section.results],
                    "zero_shot": [one.to_dict() for one in section.zero_shot],
                }
                for section in self.sections
            },
            "published": {"rows": [row.record() for row in self.published], "cautions": self.cautions},
            "skipped": self.skipped,
            "files": [str(path) for path in self.files],
        }

    def __str__(self) -> str:
        parts = ["# Table 1, as far as its methods and data sets are here"]
        for section in self.sections:
            parts.append(f"## Measured: {escape_markdown(section.heading)}")
            parts += section.markdown()
        for name, why in self.skipped.items():
            parts.append(f"Not measured: {name}. {escape_markdown(why)}")
        parts.append("## Published: MSR-VTT, 1k-A test, CLIP fine-tuned. Not measured here")
        parts.append(markdown_published(self.published, self.cautions).rstrip())
        if self.files:
            parts.append("Written: " + ", ".join(str(path) for path in self.files))
        return "\n\n".join(parts) + "\n"


def reproduce(
    root: str | Path | None = None,
    out: str | Path = "reports/table1",
    datasets: Sequence[str] | None = None,
    presets: Sequence[str] = PRESETS,
    seeds: int = 3,
    device: str = "auto",
    *,
    stores: str | Path = "stores",
    runs: str | Path = "runs/table1",
    settings: Sequence[str] = (),
    progress: bool = True,
) -> Table1:
    """Extracts, trains and evaluates `presets` on data sets, and writes OUT/table1.md, .csv, .html, published.csv.

    Args:
        root: folder of the data sets' folders (`data`); a data set that lives elsewhere, as stamps, is found there too.
        datasets: names; by default MSR-VTT where it and its weights are here, else demo and stamps.
        seeds: trainings a row. settings: of training, as `train(set=...)` takes them.
        stores, runs: where features and heads are kept; what is finished there is used again.

    A data set that was not asked for and can't be used is skipped with its reason. Raises what extraction, training and
    evaluation raise for one that was asked for, and DataMissing where nothing is left.
    """
    if not presets:
        raise OptionInvalid("presets: name one at least")
    sections, skipped = [], {}
    for name in datasets or choose_datasets(root):
        try:
            sections.append(
                _measure(name, root, Path(out), presets, seeds, device, Path(stores), Path(runs), settings, progress)
            )
        except GaidError as error:
            if datasets:
                raise
            skipped[name] = str(error)
            _say(f"table 1 goes without {name}: {error}", progress)
    if not sections:
        reasons = "; ".join(f"{name}: {why}" for name, why in skipped.items())
        raise DataMissing(f"no data set can be used ({reasons})")
    published, cautions = load_published()
    table = Table1(sections, skipped, published, cautions)
    _write(table, Path(out))
    return table


def choose_datasets(root: str | Path | None) -> list[str]:
    """MSR-VTT alone where its clips, and the weights of its default backbones, are here; else what needs no network."""
    from gaid.backbones import statuses
    from gaid.datasets import get_spec, load_dataset

    spec = get_spec("msrvtt")
    families = {name.partition(":")[0] for name in spec.default_backbones}
    at_hand = {one.name.partition(":")[0] for one in statuses() if one.at_hand}
    if families <= at_hand:
        try:
            dataset = load_dataset("msrvtt", _root_of("msrvtt", root))
            if len(dataset.missing) < len(dataset.videos):
                return ["msrvtt"]
        except GaidError:  # not here, or not whole
            pass
    return ["demo", "stamps"]


def _root_of(name: str, root: str | Path | None) -> Path | None:
    """The data set's folder under `root`; None (its own default) where there is none and it does not live in `data`."""
    from gaid.datasets import get_spec

    if root is None:
        return None
    place = Path(root) / name
    return place if place.is_dir() or not Path(get_spec(name).default_root).is_absolute() else None


def _measure(
    name: str,
    root: str | Path | None,
    out: Path,
    presets: Sequence[str],
    seeds: int,
    device: str,
    stores: Path,
    runs: Path,
    settings: Sequence[str],
    progress: bool,
) -> Section:
    from gaid.datasets import get_spec, load_dataset
    from gaid.extract import extract
    from gaid.stores import open_store

    dataset = load_dataset(name, _root_of(name, root))
    _say(f"{name}: features", progress)
    visual = get_spec(name).default_backbones[0].replace("/", "-").replace(":", "-")
    report = extract(dataset, out=stores / f"{name}-{visual}.zarr", device=device, progress=progress)
    store = open_store(report.store)
    trained = {}
    for preset in presets:
        _say(f"{name}: {preset}, {seeds} seeds", progress)
        trained[preset] = _trained(store, preset, runs / name / _folder(preset), seeds, settings, device, progress)
    _say(f"{name}: evaluation", progress)
    *others, last = presets
    page = out / f"{name}.html"
    results = [evaluate(trained[preset], store=store, protocol="published", device=device) for preset in others]
    results.append(
        evaluate(
            trained[last],
            store=store,
            protocol="published",
            against=[trained[preset] for preset in others],
            report=page,
            device=device,
        )
    )
    zero_shot = [
        evaluate(store=store, preset="mean-pool", split_protocol=protocol, sense=sense, device=device)
        for protocol, sense in ZERO_SHOT.get(name, ())
        if protocol in store.protocols
    ]
    return Section(name, HEADINGS.get(name, name), results, zero_shot, page)


def _trained(
    store: "Store", preset: str, out: Path, seeds: int, settings: Sequence[str], device: str, progress: bool
) -> Run:
    """The run at `out`, if it is what would be trained now; gone on with or trained anew else."""
    from gaid.training import train

    overwrite = False
    if (out / CONFIG).exists():
        run = load_run(out)
        overwrite = not _is_current(run, store, preset, seeds, settings)
        if run.finished and not overwrite:
            return run
    return train(
        store,
        preset,
        out=out,
        seed=0,
        seeds=seeds,
        set=settings,
        device=device,
        resume=not overwrite,
        overwrite=overwrite,
        progress=progress,
    )


def _is_current(run: Run, store: "Store", preset: str, seeds: int, settings: Sequence[str]) -> bool:
    """Whether a run of an earlier call has these seeds, this store and the preset's defaults of today."""
    same = run.preset == preset and run.seeds == tuple(range(seeds))
    chosen = {setting.partition("=")[0].strip() for setting in settings}
    defaults = {name: value for name, value in head_settings(preset).items() if name not in chosen}
    same &= all(run.config[name] == value for name, value in defaults.items() if name in run.config)
    try:
        return same and run.fingerprint == store.fingerprint
    except GaidError:  # stopped before its first checkpoint
        return False


def _folder(preset: str) -> str:
    return preset.replace("/", "-").replace(":", "-")


def _write(table: Table1, out: Path) -> None:
    from gaid.report.html import write_template

    # A baseline's row is its own result's; as a line under another head it would stand there twice.
    records = [
        record
        for section in table.sections
        for one in section.all_results
        for record in csv_records(one)
        if record["kind"] != "baseline"
    ]
    page = write_template(
        out / "table1.html",
        "table1.html",
        title="Table 1",
        table=table,
        directions=DIRECTIONS,
        rows=rows,
        findings=findings,
        heading=heading,
        census_items=census_items,
    )
    texts = {
        "table1.csv": csv_text(records),
        "published.csv": csv_text([row.record() for row in table.published]),
    }
    for name, text in texts.items():
        write_bytes(out / name, text.encode())
    table.files = [out / "table1.md", page, *(out / name for name in texts)]
    table.files += [section.page for section in table.sections if section.page]
    write_bytes(out / "table1.md", str(table).encode())


def _say(line: str, progress: bool) -> None:
    if progress:
        print(line, file=sys.stderr)
