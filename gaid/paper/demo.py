"""The demo: a generated world, features, GAID and its baselines, and their figures. It needs nothing but the package."""

from pathlib import Path
from typing import TYPE_CHECKING

from gaid.evaluation.evaluate import evaluate
from gaid.extract import extract
from gaid.training import train

if TYPE_CHECKING:
    from gaid.evaluation.results import Results

BASELINES = ("x-pool", "t-mass", "mean-pool")


def demo(folder: str | Path = ".", *, seeds: int = 3, device: str = "auto", progress: bool = True) -> "Results":
    """Makes the demo's clips, features and heads in a folder (data/, stores/, runs/) and evaluates GAID against its baselines.

    What is there already is kept, and what was stopped is resumed. Raises what `extract`, `train` and `evaluate` raise.
    """
    folder = Path(folder)
    store = folder / "stores/demo-tiny.zarr"
    extract("demo", root=folder / "data/demo", out=store, device=device, progress=progress)
    runs = {
        preset: train(
            store, preset, out=folder / "runs/demo" / preset, seeds=seeds, device=device, resume=True, progress=progress
        )
        for preset in (*reversed(BASELINES), "gaid")
    }
    return evaluate(runs["gaid"], against=[runs[name] for name in BASELINES], device=device)
