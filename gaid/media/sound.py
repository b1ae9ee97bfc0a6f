"""The sound around each frame: decoded pieces in, one window per frame out, or pieces of the whole. Reading files is the decoders'.

Both decoders hand over the same thing, blocks of sound with their time and the names of their channels, so that channels
are mixed and windows are cut in one way. Which sound a frame gets:
* `aligned`: a window centred on the frame's time, as long as the step from one frame to the next.
* `spread`: the clip's sound is padded or cut to 30 s, and window f is the f-th of F equal parts, wherever the frame is. A
  window that lies in the padding has no sound.
* A backbone that takes a clip's whole sound (`AudioSpec.whole`) gets pieces in place of windows (`gaid.media.pieces`).
  Under `aligned` a frame has the sound around its time, under `published` an equal part of all of it, as GAID's published
  code pairs them (docs/method.md, section 7).

A window holds the mix of the channels (`gaid.media.mixing`). Where these cancel each other in the mix, as stereo in opposite
phase does, it holds the loudest channel instead. A window has sound if its loudest channel has.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from gaid.media import pieces
from gaid.media.clip import AudioState, ClipRequest
from gaid.media.mixing import channel_weights, clean, mix
from gaid.media.sampling import frame_step, middles


class Sound(NamedTuple):
    """What of a clip is its sound (`Clip`): samples (F or G, n), the frames' mask (F,), the state, first samples, window, and
    the whole sound (n,) where it was asked for."""

    samples: NDArray[np.float32]
    mask: NDArray[np.bool_]
    state: AudioState
    starts: NDArray[np.int64]
    rate: int
    window: float | None
    whole: NDArray[np.float32]


SILENCE = 10 ** (-60 / 20)  # root mean square of -60 dBFS
GAP = 0.05  # s by which a piece may miss the end of the one before, before it counts as a hole or a step of the clock
SPREAD_SECONDS = 30.0  # what the published code pads or cuts a sound to
PUBLISHED_BOUND = (
    120.0  # s of a whole sound that are held at once; only the loudest moment of what follows could be missed
)
WHOLE_BOUND = 300.0  # s of a whole sound that are held for a backbone that hears the clip as one: 19 MB at 16 kHz
HELD = 2**17  # samples of a channel that are put together before they are resampled: a codec's pieces are small
WARM_UP = 0.25  # s decoded ahead of a window, for codecs whose first piece after a jump is not yet right
# Channels cancel each other where the mix has less than this share of the power that it would have if they were unrelated (20 dB)
CANCELS = 0.01


class SoundWindows:
    """Collects the windows of a clip's frames, or pieces of its whole sound, from blocks of sound that come in the order of time.

    Times are seconds from the clip's start; only what lies inside [0, duration] is kept, the rest of a window is zero.
    """

    @classmethod
    def of(cls, request: ClipRequest, moments: NDArray[np.float64], duration: float) -> "SoundWindows":
        """The windows, or the pieces, that a request wants of a clip whose frames are at `moments`."""
        found = cls._of_frames(request, moments, duration)
        if request.clip_sound:
            found.whole = WholeSound(found.rate, duration, request.sound_late)
        return found

    @classmethod
    def _of_frames(cls, request: ClipRequest, moments: NDArray[np.float64], duration: float) -> "SoundWindows":
        spec, late = request.audio_spec, request.sound_late
        step = frame_step(request.frame_sampling, duration, len(moments))
        if spec.whole:
            published = request.audio_sampling == "published"
            heard = min(duration, PUBLISHED_BOUND) if published else duration
            middles_, length = pieces.cut(moments, heard, heard if published else spec.longest)
            window = None if published else pieces.frame_window(spec, step)
            return cls(spec.rate, middles_, length, heard, late, Frames(moments, window, spec.shortest))
        if request.audio_sampling == "aligned":
            return cls(spec.rate, moments, pieces.frame_window(spec, step), duration, late)
        spread = middles(SPREAD_SECONDS, len(moments))
        length = pieces.frame_window(spec, SPREAD_SECONDS / len(moments))
        return cls(spec.rate, spread, length, min(duration, SPREAD_SECONDS), late)

    def __init__(
        self,
        rate: int,
        moments: NDArray[np.float64],
        length: float,
        duration: float,
        late: float = 0.0,
        frames: "Frames | None" = None,
    ) -> None:
        self.rate, self.length, self._frames = rate, length, frames
        self.samples = max(1, round(length * rate))
        # Where the sound is wanted, and where it is taken from: a delayed sound is taken from earlier
        self.places, self.starts = (
            np.round(at * rate).astype(np.int64) - self.samples // 2 for at in (moments, moments - late)
        )
        self.total = max(1, round(duration * rate))
        self.windows = np.zeros((len(moments), self.samples), np.float32)
        self._begins: list[float] = (self.starts / self.rate).tolist()
        self._ends = [begin + self.length for begin in self._begins]
        self._stretch: Stretch | None = None
        self.whole: WholeSound | None = None
        # Of each window, at the file's own rate: the power of the loudest channel, and that of what was put into the window
        self.loudest = np.zeros(len(moments))
        self.mixed = np.zeros(len(moments))

    @property
    def seconds(self) -> float:
        """Seconds of the clip from which sound is taken."""
        mine = self.total / self.rate
        return mine if self.whole is None else max(mine, self.whole.seconds)

    @property
    def end(self) -> float:
        """The second after which no sound is wanted."""
        last = float(np.max(self.starts)) / self.rate + self.length
        return last if self.whole is None else max(last, self.whole.end)

    def wants(self, start: float, end: float) -> bool:
        """Whether sound of [start, end] s touches a window, or is needed to warm the decoder up for one."""
        if self.whole is not None and self.whole.wants(start, end):
            return True
        first = bisect_left(self._ends, start)
        return first < len(self._begins) and end >= self._begins[first] - WARM_UP

    def add(
        self, time: float | None, rate: int, piece: Sequence[NDArray[np.float32]], names: Sequence[str] = ()
    ) -> None:
        """Takes the next piece, a row per channel of those names; with `time` None it follows the last one."""
        if self.whole is not None:
            self.whole.add(time, rate, piece[:1])
        stretch = self._stretch
        expected = 0.0 if stretch is None else stretch.end
        if time is None:
            time = expected
        if stretch is None or not stretch.continues(rate, names, len(piece)) or abs(time - expected) > GAP:
            self._end_stretch()
            stretch = self._stretch = Stretch(self, time, rate, names, len(piece))
        stretch.add(piece)

    def _end_stretch(self) -> None:
        if self._stretch is not None:
            self._stretch.finish()
        self._stretch = None

    def place(self, begin: int, piece: NDArray[np.float32], rows: Iterable[int]) -> None:
        """Puts sound at the backbone's rate, whose first sample is number `begin` of the clip, into these windows."""
        low, high = max(0, begin), min(self.total, begin + len(piece))
        for row in rows:
            start = int(self.starts[row])
            a, b = max(low, start), min(high, start + self.samples)
            if a < b:
                self.windows[row, a - start : b - start] = piece[a - begin : b - begin]

    def finish(self) -> Sound:
        """The windows or pieces of a track that could be decoded, and which frames have sound.

        Loudness is the loudest channel's, and measured over the part of a window inside the clip: padding does not make a
        short clip silent. A window that counts as silent holds zeros; pieces are left as they are.
        """
        self._end_stretch()
        np.clip(self.windows, -1.0, 1.0, out=self.windows)  # resampling overshoots
        louder = np.maximum(
            1.0, np.divide(self.loudest, self.mixed, out=np.ones_like(self.mixed), where=self.mixed > 0)
        )
        if self._frames is None:
            inside = np.minimum(self.starts + self.samples, self.total) - np.maximum(self.starts, 0)
            power = np.square(self.windows, dtype=np.float64).sum(axis=1) / np.maximum(1, inside)
            mask = np.sqrt(power * louder) >= SILENCE
            self.windows[~mask] = 0.0
        else:
            mask = self._frames.with_sound(self, louder)
        return self._sound(mask, "sound" if mask.any() else "silent")

    def nothing(self, state: AudioState) -> Sound:
        """No sound, because there is no track or it can't be decoded."""
        frames = len(self.windows) if self._frames is None else len(self._frames.moments)
        self.windows[:] = 0.0
        return self._sound(np.zeros(frames, np.bool_), state)

    def _sound(self, mask: NDArray[np.bool_], state: AudioState) -> Sound:
        window = self.length if self._frames is None else self._frames.window
        whole = np.zeros(0, np.float32)
        if self.whole is not None and state in ("sound", "silent"):
            whole = self.whole.samples_heard()
        return Sound(self.windows, mask, state, self.places, self.rate, window, whole)


