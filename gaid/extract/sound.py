"""The sound around each frame: decoded pieces in, one window a frame out. Reading files is the decoders'.

Both decoders hand over the same thing, pieces of mono sound with their time, so that the windows are cut in one way:
`aligned` centres each window on its frame's moment; `published` pads or cuts the clip's sound to 30 s and spreads one bin a
frame over these, wherever the frames are, as GAID's published code does for Whisper (method, section 7). A bin in the
padding holds no sound, and its mask says so; the published code, which has no mask, encodes the padding.
"""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import soxr
from numpy.typing import NDArray

from gaid.backbones.protocol import AudioSpec
from gaid.extract.clip import AudioState, ClipRequest
from gaid.extract.sampling import middles

# Windows (F, samples), which of them hold sound, and why not
Sound = tuple[NDArray[np.float32], NDArray[np.bool_], AudioState]

SILENCE = 10 ** (-60 / 20)  # root mean square of -60 dBFS
GAP = 0.05  # s by which a piece may miss the end of the one before, before it counts as a hole or a step of the clock
PUBLISHED_SECONDS = 30.0  # what the published code pads or cuts a sound to
HELD = 2**17  # samples of a channel that are put together before they are resampled: a codec's pieces are small
WARM_UP = 0.25  # s decoded ahead of a window, for codecs whose first piece after a jump is not yet right


def to_mono(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """(channels, n) as (n,): the mean of the channels, within full scale, free of what a damaged file may hold."""
    mono = samples.mean(axis=0, dtype=np.float32)
    return np.clip(np.nan_to_num(mono, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)


class SoundWindows:
    """Collects the windows of a clip's frames from pieces of sound that come in the order of time.

    Times are seconds from the clip's start; only what lies inside [0, duration] is kept, the rest of a window is zero.
    """

    @classmethod
    def of(cls, request: ClipRequest, moments: NDArray[np.float64], duration: float) -> "SoundWindows":
        """The windows that a request wants of a clip whose frames are at `moments`."""
        if request.audio_sampling == "published":
            spread = middles(PUBLISHED_SECONDS, len(moments))
            windows = cls(request.audio_spec, spread - request.sound_late, PUBLISHED_SECONDS)
            windows.total = max(1, round(min(duration, PUBLISHED_SECONDS) * windows.rate))
            return windows
        return cls(request.audio_spec, moments - request.sound_late, duration)

    def __init__(self, spec: AudioSpec, moments: NDArray[np.float64], duration: float) -> None:
        self.rate = spec.rate
        self.length = min(max(duration / len(moments), spec.shortest), spec.longest)
        self.samples = max(1, round(self.length * spec.rate))
        self.starts = np.round(moments * spec.rate).astype(np.int64) - self.samples // 2
        self.total = max(1, round(duration * spec.rate))
        self.windows = np.zeros((len(moments), self.samples), np.float32)
        self._begins: list[float] = (self.starts / self.rate).tolist()
        self._ends = [begin + self.length for begin in self._begins]
        self._held: list[Sequence[NDArray[np.float32]]] = []  # pieces that wait to be resampled together
        self._waiting = 0  # samples of a channel in them
        self._stream: soxr.ResampleStream | None = None
        self._in_rate = 0
        self._anchor = 0.0  # time of the stream's first sample
        self._taken = 0  # samples that went in since
        self._given = 0  # samples that came out since

    def wants(self, start: float, end: float) -> bool:
        """Whether sound of [start, end] s touches a window, or is needed to warm the decoder up for one."""
        first = bisect_left(self._ends, start)
        return first < len(self._begins) and end >= self._begins[first] - WARM_UP

    def add(self, time: float | None, rate: int, piece: Sequence[NDArray[np.float32]]) -> None:
        """Takes the next piece, a row a channel; `time` None goes on where the last one ended."""
        expected = self._anchor + self._taken / self._in_rate if self._stream else 0.0
        if time is None:
            time = expected
        if self._stream is None or rate != self._in_rate or abs(time - expected) > GAP:
            self._end_piece()
            self._stream = soxr.ResampleStream(rate, self.rate, 1, dtype="float32")
            self._in_rate, self._anchor, self._taken, self._given = rate, time, 0, 0
        if self._held and len(piece) != len(self._held[0]):
            self._resample()
        self._held.append(piece)
        self._waiting += len(piece[0])
        self._taken += len(piece[0])
        if self._waiting >= HELD:
            self._resample()

    def _resample(self) -> None:
        if self._stream is not None and self._held:
            samples = np.stack([np.concatenate(channel) for channel in zip(*self._held, strict=True)])
            self._place(self._stream.resample_chunk(to_mono(samples)))
        self._held, self._waiting = [], 0

    def _end_piece(self) -> None:
        self._resample()
        if self._stream is not None:
            self._place(self._stream.resample_chunk(np.zeros(0, np.float32), last=True))
            self._stream = None

    def _place(self, piece: NDArray[np.float32]) -> None:
        begin = round(self._anchor * self.rate) + self._given
        self._given += len(piece)
        low, high = max(0, begin), min(self.total, begin + len(piece))
        for window, start in zip(self.windows, self.starts.tolist(), strict=True):
            a, b = max(low, start), min(high, start + self.samples)
            if a < b:
                window[a - start : b - start] = piece[a - begin : b - begin]

    def finish(self) -> Sound:
        """The windows (F, samples), which of them hold sound, and the state of a track that could be decoded.

        Loudness is measured over the part of a window inside the clip: padding does not make a short clip silent.
        """
        self._end_piece()
        np.clip(self.windows, -1.0, 1.0, out=self.windows)  # resampling overshoots
        inside = np.minimum(self.starts + self.samples, self.total) - np.maximum(self.starts, 0)
        power = np.square(self.windows, dtype=np.float64).sum(axis=1) / np.maximum(1, inside)
        mask = np.sqrt(power) >= SILENCE
        self.windows[~mask] = 0.0
        return self.windows, mask, "sound" if mask.any() else "silent"

    def nothing(self, state: AudioState) -> Sound:
        """No windows, because there is no track or it can't be decoded."""
        return np.zeros_like(self.windows), np.zeros(len(self.windows), np.bool_), state
