"""Where a head starts: as the first blocks of the store's text encoder, as AVIGATE's published training does."""

from typing import TYPE_CHECKING

import torch

from gaid.errors import OptionInvalid
from gaid.extract.sources import load_encoder

if TYPE_CHECKING:
    from gaid.heads import Head
    from gaid.stores import Store


def start_as_text(head: "Head", store: "Store") -> None:
    """Gives a head the weights of the first blocks of the store's text encoder, and its positions.

    The generator of random numbers is left as it was. Raises OptionInvalid for a head or an encoder that can't, and what
    `load_encoder` raises where the encoder is not at hand.
    """
    if not head.text_blocks:
        raise OptionInvalid(f"start=text: {type(head).__name__} has no blocks like a text encoder's; only avigate has")
    with torch.random.fork_rng():
        encoder = load_encoder(store, "text", "cpu")
    if not hasattr(encoder, "first_blocks"):
        raise OptionInvalid(
            f"start=text: {encoder.name} does not give its blocks; it needs a store whose text encoder is a clip"
        )
    blocks, positions = encoder.first_blocks(head.text_blocks)
    width = positions.shape[1]
    if width != head.config["dim"]:
        raise OptionInvalid(
            f"start=text: the blocks of {encoder.name} are {width} wide, the head {head.config['dim']}; set head.dim={width}"
        )
    head.start_as_text(
        [{name: torch.from_numpy(value) for name, value in block.items()} for block in blocks],
        torch.from_numpy(positions),
    )
