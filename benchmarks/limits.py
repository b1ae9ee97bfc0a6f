"""What this machine, or its GPU, can do at best, measured in the run that quotes it: matrix products, exponentials, copying.

Only shapes that flatter the machine: a limit that a real computation could pass would be none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch

from benchmarks.harness import seconds_of, threads


@dataclass(frozen=True)
class Rates:
    """Operations and bytes a second: `flops` of float32 products (2 a multiply-add), `exps` in cache, `copied` read + written."""

    flops: float
    exps: float
    copied: float

    def to_dict(self) -> dict[str, float]:
        return vars(self)


def best_of(call: Callable[[], object], device: str = "cpu", seconds: float = 0.5) -> float:
    """The shortest of as many runs as `seconds` hold, three at least."""
    call()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        times.append(seconds_of(call, device))
    return min(times)


@cache
def measure_rates(count: int, device: str = "cpu") -> Rates:
    """The rates of the CPU with `count` threads, or of a GPU."""
    size, rows = (2048, count * 256) if device == "cpu" else (8192, 1 << 16)
    with threads(count), torch.inference_mode(), torch.device(device):
        a, b = torch.randn(size, size), torch.randn(size, size)
        out = torch.empty(size, size)
        product = best_of(lambda: torch.mm(a, b, out=out), device)
        small = torch.randn(rows, 256)
        target = torch.empty_like(small)

        def exponentials() -> None:
            for _ in range(50):
                torch.exp(small, out=target)

        exponential = best_of(exponentials, device)
        source = torch.zeros(32 << 20)
        sink = torch.empty_like(source)
        copy = best_of(lambda: sink.copy_(source), device)
    return Rates(2 * size**3 / product, 50 * small.numel() / exponential, 2 * source.nbytes / copy)
