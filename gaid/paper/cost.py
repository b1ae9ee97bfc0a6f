"""The cost of a head: parameters, matrix products per pair, and seconds for all pairs of a split."""

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from gaid.evaluation.bench import Bench

if TYPE_CHECKING:
    from gaid.heads import Head
    from gaid.heads.base import Algorithm

SAMPLE = 8
DIRECT_PAIRS = 20_000


@dataclass(frozen=True)
class Cost:
    """`flops`: of the matrix products that scoring one (text, video) pair directly takes, two per multiply-add; element-wise
    work is not counted. `seconds`: all pairs of the split as `gaid eval` scores them. `direct_seconds`: the same with every
    tensor made, measured on some of the texts and scaled to all (None where the head has one way only)."""

    parameters: int
    flops: float
    seconds: float
    direct_seconds: float | None
    pairs: int
    device: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@torch.inference_mode()
def measure_cost(bench: Bench) -> Cost:
    """Cost of a bench's first head. Times are of one run after an uncounted one, on this machine."""
    head, features, device = bench.head(), bench.features(), bench.device
    few = slice(0, min(SAMPLE, len(features.visual)))
    texts = features.text[: min(SAMPLE, len(features.text))]
    with FlopCounterMode(display=False) as counter:
        _score(head, texts, features.videos(few), "direct")
    pairs = len(features.text) * len(features.visual)
    whole = _timed(lambda: bench.scores(0), device)
    rows = max(1, min(len(features.text), DIRECT_PAIRS // len(features.visual)))
    every = features.videos(slice(None))
    direct = _timed(lambda: _score(head, features.text[:rows], every, "direct"), device)
    return Cost(
        parameters=sum(parameter.numel() for parameter in head.parameters()),
        flops=counter.get_total_flops() / (len(texts) * (few.stop - few.start)),
        seconds=whole,
        direct_seconds=direct * len(features.text) / rows,
        pairs=pairs,
        device=device,
    )


def _score(head: "Head", text: torch.Tensor, videos: tuple[Any, ...], algorithm: "Algorithm") -> torch.Tensor:
    scores: torch.Tensor = head.score(text, *videos, gate_by="query", pool_by="query", algorithm=algorithm)
    return scores


def _timed(work: Any, device: str) -> float:
    times = []
    for _ in range(2):
        started = time.perf_counter()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return float(np.min(times[1:]))
