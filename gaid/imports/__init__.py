"""Published checkpoints as runs: reading the authors' files, and writing what a run of our own would hold."""

from gaid.imports.checkpoint import KINDS, Imported, import_checkpoint

__all__ = ["KINDS", "Imported", "import_checkpoint"]
