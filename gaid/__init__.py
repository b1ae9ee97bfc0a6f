"""gaid: text-video retrieval with sound, from cached features. The functions here are the commands of the same names.

Importing it sets OMP_WAIT_POLICY=passive, unless that is set: threads of torch that wait by spinning cost twice the time as
soon as anything else runs on the machine. It counts where torch is loaded later.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gaid.datasets import load_dataset
    from gaid.evaluation.evaluate import evaluate
    from gaid.evaluation.export import export
    from gaid.extract import extract
    from gaid.retrieval.search import search
    from gaid.runs import load, load_run
    from gaid.stores import open_store
    from gaid.training import train

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"
__all__ = ["evaluate", "export", "extract", "load", "load_dataset", "load_run", "open_store", "search", "train"]

_HOMES = {
    "evaluate": "gaid.evaluation.evaluate",
    "export": "gaid.evaluation.export",
    "extract": "gaid.extract",
    "load": "gaid.runs",
    "load_dataset": "gaid.datasets",
    "load_run": "gaid.runs",
    "open_store": "gaid.stores",
    "search": "gaid.retrieval.search",
    "train": "gaid.training",
}


def __getattr__(name: str) -> Any:
    """Imports a function when it is first asked for, so that `import gaid` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gaid' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
