"""One part of a data set in memory: what heads are trained and evaluated on. How it is read from disk is `store`'s."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import HeadMismatch, OptionInvalid


def hash_gallery(video_ids: list[str]) -> str:
    """sha256 of the sorted ids: two figures with the same hash were measured over the same videos."""
    return hashlib.sha256("\n".join(sorted(video_ids)).encode("utf-8", "surrogatepass")).hexdigest()


def first_captions(caption_video: NDArray[np.int64], videos: int) -> NDArray[np.int64]:
    """(videos) the row of each video's first caption, which is what "own caption" means. Raises ValueError."""
    rows = np.full(videos, -1, dtype=np.int64)
    given, first = np.unique(np.asarray(caption_video), return_index=True)
    rows[given] = first
    if (rows < 0).any():
        raise ValueError(f"video row {int(np.argmax(rows < 0))} has no caption")
    return rows


@dataclass
class Split:
    """One part of a data set in memory: the valid videos that its captions name, in the store's order, and those captions.

    visual (V, F, Dv), audio (V, F, Da), text (C, Dt) float16; audio_mask (V, F) bool; audio_state (V) uint8, a place in
    AUDIO_STATES; time (V, F) and duration (V) float32, seconds; caption_video (C) int64, rows of this split's videos.
    audio_text (C, Da) float16: the captions in the sound's own text space, None where the store has none.
    Patch tokens and audio tokens are large, so they are read when asked for.
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
    audio_text: NDArray[np.float16] | None = None
    read_patches: Callable[[], NDArray[np.float16]] | None = field(default=None, repr=False)
    read_audio_tokens: Callable[[], NDArray[np.float16]] | None = field(default=None, repr=False)
    read_audio_clip_tokens: Callable[[], NDArray[np.float16]] | None = field(default=None, repr=False)

    def visual_as(self, kind: str) -> NDArray[np.float16]:
        """The visual features that a head takes: `frames` (V, F, Dv), or `patches` (V, F, P, Dp), read now.

        Raises OptionInvalid where the store has no patches.
        """
        if kind == "frames":
            return self.visual
        if self.read_patches is None:
            raise OptionInvalid("the store has no patch tokens; `gaid extract --patches` makes one that has")
        return self.read_patches()

    def audio_as(self, kind: str) -> NDArray[np.float16]:
        """The audio features that a head takes: `frames` (V, F, Da), or `tokens` (V, F, N, Dn) of each frame or `clip` (V, N, Dn)
        of the whole clip, read now.

        Tokens of a frame whose `audio_mask` is false are not sound. Raises HeadMismatch where the store has no tokens.
        """
        if kind == "frames":
            return self.audio
        if kind == "clip":
            if self.read_audio_clip_tokens is None:
                raise HeadMismatch(
                    "the head takes audio tokens of whole clips and the store has none; `gaid extract --audio-clip-tokens` "
                    "makes one that has"
                )
            return self.read_audio_clip_tokens()
        if self.read_audio_tokens is None:
            raise HeadMismatch(
                "the head takes audio tokens and the store has none; `gaid extract --audio-tokens` makes one that has"
            )
        return self.read_audio_tokens()

    def text_as(self, kind: str) -> NDArray[np.float16]:
        """The captions that a head takes: `text` (C, Dt), or `both` (C, Dt + Da), each followed by itself in the sound's own
        text space.

        Raises HeadMismatch where the store has no captions in that space.
        """
        if kind == "text":
            return self.text
        if self.audio_text is None:
            raise HeadMismatch(
                "the head compares sentences with sounds in the sounds' own text space, and the store has no captions in it; "
                "extract again (--overwrite) with an audio backbone that has a text side, such as clap"
            )
        return np.concatenate([self.text, self.audio_text], axis=1)

    def take(self, videos: NDArray[Any]) -> "Split":
        """Some videos, as rows in the order given or as a mask (V) bool, with all their captions.

        The census stays that of the whole part: it counts what was asked for, not what was taken.
        """
        rows = np.flatnonzero(videos) if videos.dtype == bool else videos
        place = np.full(len(self.video_ids), -1, np.int64)
        place[rows] = np.arange(len(rows))
        read, read_sound, read_clips = self.read_patches, self.read_audio_tokens, self.read_audio_clip_tokens
        video_ids = [self.video_ids[row] for row in rows.tolist()]
        kept = self._with_captions(np.flatnonzero(place[self.caption_video] >= 0))
        return replace(
            kept,
            video_ids=video_ids,
            visual=self.visual[rows],
            audio=self.audio[rows],
            audio_mask=self.audio_mask[rows],
            audio_state=self.audio_state[rows],
            time=self.time[rows],
            duration=self.duration[rows],
            caption_video=place[kept.caption_video],
            gallery_hash=hash_gallery(video_ids),
            read_patches=None if read is None else lambda: read()[rows],
            read_audio_tokens=None if read_sound is None else lambda: read_sound()[rows],
            read_audio_clip_tokens=None if read_clips is None else lambda: read_clips()[rows],
        )

    def first_captions(self) -> "Split":
        """All videos, each with its first caption alone, in the order of the videos."""
        return self._with_captions(first_captions(self.caption_video, len(self.video_ids)))

    def change_audio(
        self,
        change: Callable[[NDArray[Any]], NDArray[Any]],
        of_clips: Callable[[NDArray[Any]], NDArray[Any]],
        **others: Any,
    ) -> "Split":
        """This split with its audio embeddings (V, F, Da), and tokens (V, F, N, Dn) when they are read, changed alike by `change`,
        and tokens of whole clips (V, N, Dn) by `of_clips`.

        `others`: further arrays of it, by name, such as another `audio_mask`.
        """
        read, read_clips = self.read_audio_tokens, self.read_audio_clip_tokens
        tokens = None if read is None else lambda: change(read())
        clip_tokens = None if read_clips is None else lambda: of_clips(read_clips())
        return replace(
            self,
            audio=change(self.audio),
            read_audio_tokens=tokens,
            read_audio_clip_tokens=clip_tokens,
            **others,
        )

    def _with_captions(self, rows: NDArray[np.int64]) -> "Split":
        """All videos with some of the captions; `caption_video` still counts these videos."""
        return replace(
            self,
            caption_ids=[self.caption_ids[row] for row in rows.tolist()],
            caption_texts=[self.caption_texts[row] for row in rows.tolist()],
            text=self.text[rows],
            audio_text=None if self.audio_text is None else self.audio_text[rows],
            caption_video=self.caption_video[rows],
        )
