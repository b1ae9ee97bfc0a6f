"""Parts of a split: the clips that have sound, and their sounds in place of pictures. Which part counts is decided elsewhere."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gaid.errors import OptionInvalid

if TYPE_CHECKING:
    from gaid.stores import Split


def clips_with_sound(split: "Split") -> np.ndarray:
    """(videos) bool: at least one frame has sound."""
    return np.asarray(split.audio_mask.any(axis=1))


def only_with_sound(split: "Split") -> "Split":
    """The clips that have sound: `--subset with-sound`. Raises OptionInvalid where there are none."""
    keep = clips_with_sound(split)
    if not keep.any():
        raise OptionInvalid(f"--subset with-sound: no clip of {split.part!r} has sound")
    return split if keep.all() else split.take(keep)


def only_sound(split: "Split") -> "Split":
    """The clips that have sound, with the sound in the picture's place: what "text to sound" is measured on."""
    keep = clips_with_sound(split)
    if not keep.any():
        raise OptionInvalid(f"--sense sound: no clip of {split.part!r} has sound")
    kept = split.take(keep)
    sound = np.where(kept.audio_mask[..., None], kept.audio, 0).astype(split.audio.dtype)
    return replace(kept, visual=sound, audio=sound, audio_mask=np.zeros_like(kept.audio_mask))
