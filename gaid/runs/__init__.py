"""A run: the folder of one training. What is in it, how it is written, and how a head comes out of it (or of a name)."""

from gaid.runs.files import read_checkpoint, read_json, write_checkpoint
from gaid.runs.heads import (
    build_described_head,
    find_class,
    head_options,
    head_settings,
    resolve_head,
)
from gaid.runs.run import (
    CHECKPOINTS,
    CONFIG,
    ENVIRONMENT,
    HEAD_SOURCE,
    KEPT,
    LOG,
    METRICS,
    RESUME,
    Run,
    backbones_of,
    clear_run,
    default_out,
    list_runs,
    load_run,
)

__all__ = [
    "CHECKPOINTS",
    "CONFIG",
    "ENVIRONMENT",
    "HEAD_SOURCE",
    "KEPT",
    "LOG",
    "METRICS",
    "RESUME",
    "Run",
    "backbones_of",
    "build_described_head",
    "clear_run",
    "default_out",
    "find_class",
    "head_options",
    "head_settings",
    "list_runs",
    "load_run",
    "read_checkpoint",
    "read_json",
    "resolve_head",
    "write_checkpoint",
]
