"""The layers that map backbones' embeddings to the size that text, visual and audio share."""

from torch import nn

from gaid.errors import OptionInvalid


def projection(source: int, dim: int, learnt: bool = True) -> nn.Module:
    """A linear layer without bias, initialised as the identity where sizes agree, else as an orthogonal map.

    Not `learnt`: the identity itself, for sizes that `check_one_size` found equal.
    """
    if not learnt:
        return nn.Identity()
    layer = nn.Linear(source, dim, bias=False)
    if source == dim:
        nn.init.eye_(layer.weight)
    else:
        nn.init.orthogonal_(layer.weight)
    return layer


def check_one_size(dim: int, **sizes: int) -> None:
    """Raises OptionInvalid where a named size is not `dim`, so that embeddings can't meet without projections."""
    others = [f"{name} embeddings have {size} numbers" for name, size in sizes.items() if size != dim]
    if others:
        raise OptionInvalid(
            f"head.projections=false: {' and '.join(others)}, but they would have to meet in {dim} (head.dim, by default the "
            "text's size); leave the projections on (head.projections=true), or extract with encoders of one size"
        )
