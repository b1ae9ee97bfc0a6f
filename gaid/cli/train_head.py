"""`gaid train-head`: trains a head on the features of a store."""

from pathlib import Path
from typing import Annotated, Literal

import gaid
from gaid.cli.common import Device, Json, flag, give, option
from gaid.console import show


def train_head(
    store: Annotated[Path, option("The store that gaid extract made.", "PATH")],
    preset: Annotated[
        str | None,
        option(
            "A preset, as mean-pool or avigate (README.md lists them), or your own, file.py:Class. Default: gaid.",
            "NAME",
        ),
    ] = None,
    set: Annotated[
        list[str] | None,
        option("Change a setting, such as epochs=3 or head.dim=128; may be repeated.", "KEY=VALUE", "--set"),
    ] = None,
    config: Annotated[Path | None, option("A TOML file of settings, such as the config.toml of a run.", "FILE")] = None,
    out: Annotated[
        Path | None, option("The run's folder. Default: runs/PRESET-DATASET.", "FOLDER", "--out", "-o")
    ] = None,
    seed: Annotated[int | None, option("The first seed. Default: 0.", "N")] = None,
    seeds: Annotated[
        int | None, option("How many trainings, with seeds seed, seed + 1, ... Default: 1.", "N", min=1)
    ] = None,
    split_protocol: Annotated[
        str | None, option("Which split of the data set, such as 9k or 7k. Default: the store's.", "NAME")
    ] = None,
    protocol: Annotated[
        Literal["query", "published"] | None,
        option(
            "published gates each video by its own caption in training, as GAID's released code does. Default: query.",
            "query|published",
        ),
    ] = None,
    recipe: Annotated[
        Literal["own", "published"] | None,
        option("published: the settings that the preset's method was published with. Default: own.", "own|published"),
    ] = None,
    device: Device = "auto",
    memory: Annotated[
        str, option("Most memory for scoring on validation; auto is 1GiB, on a GPU up to 8GiB.", "SIZE")
    ] = "auto",
    resume: Annotated[bool, flag("Resume the run that is there.", "--resume")] = False,
    overwrite: Annotated[bool, flag("Replace the run in --out.", "--overwrite")] = False,
    allow_incomplete: Annotated[
        bool, flag("Train on a store whose extraction is not finished.", "--allow-incomplete")
    ] = False,
    json: Json = False,
) -> None:
    """Train a head on a store's features.

    The head with the best R@1 on validation is kept; training never reads the test part.
    """  # fmt: skip
    run = gaid.train(store, preset, out=out, seed=seed, seeds=seeds, config=config, set=set or (), device=device, memory=memory,
                resume=resume, overwrite=overwrite, split_protocol=split_protocol, protocol=protocol, recipe=recipe,
                allow_incomplete=allow_incomplete)  # fmt: skip
    if json:
        return give({"run": run.path, "preset": run.preset, "seeds": run.seeds, "metrics": run.metrics})
    state = "kept as it was, untrained" if run.untrained else "trained"
    if not any(member.metrics["steps"] for member in run.members):
        fitted = run.members[0].load_head().fits_validation
        state = "found on validation, without a step" if fitted else "as it was built, since no step was taken"
    show(f"{run.path}: {run.preset} is {state}; now: gaid eval --run {run.path}")
    return None
