"""The paper's tables and Figure 5 over the data sets that are here: extracts, trains and evaluates what is not there yet.

On a machine with a table's data sets and the weights of CLIP and CLAP the table is of these; elsewhere of data sets that
need no network, each headed as what it is. Published figures stand in a table of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaid.console import say
from gaid.devices import pick_device
from gaid.errors import DataMissing, GaidError, OptionInvalid
from gaid.evaluation.evaluate import evaluate
from gaid.evaluation.results import Results
from gaid.files import check_folder
from gaid.paper.cost import Cost, measure_cost
from gaid.paper.paper_table import Section, Table
from gaid.paper.published import cautions, load_published, published_gains, published_seconds
from gaid.paper.tables import TABLES, PaperTable, TableRow, choose
from gaid.report import write_page
from gaid.runs import CONFIG, Run, load_run

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
CLIPS = ("clip:ViT-B-32/openai", "clip:ViT-B-16/openai")
SMALL = ("demo", "stamps")
CONTROL = "demo-same-times"
# Figures without training, where backbones share a space: (the data set's protocol, what texts are compared with).
ZERO_SHOT: dict[str, tuple[tuple[str, str], ...]] = {"stamps": (("pictures", "video"), ("sounds", "sound"))}


@dataclass(frozen=True)
class Setting:
    """A data set under backbones: what a section of a table is about. `visual` None: the data set's own three."""

    dataset: str
    visual: str | None = None


@dataclass
class Reproduction:
    """All that `reproduce` made; `skipped` says what is not in it and why."""

    tables: list[Table] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON types only; measured and published apart."""
        return {
            "tables": {table.spec.name: table.to_dict() for table in self.tables},
            "skipped": self.skipped,
            "files": [str(path) for path in self.files],
        }

    def __str__(self) -> str:
        parts = [str(table).rstrip() for table in self.tables]
        parts += [f"Not made: {what}. {why}" for what, why in self.skipped.items()]
        return "\n\n".join([*parts, "Written: " + ", ".join(map(str, self.files))])


def reproduce(
    what: Sequence[str] = ("all",),
    *,
    root: str | Path | None = None,
    out: str | Path = "reports/paper",
    datasets: Sequence[str] | None = None,
    seeds: int = 3,
    device: str = "auto",
    set: Sequence[str] = (),
    patches: bool | None = None,
    audio_tokens: bool | None = None,
    random_weights: bool = False,
    workers: int = 2,
    stores: str | Path = "stores",
    runs: str | Path = "runs/paper",
    progress: bool = True,
) -> Reproduction:
    """Tables (`table1` to `table6`) and `figure5`, or `all`, of the paper, into OUT as markdown, CSV and HTML.

    Args:
        root: folder of the data sets' folders (`data`); a data set that lives elsewhere, as stamps, is found there too.
        datasets: names; by default a table's own where they and the weights are here, else demo and stamps.
        seeds: trainings a row. set: options of every training, as `train(set=...)` takes them.
        patches: extract patch tokens, for the rows that fuse them; by default on the small data sets only (on MSR-VTT they
            take 6 GB). audio_tokens: the same of tokens of the sound, which `avigate` hears where they are (12 GB there; the
            table says which it heard). random_weights: of the backbones, to try the path; every table then says so.
        stores, runs: where features and heads are kept; what is finished there is used again.

    A data set that was not asked for and can't be used is skipped with its reason. Raises what extraction, training and
    evaluation raise for one that was asked for, and DataMissing where nothing is left.
    """
    made = Reproduction()
    chosen = choose(list(what))
    check_folder(out, "--out")
    workshop = _Workshop(
        root, Path(out), seeds, pick_device(device), tuple(set), patches, audio_tokens, random_weights, workers, Path(stores), Path(runs), progress
    )  # fmt: skip
    for name in chosen:
        if name in TABLES:
            table = _table(TABLES[name], workshop, datasets, made.skipped)
            made.tables.append(table)
            made.files += table.write(Path(out))
        else:
            made.files += _figure5(workshop, datasets, made.skipped)
    return made


def settings_of(table: PaperTable, root: str | Path | None, random_weights: bool = False) -> list[Setting]:
    """The table's data sets under each CLIP whose weights are here; where there are none, what needs no network."""
    from gaid.backbones import statuses

    at_hand = {one.name for one in statuses() if one.at_hand}
    clips = [clip for clip in CLIPS if clip in at_hand or random_weights]
    found = []
    if random_weights or any(name.startswith("clap") for name in at_hand):
        found = [Setting(name, clip) for name in table.datasets if _is_here(name, root) for clip in clips]
    if found:
        return found
    small = [Setting(name) for name in SMALL]
    return [*small[:1], Setting(CONTROL), *small[1:]] if table.costs else small


def _is_here(name: str, root: str | Path | None) -> bool:
    from gaid.datasets import load_dataset

    try:
        dataset = load_dataset(name, _root_of(name, root))
    except GaidError:  # not here, or not whole
        return False
    return len(dataset.missing) < len(dataset.videos)


def _root_of(name: str, root: str | Path | None) -> Path | None:
    """The data set's folder under `root`; None (its own default) where there is none and it does not live in `data`."""
    from gaid.datasets import get_spec

    if root is None:
        return None
    place = Path(root) / name
    return place if place.is_dir() or not Path(get_spec(name).default_root).is_absolute() else None


