"""One step of training: forward, backward, clipping, optimiser. Batches, evaluations and stopping are left to `loop`.

On a GPU a step of a small head is hundreds of short kernels, and launching them takes several times longer than running
them. The step of a head with `capturable = True` is therefore recorded once as a CUDA graph for each batch size, and
replayed from then on: inputs are copied into the tensors that the graph reads. The first steps are not recorded, since they
load kernels and create the optimiser's state, which a recording needs.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gaid.heads import Head, LossParts

PLAIN_STEPS = 3  # of each size of batch, before its step is recorded


@dataclass
class Taken:
    """The outcome of a step, on the device: the loss and its parts; `finite`: whether loss and gradient norm are, two booleans."""

    losses: dict[str, Tensor | float]
    finite: Tensor


class Step:
    """A step run operation by operation."""

    def __init__(
        self, head: Head, optimiser: torch.optim.Optimizer, clip_norm: float, conditioning: dict[str, Any]
    ) -> None:
        self.head, self.optimiser, self.clip_norm, self.conditioning = head, optimiser, clip_norm, conditioning

    def __call__(self, inputs: tuple[Tensor, ...], same: Tensor | None, rate: float) -> Taken:
        """Moves the head by a batch at a learning rate; `same` marks captions that are not negatives, if there are any."""
        set_rate(self.optimiser, rate)
        self.optimiser.zero_grad(set_to_none=True)
        return self.move(inputs, same)

    def move(self, inputs: tuple[Tensor, ...], same: Tensor | None) -> Taken:
        """The step itself, at the rate that the optimiser has; does not wait for the device."""
        text, visual, audio, audio_mask = inputs
        found = self.head.loss(text, visual, audio, audio_mask, same, **self.conditioning)
        parts = LossParts(found) if isinstance(found, Tensor) else found
        total = parts.total
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.head.parameters(), self.clip_norm)
        finite = torch.stack([torch.isfinite(total.detach()).all(), torch.isfinite(norm)])
        self.optimiser.step()
        return Taken({"loss": total.detach(), **parts.parts}, finite)


@dataclass
class Recording:
    """A step as a graph, the tensors that it reads and those that it writes."""

    graph: "torch.cuda.CUDAGraph"
    inputs: tuple[Tensor, ...]
    same: Tensor
    taken: Taken


class CapturedStep(Step):
    """A step recorded for each size of batch and replayed. Its optimiser is `capturable`."""

    def __init__(
        self, head: Head, optimiser: torch.optim.Optimizer, clip_norm: float, conditioning: dict[str, Any]
    ) -> None:
        super().__init__(head, optimiser, clip_norm, conditioning)
        self._plain: dict[int, int] = {}
        self._recordings: dict[int, Recording] = {}
        self._beside = torch.cuda.Stream()

    def __call__(self, inputs: tuple[Tensor, ...], same: Tensor | None, rate: float) -> Taken:
        set_rate(self.optimiser, rate)
        size = len(inputs[0])
        if same is None:  # a recording has one form: with masked negatives, even where none is masked
            same = torch.zeros((size, size), dtype=torch.bool, device=inputs[0].device)
        if size not in self._recordings:
            done = self._plain[size] = self._plain.get(size, 0) + 1
            if done <= PLAIN_STEPS:
                return self._beside_the_stream(inputs, same)
            self._recordings[size] = self._record(inputs, same)
        recording = self._recordings[size]
        for kept, given in zip((*recording.inputs, recording.same), (*inputs, same), strict=True):
            kept.copy_(given)
        recording.graph.replay()
        taken = recording.taken
        return Taken(taken.losses, taken.finite.clone())  # checked later, when the graph has overwritten it

    def _beside_the_stream(self, inputs: tuple[Tensor, ...], same: Tensor) -> Taken:
        """A plain step on a stream of its own, as recording requires."""
        main = torch.cuda.current_stream()
        self._beside.wait_stream(main)
        with torch.cuda.stream(self._beside):
            self.optimiser.zero_grad(set_to_none=True)
            taken = self.move(inputs, same)
        main.wait_stream(self._beside)
        return taken

    def _record(self, inputs: tuple[Tensor, ...], same: Tensor) -> Recording:
        kept = tuple(part.clone() for part in inputs)
        mask = same.clone()
        # Gradients that do not exist before a recording are allocated in its memory and written anew at each replay.
        self.optimiser.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            taken = self.move(kept, mask)
        return Recording(graph, kept, mask, taken)


def make_step(
    head: Head,
    optimiser: torch.optim.Optimizer,
    clip_norm: float,
    conditioning: dict[str, Any],
    device: torch.device,
) -> Step:
    """The fastest step that the head and the device allow."""
    captured = device.type == "cuda" and head.capturable
    return (CapturedStep if captured else Step)(head, optimiser, clip_norm, conditioning)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of the next step: written into the tensor that a recording reads, where there is one."""
    for group in optimiser.param_groups:
        mine = rate * group["rate_factor"]
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(mine)
        else:
            group["lr"] = mine
