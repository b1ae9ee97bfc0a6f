"""What the paper's tables are made in: data sets that are here, their stores, their trained heads and their evaluations.

Each is made once and kept, so a second table or a second call uses what the first has made. What the rows of a table are is
`tables`'; putting a table together is `reproduce`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gaid.console import say
from gaid.errors import GaidError
from gaid.evaluation.evaluate import evaluate
from gaid.evaluation.results import Results
from gaid.paper.tables import PaperTable, TableRow
from gaid.runs import Run, load_run
from gaid.runs.files import CONFIG

if TYPE_CHECKING:
    from gaid.stores import Store

CLIPS = ("clip:ViT-B-32/openai", "clip:ViT-B-16/openai")
SMALL = ("demo", "stamps")
CONTROL = "demo-same-times"


@dataclass(frozen=True)
class PaperOptions:
    """What `gaid reproduce` is asked for.

    Args:
        root: folder of the data sets' folders (`data`); a data set that lives elsewhere, as stamps, is found there too.
        out: where tables and figures go, as markdown, CSV and HTML.
        datasets: names; by default a table's own where they and the weights are here, else demo and stamps.
        seeds: trainings per row. set: options of every training, as `train(set=...)` takes them.
        patches: extract patch tokens, for the rows that fuse them; by default on the small data sets only (on MSR-VTT they
            take 6 GB). audio_tokens: the same of audio tokens, which `avigate` takes where they are (12 GB there; the
            table says which it took). random_weights: of the backbones, to try the path; every table then says so.
        stores, runs: where features and heads are kept; what is finished there is used again.
    """

    root: str | Path | None = None
    out: Path = Path("reports/paper")
    datasets: Sequence[str] | None = None
    seeds: int = 3
    device: str = "auto"
    set: Sequence[str] = ()
    patches: bool | None = None
    audio_tokens: bool | None = None
    random_weights: bool = False
    workers: int = 2
    stores: Path = Path("stores")
    runs: Path = Path("runs/paper")
    progress: bool = True


@dataclass(frozen=True)
class Setting:
    """A data set under backbones, the subject of one section of a table. `visual` None: the data set's own three."""

    dataset: str
    visual: str | None = None


def settings_of(table: PaperTable, options: PaperOptions) -> list[Setting]:
    """The data sets asked for; else the table's own under each CLIP whose weights are here, or what needs no network."""
    if options.datasets:
        return [Setting(name) for name in options.datasets]
    from gaid.backbones import statuses

    at_hand = {one.name for one in statuses() if one.at_hand}
    clips = [clip for clip in CLIPS if clip in at_hand or options.random_weights]
    found = []
    if options.random_weights or any(name.startswith("clap") for name in at_hand):
        found = [Setting(name, clip) for name in table.datasets if _is_here(name, options.root) for clip in clips]
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


class Workshop:
    """Makes and keeps what several tables need: stores, runs and evaluations."""

    def __init__(self, options: PaperOptions) -> None:
        self.options = options
        self._evaluated: dict[tuple[str, Path], Results] = {}

    def say(self, line: str) -> None:
        if self.options.progress:
            say(line)

    def features(self, setting: Setting) -> "Store":
        """The store of a data set under backbones, extracted now or before."""
        from gaid.datasets import get_spec, load_dataset
        from gaid.extract import extract
        from gaid.stores import open_store

        spec = get_spec(setting.dataset)
        dataset = load_dataset(setting.dataset, _root_of(setting.dataset, self.options.root))
        visual = setting.visual or spec.default_backbones[0]
        small = setting.dataset in (*SMALL, CONTROL)
        patches = small if self.options.patches is None else self.options.patches
        audio_tokens = small if self.options.audio_tokens is None else self.options.audio_tokens
        name = f"{setting.dataset}-{visual}".replace("/", "-").replace(":", "-")
        name += ("-patches" if patches else "") + ("-audio-tokens" if audio_tokens else "")
        self.say(f"{setting.dataset}: features ({visual})")
        report = extract(
            dataset,
            out=self.options.stores / f"{name}.zarr",
            visual=visual,
            patches=patches,
            audio_tokens=audio_tokens,
            device=self.options.device,
            workers=self.options.workers,
            random_weights=self.options.random_weights,
            progress=self.options.progress,
        )
        return open_store(report.store)

    def run(self, store: "Store", row: TableRow) -> Run:
        """A row's trained heads: the run that is there if it is what would be trained now; else resumed or trained anew."""
        from gaid.training import train

        place = self.options.runs / store.path.stem / row.folder
        settings = (*row.settings, *self.options.set)
        overwrite = False
        if (place / CONFIG).exists():
            run = load_run(place)
            overwrite = not _is_current(run, store, row.preset, self.options.seeds, settings)
            if run.finished and not overwrite:
                return run
        self.say(f"{store.dataset}: training {row.name}, {self.options.seeds} seeds")
        return train(
            store,
            row.preset,
            out=place,
            seed=0,
            seeds=self.options.seeds,
            set=settings,
            device=self.options.device,
            resume=not overwrite,
            overwrite=overwrite,
            progress=self.options.progress,
        )

    def results(self, store: "Store", run: Run) -> Results:
        """A row's figures under both protocols."""
        key = (store.address, run.path)
        if key not in self._evaluated:
            self._evaluated[key] = evaluate(run, store=store, protocol="published", device=self.options.device)
        return self._evaluated[key]


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
