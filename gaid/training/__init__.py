"""Stage two's training: from a store's cached features to a run folder with a trained head. `train` is `gaid train-head`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaid.training.options import TrainConfig

if TYPE_CHECKING:
    from gaid.runs import Run
    from gaid.stores import Store

__all__ = ["TrainConfig", "train"]


def train(
    store: "str | Path | Store",
    preset: str | None = None,
    *,
    out: str | Path | None = None,
    seed: int | None = None,
    seeds: int | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
    set: Iterable[str] = (),
    device: str = "auto",
    memory: str | int = "auto",
    resume: bool = False,
    overwrite: bool = False,
    split_protocol: str | None = None,
    protocol: str | None = None,
    recipe: str | None = None,
    progress: bool = True,
    allow_incomplete: bool = False,
) -> "Run":
    """Trains a head on a store's training videos, chosen on its validation videos; the test part is never looked at.

    Args:
        store: a store or its path.
        preset: name of a preset (`gaid` by default), `module:Class` or `file.py:Class`.
        out: the run's folder; `runs/PRESET-DATASET` by default.
        seed: of the first training.
        seeds: how many trainings, with seed, seed + 1, ..., each in OUT/seed-N where there are several.
        config: a TOML file of settings (a run's config.toml is one), or the same as a dict.
        set: settings as words, `["epochs=3", "head.dim=128"]`; they win over everything else.
        device: `auto`, `cpu`, `cuda:0`, ...
        memory: the most that scoring on validation may take beside the features, as `512MiB` or in bytes; by the
            device by default.
        resume: resume the run in `out`, with the same result as if it had never stopped; start it if there is none.
        overwrite: replace the run in `out`.
        split_protocol: which of the data set's splits; the store's default one by default.
        protocol: `query` (the default), or `published`: training gates each video by its own caption, as GAID's published
            code does, and validation scores under the published protocol. To follow published numbers, not to get better ones.
        recipe: `own` (the default): the preset's own settings of training; `published`: those that its method was published
            with, as far as frozen features allow (docs/training.md). `config` and `set` win over both.
        allow_incomplete: train although some of the store's shards have not been extracted yet.

    Returns the run. Raises GaidError for every mistake, TrainingDiverged for a loss that is NaN or infinite, and
    KeyboardInterrupt after Ctrl-C or SIGTERM, once the state is on disk.
    """
    from gaid.training.options import TrainRequest
    from gaid.training.session import run_trainings

    return run_trainings(
        TrainRequest(
            store,
            preset,
            out=out,
            seed=seed,
            seeds=seeds,
            config=config,
            set=tuple(set),
            device=device,
            memory=memory,
            resume=resume,
            overwrite=overwrite,
            split_protocol=split_protocol,
            protocol=protocol,
            recipe=recipe,
            progress=progress,
            allow_incomplete=allow_incomplete,
        )
    )
