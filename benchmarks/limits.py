"""What this machine can do at best, measured in the run that quotes it: matrix products, exponentials, copying memory.

Only shapes that flatter the machine: a limit that a real computation could pass would be none.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch

from benchmarks.harness import threads


@dataclass(frozen=True)
class Rates:
    """Operations and bytes a second: `flops` of float32 products (2 a multiply-add), `exps` in cache, `copied` read + written."""

    flops: float
    exps: float
    copied: float

    def to_dict(self) -> dict[str, float]:
        return vars(self)


def best_of(call: Callable[[], object], seconds: float = 0.5) -> float:
    """The shortest of as many runs as `seconds` hold, three at least."""
    call()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


@cache
def measure_rates(count: int) -> Rates:
    """The rates with `count` threads."""
    with threads(count), torch.inference_mode():
        a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
        out = torch.empty(2048, 2048)
        product = best_of(lambda: torch.mm(a, b, out=out))
        small = torch.randn(count * 256, 256)
        target = torch.empty_like(small)

        def exponentials() -> None:
            for _ in range(50):
                torch.exp(small, out=target)

        exponential = best_of(exponentials)
        source = torch.zeros(32 << 20)
        sink = torch.empty_like(source)
        copy = best_of(lambda: sink.copy_(source))
    return Rates(2 * 2048**3 / product, 50 * small.numel() / exponential, 2 * source.nbytes / copy)
