"""Evaluation and search: scores of a head over a split, and what follows from them. Printing is left to `report` and `cli`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gaid.retrieval.evaluation import evaluate
    from gaid.retrieval.protocols import PROTOCOLS
    from gaid.retrieval.results import Results

__all__ = ["PROTOCOLS", "Results", "evaluate"]

_HOMES = {
    "PROTOCOLS": "gaid.retrieval.protocols",
    "Results": "gaid.retrieval.results",
    "evaluate": "gaid.retrieval.evaluation",
}


def __getattr__(name: str) -> Any:
    """Imports a name when it is first asked for: torch stays out of `import gaid.retrieval`."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gaid.retrieval' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