class WholeSound(SoundWindows):
    """All of a clip's sound as its first channel has it, silence and all, for a backbone that hears the clip as one.

    It is held in memory, so of a clip longer than `WHOLE_BOUND` it is the beginning.
    """

    def __init__(self, rate: int, duration: float, late: float) -> None:
        heard = min(duration, WHOLE_BOUND)
        super().__init__(rate, np.array([heard / 2]), heard, heard, late)
        self._until = 0

    def place(self, begin: int, piece: NDArray[np.float32], rows: Iterable[int]) -> None:
        super().place(begin, piece, rows)
        self._until = max(self._until, min(self.total, begin + len(piece)))

    def samples_heard(self) -> NDArray[np.float32]:
        """The samples (n,) up to the end of the sound, which may be before the end of the clip."""
        self._end_stretch()
        return np.clip(self.windows[0, : self._until], -1.0, 1.0)


@dataclass(frozen=True)
class Frames:
    """The frames that share pieces of sound: their moments, the seconds that each hears (None: an equal part of all of it),
    and how much sound there has to be."""

    moments: NDArray[np.float64]
    window: float | None
    shortest: float

    def with_sound(self, of: SoundWindows, louder: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which frames have sound. Where the frames share all of it, every one does, as in the published code: padding and
        silence are encoded there."""
        if self.window is None:
            return np.full(len(self.moments), of.total >= self.shortest * of.rate)
        of_frames = pieces.spans(self.moments, self.window, of.places, of.samples, of.rate)
        power = pieces.powers(of.windows * np.sqrt(louder)[:, None], of_frames)
        return np.sqrt(power) >= SILENCE


class Stretch:
    """Sound without a gap, of one rate and one layout, on its way into the windows.

    Channels are mixed and resampled as they come. They are kept until the windows that they touch have ended, since only then
    it is known whether they cancel each other there: the power of the mix is compared with the sum of w^2 times the power of
    each channel, which is what unrelated channels would give.
    """

    def __init__(self, into: SoundWindows, begin: float, rate: int, names: Sequence[str], channels: int) -> None:
        self.into, self.begin, self.rate, self.names = into, begin, rate, tuple(names)
        self.weights = channel_weights(self.names, channels)
        self.taken = 0  # samples of a channel that came in
        self._given = 0  # samples that came out
        self._held: list[Sequence[NDArray[np.float32]]] = []  # pieces that wait to be mixed together
        self._waiting = 0  # samples of a channel in them
        self._stream = soxr.ResampleStream(rate, into.rate, 1, dtype="float32")
        # Where each window begins and ends, in samples of this stretch
        self._from, self._to = (
            np.round((np.clip(edge, 0, into.total) / into.rate - begin) * rate).astype(np.int64)
            for edge in (into.starts, into.starts + into.samples)
        )
        self._blocks: list[tuple[int, NDArray[np.float32]]] = []  # number of the first sample, and (channels, n)
        self._power = np.zeros((len(into.starts), channels + 1))  # of the channels in each window, and of their mix
        self._over = 0  # windows that have ended
        self._alone: set[int] = set()  # windows that hold only the loudest channel

    @property
    def end(self) -> float:
        return self.begin + self.taken / self.rate

    def continues(self, rate: int, names: Sequence[str], channels: int) -> bool:
        return (rate, tuple(names), channels) == (self.rate, self.names, len(self.weights))

    def add(self, piece: Sequence[NDArray[np.float32]]) -> None:
        self._held.append(piece)
        self._waiting += len(piece[0])
        self.taken += len(piece[0])
        if self._waiting >= HELD:
            self._mix()

    def finish(self) -> None:
        self._mix()
        self._give(self._stream.resample_chunk(np.zeros(0, np.float32), last=True))
        self._settle(None)

    def _mix(self) -> None:
        if not self._held:
            return
        samples = clean(np.stack([np.concatenate(channel) for channel in zip(*self._held, strict=True)]))
        self._held, self._waiting = [], 0
        mono = mix(samples, self.weights)
        if len(samples) > 1:
            first = self.taken - len(mono)
            self._measure(first, samples, mono)
            self._blocks.append((first, samples))
        self._give(self._stream.resample_chunk(mono))
        self._settle(self.taken)

    def _give(self, piece: NDArray[np.float32]) -> None:
        rows = [row for row in range(len(self._from)) if row not in self._alone]
        self.into.place(round(self.begin * self.into.rate) + self._given, piece, rows)
        self._given += len(piece)

    def _measure(self, first: int, samples: NDArray[np.float32], mono: NDArray[np.float32]) -> None:
        """Adds the power of a block to that of the windows. Windows overlap, so the block is cut at all their ends and summed once."""
        begins, ends = (np.clip(edge - first, 0, len(mono)) for edge in (self._from, self._to))
        cuts = np.unique(np.concatenate([begins, ends]))
        sums = np.zeros((len(cuts), len(samples) + 1))
        for number, (a, b) in enumerate(pairwise(cuts.tolist()), 1):
            part = samples[:, a:b]
            sums[number, :-1] = np.einsum("ci,ci->c", part, part)
            sums[number, -1] = np.einsum("i,i->", mono[a:b], mono[a:b])
        sums = sums.cumsum(axis=0)
        self._power += sums[np.searchsorted(cuts, ends)] - sums[np.searchsorted(cuts, begins)]

    def _settle(self, until: int | None) -> None:
        """Decides the windows that have ended by sample `until` (None: all), and drops blocks that no later window needs."""
        while self._over < len(self._to) and (until is None or self._to[self._over] <= until):
            row, power, mixed = self._over, self._power[self._over, :-1], self._power[self._over, -1]
            heard = np.where(self.weights > 0, power, 0.0)
            if mixed < CANCELS * np.sum(self.weights**2 * power):
                self._alone.add(row)
                self._replace(row, int(heard.argmax()))
                mixed = heard.max()
            self.into.loudest[row] += heard.max()
            self.into.mixed[row] += mixed
            self._over += 1
        needed = self._from[self._over] - self._margin if self._over < len(self._from) else self.taken
        self._blocks = [(first, block) for first, block in self._blocks if first + block.shape[1] > needed]

    @property
    def _margin(self) -> int:
        """Samples around a window that its resampling depends on."""
        return round(WARM_UP * self.rate)

    def _replace(self, row: int, channel: int) -> None:
        """Puts one channel into a window in place of the mix."""
        low, high = self._from[row] - self._margin, self._to[row] + self._margin
        kept = [
            (first, block[channel]) for first, block in self._blocks if first < high and first + block.shape[1] > low
        ]
        first = kept[0][0]
        begin = max(0, low - first)
        alone = np.concatenate([samples for _, samples in kept])[begin : high - first]
        at = self.begin + (first + begin) / self.rate
        self.into.place(round(at * self.into.rate), soxr.resample(alone, self.rate, self.into.rate), [row])
