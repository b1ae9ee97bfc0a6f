"""The layer that maps a backbone's embeddings to the size that text, visual and audio share."""

from torch import nn


def projection(source: int, dim: int) -> nn.Linear:
    """A linear layer without bias, initialised as the identity where sizes agree, else as an orthogonal map."""
    layer = nn.Linear(source, dim, bias=False)
    if source == dim:
        nn.init.eye_(layer.weight)
    else:
        nn.init.orthogonal_(layer.weight)
    return layer
