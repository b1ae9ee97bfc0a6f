"""The log for TensorBoard, if it is installed and asked for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gaid.errors import DependencyMissing
from gaid.metrics import DIRECTIONS


@contextmanager
def open_board(folder: Path, step: int) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that takes a line of the log. Events after `step`, left by a training that was stopped, are discarded."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise DependencyMissing(
            "tensorboard is not installed; pip install 'gaid[tensorboard]', or leave it off"
        ) from error
    writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def write(entry: dict[str, Any]) -> None:
        values = {"lr": entry["lr"], **{f"loss/{name}": value for name, value in entry["parts"].items()}}
        if entry["loss"] is not None:
            values["loss/total"] = entry["loss"]
        for way in DIRECTIONS:
            values |= {f"{way}/{name}": value for name, value in entry[way].items()}
        for name, value in values.items():
            writer.add_scalar(name, value, entry["step"])
        writer.flush()

    try:
        yield write
    finally:
        writer.close()
