"""One part of a data set in memory: what heads are trained and judged on."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import HeadMismatch, OptionInvalid


@dataclass
class Split:
    """One part of a data set in memory: valid videos that its captions name, in the store's order, and those captions.

    visual (V, F, Dv), audio (V, F, Da), text (C, Dt) float16; audio_mask (V, F) bool; audio_state (V) uint8, a place in
    AUDIO_STATES; time (V, F) and duration (V) float32, seconds; caption_video (C) int64, rows of this split's videos.
    """

    part: str
    protocol: str
    video_ids: list[str]
    visual: NDArray[np.float16]
    audio: NDArray[np.float16]
    audio_mask: NDArray[np.bool_]
    audio_state: NDArray[np.uint8]
    time: NDArray[np.float32]
    duration: NDArray[np.float32]
    caption_ids: list[str]
    caption_texts: list[str]
    text: NDArray[np.float16]
    caption_video: NDArray[np.int64]
    store_fingerprint: str
    census: dict[str, int] = field(default_factory=dict)
    gallery_hash: str = ""
    read_patches: Callable[[], NDArray[np.float16]] | None = field(default=None, repr=False)
    read_audio_tokens: Callable[[], NDArray[np.float16]] | None = field(default=None, repr=False)

    def seen(self, kind: str) -> NDArray[np.float16]:
        """What a head looks at: `frames`, that is `visual`, or `patches`, (V, F, P, Dp), read when asked for. OptionInvalid."""
        if kind == "frames":
            return self.visual
        if self.read_patches is None:
            raise OptionInvalid("the store has no patch tokens; `gaid extract --patches` makes one that has")
        return self.read_patches()

    def heard(self, kind: str) -> NDArray[np.float16]:
        """What a head listens to: `frames`, that is `audio`, or `tokens`, (V, F, N, Da), read when asked for. HeadMismatch.

        Tokens count where `audio_mask` is true; those of another frame are no sound.
        """
        if kind == "frames":
            return self.audio
        if self.read_audio_tokens is None:
            raise HeadMismatch(
                "the head takes audio tokens and the store has none; `gaid extract --audio-tokens` makes one that has"
            )
        return self.read_audio_tokens()

    def with_sound(self, change: Callable[[NDArray[Any]], NDArray[Any]], **others: Any) -> "Split":
        """This split with its embeddings of sound (V, F, Da), and tokens (V, F, N, Da) when they are read, changed alike.

        `others`: further arrays of it, by name, such as another `audio_mask`.
        """
        read = self.read_audio_tokens
        tokens = None if read is None else lambda: change(read())
        return replace(self, audio=change(self.audio), read_audio_tokens=tokens, **others)
