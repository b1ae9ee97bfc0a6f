"""Thumbnails: the frames of a clip that were sampled for its features, decoded once per clip and kept within a bound."""

import asyncio
import io
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gaid.errors import MediaError
from gaid.media.clip import ClipRequest, Sampling
from gaid.server.media import ClipMedia
from gaid.server.turns import Turns
from gaid.specs import AudioSpec, FrameSpec

SIZE, QUALITY = 240, 78
UNUSED = AudioSpec(8000, 0.01, 0.01)  # of sound that is decoded for nothing
MOST_BYTES = 64 << 20

Frames = list[tuple[float, bytes]]


class Thumbnails:
    """JPEG pictures of clips' frames, SIZE by SIZE."""

    def __init__(self, media: ClipMedia, turns: Turns, most_bytes: int = MOST_BYTES) -> None:
        self.media, self.turns, self.most_bytes = media, turns, most_bytes
        self.bytes = 0
        self._kept: OrderedDict[str, Frames] = OrderedDict()
        self._made: dict[str, asyncio.Task[Frames]] = {}

    async def at(self, clip: str, seconds: float) -> bytes:
        """The frame of a clip that is nearest to a time, in seconds from the clip's start. Raises Refusal, MediaError."""
        if clip in self._kept:
            self._kept.move_to_end(clip)
            frames = self._kept[clip]
        else:  # requests that arrive meanwhile wait for the same task; it continues if one of them is cancelled
            if clip not in self._made:
                self._made[clip] = asyncio.create_task(self._make(clip))
            frames = await asyncio.shield(self._made[clip])
        return min(frames, key=lambda frame: abs(frame[0] - seconds))[1]

    async def _make(self, clip: str) -> Frames:
        try:
            frames = await self.turns.take(self._decode, clip)
        finally:
            del self._made[clip]
        self._kept[clip] = frames
        self.bytes += _size(frames)
        while self.bytes > self.most_bytes and len(self._kept) > 1:
            self.bytes -= _size(self._kept.popitem(last=False)[1])
        return frames

    def _decode(self, clip: str) -> Frames:
        video, sampling = self.media.video(clip), Sampling.of_store(self.media.store)
        request = ClipRequest.of(video, sampling, FrameSpec(SIZE, "crop", "area"), UNUSED)
        found = next(iter(self.media.pool.map([request])))
        if isinstance(found, MediaError):
            raise found
        times = dict(
            zip(found.times.tolist(), found.frames, strict=True)
        )  # a clip with few frames repeats the last one
        return [(time, _jpeg(frame)) for time, frame in times.items()]


def _jpeg(frame: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _size(frames: Frames) -> int:
    return sum(len(picture) for _, picture in frames)
