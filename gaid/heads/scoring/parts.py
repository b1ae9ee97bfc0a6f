"""The parts that scoring takes: what a head is made of between its projections and its scores."""

from dataclasses import dataclass

from gaid.heads.gate import Gate
from gaid.heads.perturbation import Perturbation
from gaid.heads.pooling import Pooling


@dataclass(frozen=True)
class Parts:
    """A gate, a pooling and a perturbation; each states its own plain and folded form."""

    gate: Gate
    pooling: Pooling
    perturbation: Perturbation
