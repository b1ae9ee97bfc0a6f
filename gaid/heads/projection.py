"""The layer that brings a backbone's embeddings to the size in which texts, pictures and sounds meet."""

from torch import nn


def projection(source: int, dim: int) -> nn.Linear:
    """A linear layer without bias; the identity at first where sizes agree, else orthogonal."""
    layer = nn.Linear(source, dim, bias=False)
    if source == dim:
        nn.init.eye_(layer.weight)
    else:
        nn.init.orthogonal_(layer.weight)
    return layer
