"""`gaid train-head`: stage two."""

from pathlib import Path
from typing import Annotated

import typer

from gaid.cli.common import Device, Json, give


def train_head(
    store: Annotated[Path, typer.Option(help="The store that `gaid extract` made.")],
    preset: Annotated[
        str | None,
        typer.Option(help="mean-pool, x-pool, t-mass, gaid-sample, gaid; or module:Class, file.py:Class. [gaid]"),
    ] = None,
    set: Annotated[
        list[str] | None, typer.Option("--set", help="A setting, as epochs=3 or head.dim=128; may be repeated.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings; a run's config.toml is one.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The run's folder. [runs/PRESET-DATASET]")] = None,
    seed: Annotated[int | None, typer.Option(help="First seed. [0]")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Trainings, with seed, seed + 1, ... [1]")] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Which of the data set's splits, as 9k or 7k. [its default]")
    ] = None,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is there.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is there.")] = False,
    allow_incomplete: Annotated[
        bool, typer.Option("--allow-incomplete", help="Train on a store that is not finished.")
    ] = False,
    json: Json = False,
) -> None:
    """Train a head on cached features; the best by validation R@1 is kept, test is not looked at."""
    from gaid.training import train

    run = train(store, preset, out=out, seed=seed, seeds=seeds, config=config, set=set or (), device=device, resume=resume,
                overwrite=overwrite, protocol=protocol, allow_incomplete=allow_incomplete)  # fmt: skip
    if json:
        return give({"run": str(run.path), "preset": run.preset, "seeds": list(run.seeds), "metrics": run.metrics})
    print(f"{run.path}: {run.preset}, trained; next: gaid eval --run {run.path}")
    return None
