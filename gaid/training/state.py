"""Everything that resuming a training needs, in one file (resume.safetensors), so that it is there whole or not at all."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gaid.errors import RunInvalid
from gaid.heads import Head
from gaid.runs.files import read_checkpoint, write_checkpoint
from gaid.training.optimiser import Average, optimiser_tensors, restore_optimiser


@dataclass
class Losses:
    """Means of the loss and its parts since the last evaluation. Kept on the device, so that no step waits for them."""

    count: int = 0
    sums: dict[str, Tensor | float] = field(default_factory=dict)

    def add(self, parts: dict[str, Tensor | float]) -> None:
        """Adds the losses of one step."""
        self.count += 1
        for name, value in parts.items():
            value = value.detach().double() if isinstance(value, Tensor) else float(value)
            self.sums[name] = self.sums.get(name, 0.0) + value

    def means(self) -> dict[str, float]:
        """The mean of each part."""
        return {name: float(value) / self.count for name, value in self.sums.items()} if self.count else {}


@dataclass
class State:
    """How far a training has come."""

    step: int = 0
    # Evaluations since the best one.
    stale: int = 0
    seconds: float = 0.0
    losses: Losses = field(default_factory=Losses)
    log: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    best_tensors: dict[str, Tensor] = field(default_factory=dict)


def save_state(
    path: Path,
    state: State,
    head: Head,
    optimiser: torch.optim.Optimizer | None,
    average: Average | None,
    device: torch.device,
    identity: dict[str, Any],
) -> None:
    """Writes everything; `identity` describes the data that a resumed training must share with this one."""
    groups = {"head": head.state_dict(), "best": state.best_tensors, "random": {"cpu": torch.get_rng_state()}}
    if optimiser is not None:
        groups["optimiser"] = optimiser_tensors(optimiser)
    if average is not None:
        groups["average"] = average.model.state_dict()
    if device.type == "cuda":
        groups["random"]["cuda"] = torch.cuda.get_rng_state(device)
    description = {
        "identity": identity,
        "step": state.step,
        "stale": state.stale,
        "seconds": state.seconds,
        "losses": {"count": state.losses.count, "sums": {n: float(value) for n, value in state.losses.sums.items()}},
        "log": state.log,
        "best": state.best,
    }
    tensors = {f"{group}/{name}": value for group, named in groups.items() for name, value in named.items()}
    write_checkpoint(path, tensors, description)


def load_state(
    path: Path,
    head: Head,
    optimiser: torch.optim.Optimizer | None,
    average: Average | None,
    device: torch.device,
) -> State:
    """Reads a state into head, optimiser, average and the generators of random numbers. Raises RunInvalid."""
    tensors, description = read_checkpoint(path)
    groups: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        group, _, inner = name.partition("/")
        groups.setdefault(group, {})[inner] = value
    try:
        head.load_state_dict(groups.get("head", {}))
        if optimiser is not None:
            restore_optimiser(optimiser, groups.get("optimiser", {}))
        if average is not None:
            average.model.load_state_dict(groups["average"])
            average.updates = description["step"]
        torch.set_rng_state(groups["random"]["cpu"])
        if device.type == "cuda" and "cuda" in groups["random"]:
            torch.cuda.set_rng_state(groups["random"]["cuda"], device)
        losses = Losses(description["losses"]["count"], dict(description["losses"]["sums"]))
        return State(
            description["step"],
            description["stale"],
            description["seconds"],
            losses,
            description["log"],
            description["best"],
            groups.get("best", {}),
        )
    except (KeyError, RuntimeError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise RunInvalid(f"{path}: cannot be resumed from ({reason}); start again with --overwrite") from error
