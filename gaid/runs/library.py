"""What a head must know of a library before it scores. Which heads ask for it, and what they make of it, is theirs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gaid.heads import Features
from gaid.stores import iter_clips

if TYPE_CHECKING:
    from torch import Tensor

    from gaid.heads import Head
    from gaid.stores import Store

CLIPS = 2000  # read at once


def meet_library(head: "Head", store: "Store") -> None:
    """Shows a store's sounds, of all clips with features and whatever their part, to a head that asks for them."""
    if head.meets_library:
        head.meet_library(_sounds(store))


def _sounds(store: "Store") -> "Iterator[tuple[Tensor, Tensor]]":
    for _, clips in iter_clips(store, CLIPS):
        features = Features.of(clips, "cpu")
        yield features.audio, features.audio_mask
