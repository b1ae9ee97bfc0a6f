"""A run: the folder of one training, how it is read and listed, and how a head comes out of it (or of a name)."""

from gaid.runs.factory import resolve_head
from gaid.runs.model import Model
from gaid.runs.opening import list_runs, load, load_run
from gaid.runs.run import Run, backbones_of

__all__ = ["Model", "Run", "backbones_of", "list_runs", "load", "load_run", "resolve_head"]
