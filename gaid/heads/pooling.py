"""Pooling: from the fused frames of a (text, video) pair to one video embedding. The plain way; `folded` has the fast one."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class AttentionPooling(nn.Module):
    """Text-conditioned pooling by cross-attention (X-Pool, used unchanged by T-MASS and GAID; method, section 2).

    One head, one LayerNorm shared by texts and frames. Weights start as the identity and biases as 0, so an untrained one
    takes a softmax-weighted mean of the normalised frames.
    """

    def __init__(self, dim: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.linear = nn.Linear(dim, dim)
        self.norm_inputs = nn.LayerNorm(dim)
        self.norm_attended = nn.LayerNorm(dim)
        self.norm_pooled = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.query, self.key, self.value, self.out, self.linear):
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)

    def attend(
        self, text: Float[Tensor, "... dim"], fused: Float[Tensor, "... frames dim"]
    ) -> tuple[Float[Tensor, "... frames"], Float[Tensor, "... frames dim"]]:
        """Attention of each text over the frames of its own pair, and the frames' normalised inputs.

        The key's weights are taken to the text's side (a frame's key is never made), and its bias, which moves all of a
        pair's logits alike, falls away.
        """
        inputs = self.norm_inputs(fused)
        query = self.query(self.norm_inputs(text)) @ self.key.weight / fused.shape[-1] ** 0.5
        return torch.einsum("...d,...fd->...f", query, inputs).softmax(-1), inputs

    def finish(self, attended: Float[Tensor, "... dim"]) -> Float[Tensor, "... dim"]:
        """From the attended mean of the frames (before LN2) to the video embedding."""
        attended = self.norm_attended(attended)
        return self.norm_pooled(attended + self.dropout(self.linear(attended)))

    def forward(
        self, text: Float[Tensor, "... dim"], fused: Float[Tensor, "... frames dim"]
    ) -> Float[Tensor, "... dim"]:
        """Video embedding of each pair; leading dimensions of the two broadcast.

        Weights add up to 1, so the mean of the frames' values is the value of their mean: one product a pair, not one a frame.
        """
        attention, inputs = self.attend(text, fused)
        mean = torch.einsum("...f,...fd->...d", attention, inputs)
        return self.finish(self.out(self.value(mean)))


class MeanPooling(nn.Module):
    """The mean of the frames' directions, whatever the text (CLIP4Clip, meanP: frames are normalised first)."""

    def attend(
        self, text: Float[Tensor, "... dim"], fused: Float[Tensor, "... frames dim"]
    ) -> tuple[Float[Tensor, "... frames"], Float[Tensor, "... frames dim"]]:
        """The same weight for each frame, and the frames' directions."""
        return fused.new_full(fused.shape[:-1], 1 / fused.shape[-2]), functional.normalize(fused, dim=-1)

    def forward(
        self, text: Float[Tensor, "... dim"], fused: Float[Tensor, "... frames dim"]
    ) -> Float[Tensor, "... dim"]:
        """Video embedding of each pair."""
        return functional.normalize(fused, dim=-1).mean(-2)