@dataclass
class _Workshop:
    """Makes and keeps what several tables need: stores, runs and evaluations."""

    root: str | Path | None
    out: Path
    seeds: int
    device: str
    settings: tuple[str, ...]
    patches: bool | None
    audio_tokens: bool | None
    random_weights: bool
    workers: int
    stores: Path
    runs: Path
    progress: bool
    evaluated: dict[tuple[Path, Path], Results] = field(default_factory=dict)

    def say(self, line: str) -> None:
        if self.progress:
            say(line)

    def features(self, setting: Setting) -> "Store":
        """The store of a data set under backbones, extracted now or before."""
        from gaid.datasets import get_spec, load_dataset
        from gaid.extract import extract
        from gaid.stores import open_store

        spec = get_spec(setting.dataset)
        dataset = load_dataset(setting.dataset, _root_of(setting.dataset, self.root))
        visual = setting.visual or spec.default_backbones[0]
        small = setting.dataset in (*SMALL, CONTROL)
        patches = small if self.patches is None else self.patches
        audio_tokens = small if self.audio_tokens is None else self.audio_tokens
        name = f"{setting.dataset}-{visual}".replace("/", "-").replace(":", "-")
        name += ("-patches" if patches else "") + ("-audio-tokens" if audio_tokens else "")
        self.say(f"{setting.dataset}: features ({visual})")
        report = extract(
            dataset,
            out=self.stores / f"{name}.zarr",
            visual=visual,
            patches=patches,
            audio_tokens=audio_tokens,
            device=self.device,
            workers=self.workers,
            random_weights=self.random_weights,
            progress=self.progress,
        )
        return open_store(report.store)

    def run(self, store: "Store", row: TableRow) -> Run:
        """A row's trained heads: the run that is there if it is what would be trained now, gone on with or new else."""
        from gaid.training import train

        place = self.runs / store.path.stem / row.folder
        settings = (*row.settings, *self.settings)
        overwrite = False
        if (place / CONFIG).exists():
            run = load_run(place)
            overwrite = not _is_current(run, store, row.preset, self.seeds, settings)
            if run.finished and not overwrite:
                return run
        self.say(f"{store.dataset}: training {row.name}, {self.seeds} seeds")
        return train(
            store,
            row.preset,
            out=place,
            seed=0,
            seeds=self.seeds,
            set=settings,
            device=self.device,
            resume=not overwrite,
            overwrite=overwrite,
            progress=self.progress,
        )

    def results(self, store: "Store", run: Run) -> Results:
        """A row's figures under both protocols."""
        key = (store.path, run.path)
        if key not in self.evaluated:
            self.evaluated[key] = evaluate(run, store=store, protocol="published", device=self.device)
        return self.evaluated[key]


def _table(spec: PaperTable, workshop: _Workshop, datasets: Sequence[str] | None, skipped: dict[str, str]) -> Table:
    wanted = (
        [Setting(name) for name in datasets] if datasets else settings_of(spec, workshop.root, workshop.random_weights)
    )
    sections, reasons = [], {}
    for setting in wanted:
        try:
            sections.append(_section(spec, setting, workshop))
        except GaidError as error:
            if datasets:
                raise
            reasons[f"{spec.name} on {setting.dataset}"] = str(error)
            workshop.say(f"{spec.name} goes without {setting.dataset}: {error}")
    if not sections:
        raise DataMissing(f"{spec.name}: no data set can be used ({'; '.join(reasons.values())})")
    skipped.update(reasons)
    published = load_published(spec.datasets, spec.directions, spec.published)
    gains = published_gains(spec.datasets, spec.directions, spec.published)
    return Table(spec, sections, published, published_seconds(spec.number), gains, cautions())


def _section(spec: PaperTable, setting: Setting, workshop: _Workshop) -> Section:
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
    page = workshop.out / f"{spec.name}-{store.path.stem}.html"
    last = evaluate(runs[-1], store=store, protocol="published", against=runs[:-1], device=workshop.device)
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
        section.costs = [_cost(run, store, workshop.device) for run in runs]
    if spec.number == 1:
        section.zero_shot = _zero_shot(setting.dataset, store, workshop.device)
    return section


def _cost(run: Run, store: "Store", device: str) -> Cost:
    return measure_cost(run.members[0].load_head(device=device), store.split("test", run.split_protocol), device, 2**30)


def _zero_shot(dataset: str, store: "Store", device: str) -> list[Results]:
    """Figures without training: on the very gallery of the trained heads, and on what the data set has for it."""
    wanted = [(protocol, sense) for protocol, sense in ZERO_SHOT.get(dataset, ()) if protocol in store.protocols]
    if wanted:
        wanted.insert(0, (store.default_protocol, "video"))
    return [
        evaluate(store=store, preset="mean-pool", split_protocol=protocol, sense=sense, device=device)
        for protocol, sense in wanted
    ]


def _is_current(run: Run, store: "Store", preset: str, seeds: int, settings: Sequence[str]) -> bool:
    """Whether a run of an earlier call is what would be trained now: the same settings of today, on this store."""
    from gaid.training.options import differences
    from gaid.training.session import planned_settings, settings_in

    try:
        earlier = settings_in(run)
        wanted = planned_settings(store, preset, seeds=seeds, set=settings)
        wanted = replace(wanted, dataset=store.dataset, split_protocol=earlier.split_protocol)
        return not differences(earlier, wanted) and run.fingerprint == store.fingerprint
    except GaidError:  # of a version with other settings, or stopped before its first checkpoint
        return False


def _figure5(workshop: _Workshop, datasets: Sequence[str] | None, skipped: dict[str, str]) -> list[Path]:
    """Figure 5 for the first data set that can be used."""
    from gaid.paper.figure5 import draw_figure5

    if datasets is not None and not datasets:
        raise OptionInvalid("--dataset: name one at least")
    spec = TABLES["table1"]
    wanted = (
        [Setting(name) for name in datasets] if datasets else settings_of(spec, workshop.root, workshop.random_weights)
    )
    store = workshop.features(wanted[0])
    run = workshop.run(store, replace(spec.rows[-1]))
    return draw_figure5(run, store, workshop.out, workshop.device)
