"""AdamW for a head, its learning rate at each step, and the running average of weights."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gaid.heads import Head

Decayed = Literal["matrices", "weights", "all"]
DecayTo = Literal["zero", "start"]


class AdamWTowardStart(torch.optim.AdamW):
    """AdamW whose decay pulls parameters toward the values that they have when it is made, not toward 0 (L2-SP).

    A step takes a parameter the share rate * decay of the way back to its start and then makes Adam's own move, as AdamW does
    with 0 as the start.
    """

    def __init__(self, groups: list[dict[str, Any]], **options: Any) -> None:
        super().__init__(groups, **options)
        for group in self.param_groups:
            group["pull"], group["weight_decay"] = group["weight_decay"], 0.0
            group["start"] = [parameter.detach().clone() for parameter in group["params"]]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step; can be recorded for a GPU, where the rate is a tensor."""
        for group in self.param_groups:
            share = group["lr"] * group["pull"]
            for parameter, start in zip(group["params"], group["start"], strict=True):
                if group["pull"] and parameter.grad is not None:
                    parameter.lerp_(start, share)
        return super().step(closure)


def make_optimiser(
    head: Head,
    lr: float,
    weight_decay: float,
    device: torch.device,
    *,
    decayed: Decayed = "matrices",
    eps: float = 1e-8,
    beta2: float = 0.999,
    decay_to: DecayTo = "zero",
    rates: Mapping[str, float] | None = None,
) -> torch.optim.AdamW:
    """AdamW, with weight decay for the parameters that are `decayed`.

    `matrices`: what has two dimensions or more, so no norms, biases and scalars; `weights`: everything but biases; `all`.
    They decay to `zero`, or to the `start`: what the head is now. Parameters named in `rates` learn at so many times the
    rate (`rate_factor` of their group).
    On a GPU its rate is a tensor there, so that a recorded step (`step`) reads the current rate.
    """
    trained = {name: parameter for name, parameter in head.named_parameters() if parameter.requires_grad}
    decaying = [name for name, parameter in trained.items() if _decays(name, parameter, decayed)]
    factors = {name: (rates or {}).get(name, 1.0) for name in trained}
    groups: list[dict[str, Any]] = []
    for decays in (True, False):
        chosen = [name for name in trained if (name in decaying) == decays]
        for factor in sorted({factors[name] for name in chosen}):
            alike = [trained[name] for name in chosen if factors[name] == factor]
            groups.append(
                {
                    "params": alike,
                    "weight_decay": weight_decay if decays else 0.0,
                    "rate_factor": factor,
                    "lr": factor * lr,
                }
            )
    betas = (0.9, beta2)
    kind = AdamWTowardStart if decay_to == "start" else torch.optim.AdamW
    if device.type != "cuda":
        return kind(groups, lr=lr, betas=betas, eps=eps, fused=True)
    for group in groups:
        group["lr"] = torch.tensor(group["lr"], device=device)
    return kind(groups, betas=betas, eps=eps, fused=True, capturable=True)


def _decays(name: str, parameter: Tensor, decayed: Decayed) -> bool:
    """Whether a parameter is among those that decay; biases are known by their names, as torch gives them."""
    return {"matrices": parameter.ndim >= 2, "weights": not name.endswith("bias"), "all": True}[decayed]


def rate_factor(step: int, steps: int, warmup: float) -> float:
    """Share of the highest learning rate at a step counted from 0: rises over the first, then falls as a half cosine."""
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


class Average:
    """Exponential running average of a head's weights. It warms up, so that the untrained weights soon lose their influence."""

    def __init__(self, head: Head, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.model = AveragedModel(head, multi_avg_fn=self._average)
        self.model.requires_grad_(False)

    @property
    def head(self) -> Head:
        """The averaged head."""
        return cast(Head, self.model.module)

    def update(self, head: Head) -> None:
        """Adds the weights after a step."""
        self.updates += 1
        self.model.update_parameters(head)

    def _average(self, averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        get_ema_multi_avg_fn(decay)(averaged, current, count)


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's memory as named tensors, for a file."""
    states = optimiser.state_dict()["state"]
    return {f"{number}.{name}": value for number, state in states.items() for name, value in state.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The reverse of `optimiser_tensors`, on an optimiser of the same head."""
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, key = name.partition(".")
        states.setdefault(int(number), {})[key] = value
    optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
