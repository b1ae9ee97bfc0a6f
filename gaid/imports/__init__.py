"""Published checkpoints as runs: reads the authors' files and writes the run folder that a training would have written."""

from gaid.imports.checkpoint import KINDS, Imported, import_checkpoint

__all__ = ["KINDS", "Imported", "import_checkpoint"]
