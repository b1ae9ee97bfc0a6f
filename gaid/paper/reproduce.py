"""`reproduce`: the paper's tables and Figure 5 over the data sets that are here, from what the workshop makes and keeps.

On a machine with a table's data sets and the weights of CLIP and CLAP the table is of these; elsewhere of data sets that
need no network, each headed as what it is. Published figures stand in a table of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaid.devices import pick_device
from gaid.errors import DataMissing, GaidError
from gaid.evaluation.bench import open_bench
from gaid.evaluation.evaluate import evaluate
from gaid.evaluation.results import Results
from gaid.files import check_folder
from gaid.paper.cost import measure_cost
from gaid.paper.figure5 import draw_figure5
from gaid.paper.paper_table import Section, Table
from gaid.paper.published import cautions, load_published, published_gains, published_seconds
from gaid.paper.tables import TABLES, PaperTable, choose
from gaid.paper.workshop import PaperOptions, Setting, Workshop, settings_of
from gaid.paper.worlds import Worlds, make_worlds
from gaid.report import write_page

if TYPE_CHECKING:
    from gaid.stores import Store

HEADINGS = {
    "msrvtt": "MSR-VTT; frozen features, so not the paper's set-up",
    "didemo": "DiDeMo; frozen features, so not the paper's set-up",
    "lsmdc": "LSMDC; frozen features, so not the paper's set-up",
    "vatex": "VATEX; frozen features, so not the paper's set-up",
    "demo": "The demo world: generated clips whose sights and sounds inform at different times. It shows what the method does, "
    "not how well it does on real video",
    "demo-same-times": "The demo's control: the same kind of clips with sights and sounds in the same frames",
    "stamps": "Tux Paint's stamps: still pictures with captions, some with a sound. Real input, but no videos",
}
# Figures without training, where backbones share a space: (the data set's protocol, what texts are compared with).
ZERO_SHOT: dict[str, tuple[tuple[str, str], ...]] = {"stamps": (("pictures", "video"), ("sounds", "sound"))}


@dataclass
class Reproduction:
    """All that `reproduce` made; `skipped` says what is not in it and why."""

    tables: list[Table] = field(default_factory=list)
    worlds: Worlds | None = None
    files: list[Path] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON types only; measured and published apart."""
        return {
            "tables": {table.spec.name: table.to_dict() for table in self.tables},
            **({"worlds": self.worlds.to_dict()} if self.worlds else {}),
            "skipped": self.skipped,
            "files": [str(path) for path in self.files],
        }

    def __str__(self) -> str:
        parts = [str(one).rstrip() for one in (*self.tables, self.worlds) if one is not None]
        parts += [f"Not made: {what}. {why}" for what, why in self.skipped.items()]
        return "\n\n".join([*parts, "Written: " + ", ".join(map(str, self.files))])


def reproduce(what: Sequence[str] = ("all",), options: PaperOptions | None = None) -> Reproduction:
    """Tables (`table1` to `table6`) and `figure5`, or `all`, of the paper, and `worlds`, which is not of the paper.

    A data set that was not asked for and can't be used is skipped with its reason. Raises what extraction, training and
    evaluation raise for one that was asked for, and DataMissing where nothing is left.
    """
    options = options or PaperOptions()
    made = Reproduction()
    chosen = choose(list(what))
    check_folder(options.out, "--out")
    workshop = Workshop(replace(options, device=pick_device(options.device)))
    for name in chosen:
        if name in TABLES:
            table = _table(TABLES[name], workshop, made.skipped)
            made.tables.append(table)
            made.files += table.write(options.out)
        elif name == "worlds":
            made.worlds = make_worlds(workshop.options)
            made.files += made.worlds.write(options.out)
        else:
            made.files += _figure5(workshop)
    return made


def _table(spec: PaperTable, workshop: Workshop, skipped: dict[str, str]) -> Table:
    sections, reasons = [], {}
    for setting in settings_of(spec, workshop.options):
        try:
            sections.append(_section(spec, setting, workshop))
        except GaidError as error:
            if workshop.options.datasets:
                raise
            reasons[f"{spec.name} on {setting.dataset}"] = str(error)
            workshop.say(f"{spec.name} goes without {setting.dataset}: {error}")
    if not sections:
        raise DataMissing(f"{spec.name}: no data set can be used ({'; '.join(reasons.values())})")
    skipped.update(reasons)
    published = load_published(spec.datasets, spec.directions, spec.published)
    gains = published_gains(spec.datasets, spec.directions, spec.published)
    return Table(spec, sections, published, published_seconds(spec.number), gains, cautions())


def _section(spec: PaperTable, setting: Setting, workshop: Workshop) -> Section:
    store = workshop.features(setting)
    absent, rows, runs = [], [], []
    for row in spec.rows:
        if row.needs_patches and store.patch_shape is None:
            absent.append(f"{row.name}: the store has no patch tokens; --patches extracts them")
            continue
        rows.append(row)
        runs.append(workshop.run(store, row))
    workshop.say(f"{setting.dataset}: evaluation")
    results = [workshop.results(store, run) for run in runs]
    # The last row is compared with the others in an evaluation of its own, which also draws the page.
    page = workshop.options.out / f"{spec.name}-{store.path.stem}.html"
    last = evaluate(runs[-1], store=store, protocol="published", against=runs[:-1], device=workshop.options.device)
    write_page(last, page)
    for comparison, row in zip(last.comparisons, rows, strict=False):
        comparison.baseline = row.name
    results[-1] = last
    heading = HEADINGS.get(setting.dataset, setting.dataset)
    section = Section(
        setting.dataset,
        f"{heading} ({', '.join(last.basis.backbones.values())})" if setting.visual else heading,
        [row.name for row in rows],
        results,
        absent,
        page,
    )
    if spec.costs:
        section.costs = [
            measure_cost(open_bench(run, store=store, device=workshop.options.device, seeds=1)) for run in runs
        ]
    if spec.number == 1:
        section.zero_shot = _zero_shot(setting.dataset, store, workshop.options.device)
    return section


def _zero_shot(dataset: str, store: "Store", device: str) -> list[Results]:
    """Figures of an untrained head: on the gallery of the trained ones, and on what the data set has for it."""
    wanted = [(protocol, sense) for protocol, sense in ZERO_SHOT.get(dataset, ()) if protocol in store.protocols]
    if wanted:
        wanted.insert(0, (store.default_protocol, "video"))
    return [
        evaluate(store=store, preset="mean-pool", split_protocol=protocol, sense=sense, device=device)
        for protocol, sense in wanted
    ]


def _figure5(workshop: Workshop) -> list[Path]:
    """Figure 5 for the first data set that can be used, of the last head of Table 1."""
    spec = TABLES["table1"]
    store = workshop.features(settings_of(spec, workshop.options)[0])
    return draw_figure5(workshop.run(store, spec.rows[-1]), store, workshop.options.out, workshop.options.device)
