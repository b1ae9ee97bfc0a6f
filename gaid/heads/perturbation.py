"""Perturbation of the text embedding: how far a text may lie from its caption's point, given the frames it is held against."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Prior = Literal["uniform", "normal"]
# Noise is drawn for fixed runs of texts, so that the blocks in which scores are computed don't change it.
NOISE_ROWS = 64


class Deviation(nn.Module):
    """log of the standard deviation of a text, a dimension each, from its cosines with the frames (T-MASS; method, section 3)."""

    def __init__(self, dim: int, frames: int) -> None:
        super().__init__()
        self.linear = nn.Linear(frames, dim)
        nn.init.eye_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(
        self, text: Float[Tensor, "... dim"], fused: Float[Tensor, "... frames dim"]
    ) -> Float[Tensor, "... dim"]:
        """log_std of each pair; leading dimensions of the two broadcast."""
        sims = torch.einsum("...d,...fd->...f", functional.normalize(text, dim=-1), functional.normalize(fused, dim=-1))
        return self.linear(sims)


class StochasticPerturbation(nn.Module):
    """STP (T-MASS): the text plus noise times std. In evaluation the best of `trials` draws counts."""

    def __init__(
        self, dim: int, frames: int, prior: Prior = "uniform", prior_std: float = 3e-3, trials: int = 20
    ) -> None:
        super().__init__()
        self.deviation = Deviation(dim, frames)
        self.prior = prior
        self.prior_std = prior_std
        self.trials = trials

    def draw(self, shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noise of the prior: uniform on [0, 1], or normal of `prior_std`."""
        if self.prior == "uniform":
            return torch.rand(shape, generator=generator, dtype=like.dtype, device=like.device)
        return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device) * self.prior_std

    def noise(self, start: int, stop: int, like: Tensor, seed: int) -> Float[Tensor, "texts trials dim"]:
        """The draws for texts start..stop of an evaluation: the same for every video, and however texts are blocked."""
        pieces = []
        for run in range(start // NOISE_ROWS, (stop - 1) // NOISE_ROWS + 1):
            generator = torch.Generator(device=like.device).manual_seed(seed * 1_000_003 + run)
            drawn = self.draw((NOISE_ROWS, self.trials, like.shape[-1]), like, generator)
            first = run * NOISE_ROWS
            pieces.append(drawn[max(start - first, 0) : stop - first])
        return torch.cat(pieces)

    def perturb(self, text: Float[Tensor, "batch dim"], std: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """A training draw for each text from its own video's std."""
        return text + self.draw(tuple(text.shape), text) * std


class DirectionalPerturbation(nn.Module):
    """DASP (GAID; SVSP in the paper's second version): the text moved by a learned share of std, one pass in evaluation."""

    def __init__(self, dim: int, frames: int) -> None:
        super().__init__()
        self.deviation = Deviation(dim, frames)
        self.alpha = nn.Parameter(torch.tensor(0.5))

    def perturb(
        self,
        text: Float[Tensor, "batch dim"],
        std: Float[Tensor, "batch dim"],
        noise: Float[Tensor, "batch dim"] | None = None,
    ) -> Float[Tensor, "batch dim"]:
        """A training draw for each text: noise mixed with 1 by alpha, times its own video's std."""
        noise = torch.rand_like(text) if noise is None else noise
        return text + (self.alpha * noise + (1 - self.alpha)) * std
