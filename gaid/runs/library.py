"""What a head must know of a library before it scores. Which heads ask for it, and what they make of it, is theirs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from gaid.stores import valid_rows

if TYPE_CHECKING:
    from torch import Tensor

    from gaid.heads import Head
    from gaid.stores import Store

CLIPS = 2000  # read at once


def meet_library(head: "Head", store: "Store", most: int | None = None) -> None:
    """Shows a store's sounds, whatever their part, to a head that asks for them: of all clips with features, or of `most` that are
    spread over the store."""
    if head.meets_library:
        head.meet_library(_sounds(store, most))


def _sounds(store: "Store", most: int | None) -> "Iterator[tuple[Tensor, Tensor]]":
    rows = valid_rows(store)
    if most is not None and len(rows) > most:
        rows = rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
    for some in np.split(rows, range(CLIPS, len(rows), CLIPS)):
        audio, mask = (store.rows(f"videos/{name}", some) for name in ("audio", "audio_mask"))
        yield torch.from_numpy(audio), torch.from_numpy(mask)
