"""Which pictures a clip consists of, and from which packet on a video must be decoded to get them. Arithmetic only.

Which moments a clip's F frames are at (`FrameSampling`), and which picture each shows:
* `even`: the middles of F equal parts, and the picture that is on screen then. A clip of fewer than F pictures has each
  once, at the middle of its time on screen, unless one of them stays long.
* `per-second`: 0, 1, 2, ... s, as CLIP4Clip's and AVIGATE's published code reads videos. Of more than F seconds an even
  choice that has both ends; of fewer, the last one repeats.
* `keyframes`: the moments of `even`, each with the key frame nearest to it. A clip without a key frame has the pictures of
  `even`.

Times inside this module are in ticks: units of the stream's time base, as the packets carry them.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gaid.errors import MediaError
from gaid.media.clip import FrameSampling, Remark

UNKNOWN_RATE = 25.0  # pictures/s, where neither packets nor headers say how long the last picture stays
OVER = 16  # packets over which the order of decoding hardly matters
SAME_END = 0.5  # s: tracks that end within this end together, as codecs pad and recorders cut
ROUNDING = 1e-6  # of a tick, or s: what sums of times are off by
STILL = 1.0  # s: where a picture stays longer, a clip of few pictures is one of still pictures, not a short one


@dataclass
class PacketIndex:
    """Times of the packets of a video in the order of decoding, as they are read and before anything is decoded."""

    tick: float  # seconds
    rate: float | None  # pictures/s that the header states
    pts: list[int | None] = field(default_factory=list)
    dts: list[int | None] = field(default_factory=list)
    duration: list[int] = field(default_factory=list)
    key: list[bool] = field(default_factory=list)
    hidden: list[bool] = field(default_factory=list)  # decoded, but hidden by an edit list

    def add(self, pts: int | None, dts: int | None, duration: int | None, key: bool, hidden: bool) -> None:
        self.pts.append(pts)
        self.dts.append(dts)
        self.duration.append(duration or 0)
        self.key.append(key)
        self.hidden.append(hidden)

    def move(self, moves: NDArray[np.int64]) -> None:
        """Moves the times of each packet by its number of ticks."""
        self.pts = [None if t is None else t + move for t, move in zip(self.pts, moves.tolist(), strict=True)]
        self.dts = [None if t is None else t + move for t, move in zip(self.dts, moves.tolist(), strict=True)]

    def __len__(self) -> int:
        return len(self.pts)


@dataclass(frozen=True)
class Keys:
    """Packets at which decoding can begin: pictures decoded from packet `ordinals` are right from the label `since` on."""

    ordinals: NDArray[np.int64]
    since: NDArray[np.int64]  # labels

    def later(self, lag: int) -> "Keys":
        """The same packets, whose pictures are right only from `lag` ticks later on."""
        return Keys(self.ordinals, self.since + lag)

    def only(self, ordinals: Iterable[int]) -> "Keys":
        """Those of these packets."""
        kept = np.isin(self.ordinals, list(ordinals))
        return Keys(self.ordinals[kept], self.since[kept])


NO_KEYS = Keys(np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True)
class Timeline:
    """When each picture comes on screen, and the key frames from which decoding can begin.

    `filled`: some packets carry no time, and `shown` was filled in between those that do. Where no packet carries a time of
    display (`counted`), pictures are known by their number instead: `shown` still holds times, `labels` are 0, 1, 2 ..., and
    decoding begins at the first packet.
    """

    tick: float
    shown: NDArray[np.int64]  # ascending, in ticks
    labels: NDArray[np.int64]  # what the decoder will call these pictures: pts, or their number
    packets: NDArray[np.int64]  # the ordinal of each picture's packet; of the last packet where it is not known
    end: int
    keys: Keys  # as the container flags them
    counted: bool
    filled: bool

    def hold(self, until: float) -> "Timeline":
        """The timeline whose last picture stays until `until` s, where the sound lasts longer than the pictures by
        SAME_END."""
        end = round(until / self.tick)
        return replace(self, end=end) if (end - self.end) * self.tick > SAME_END else self


def build_timeline(index: PacketIndex, delay: int = 0) -> Timeline:
    """The timeline of an index of at least one packet; `delay`: packets that the decoder takes before its first picture."""
    visible = [i for i in range(len(index)) if not index.hidden[i]] or list(range(len(index)))
    known = [i for i in visible if index.pts[i] is not None]
    stamps = np.array([index.pts[i] for i in known], np.int64)
    last_packet = np.int64(len(index) - 1)
    if not known:
        shown = _shown_in_order(index, visible, delay)
        packets = np.full(len(shown), last_packet)
        end = int(shown[-1]) + round(_usual(index, shown))
    elif len(known) == len(visible):
        shown, first = np.unique(stamps, return_index=True)
        packets = np.array(known, np.int64)[first]
        stays = index.duration[known[int(np.argmax(stamps))]]
        end = int(shown[-1]) + (stays if stays > 0 else round(_usual(index, shown)))
    else:
        step = _step(index, known, stamps)
        shown = _fill(stamps, step, visible, known, delay)
        packets = np.full(len(shown), last_packet)
        end = int(shown[-1]) + round(step)
    keys = [i for i in range(len(index)) if index.key[i] and index.pts[i] is not None]
    counted = not known
    return Timeline(
        tick=index.tick,
        shown=shown,
        labels=np.arange(len(shown), dtype=np.int64) if counted else shown,
        packets=packets,
        end=end,
        keys=NO_KEYS if counted else Keys(np.array(keys, np.int64), np.array([index.pts[i] for i in keys], np.int64)),
        counted=counted,
        filled=0 < len(known) < len(visible),
    )


def _shown_in_order(index: PacketIndex, visible: list[int], delay: int) -> NDArray[np.int64]:
    """When pictures without times of display come on screen: one after the other, at the times at which they are decoded.

    The decoder gives a picture after `delay` further packets. Where packets carry no time of decoding either, each picture
    stays for the usual time. The first one comes on screen where the file begins.
    """
    due = np.sort(np.array([t for i in visible if (t := index.dts[i]) is not None], np.int64))
    usual = _usual(index, due)
    if len(due) < len(visible):
        return np.rint(np.arange(len(visible)) * usual).astype(np.int64)
    delay = min(delay, len(due) - 1)
    late = np.concatenate([due[delay:], due[-1] + np.rint(usual * np.arange(1, delay + 1)).astype(np.int64)])
    return late - (late[0] - due[0])


def _fill(
    stamps: NDArray[np.int64], step: float, visible: list[int], known: list[int], delay: int
) -> NDArray[np.int64]:
    """The known times, and between them as many times as packets have none, `step` ticks apart.

    Packets before the first or after the last known time continue at that step.
    """
    times = np.unique(stamps)
    missing = len(visible) - len(known)
    before = visible.index(known[0])
    room = np.maximum(np.rint(np.diff(times) / step).astype(np.int64) - 1, 0)
    left = max(0, missing - before)
    order = np.argsort(room, kind="stable")  # narrow gaps first: a wide one may be a pause without pictures
    room[order] = np.clip(left - (np.cumsum(room[order]) - room[order]), 0, room[order])
    after = max(0, min(left - int(room.sum()), len(visible) - 1 - visible.index(known[-1]) + delay))
    parts = [times[0] - np.rint(step * np.arange(before, 0, -1)).astype(np.int64)]
    for begin, end, count in zip(times[:-1], times[1:], room, strict=True):
        parts.append(begin + np.rint((end - begin) * np.arange(count + 1) / (count + 1)).astype(np.int64))
    parts += [times[-1:], times[-1] + np.rint(step * np.arange(1, after + 1)).astype(np.int64)]
    return np.unique(np.concatenate(parts))


def _step(index: PacketIndex, known: list[int], stamps: NDArray[np.int64]) -> float:
    """Ticks from the picture of one packet to the next where times are missing.

    The durations of packets, or the rate of the header, are exact; they are taken if they are near the step that known times
    and the packets between them give, since some files count in a unit of their own.
    """
    places, times = np.array(known), np.sort(stamps)
    after = np.searchsorted(places, places + OVER)
    pairs = [(i, int(j)) for i, j in enumerate(after) if j < len(places)] or [(0, len(places) - 1)]
    slopes = [(times[j] - times[i]) / (places[j] - places[i]) for i, j in pairs if j > i]
    near = float(np.median(slopes)) if slopes else 0.0
    said = [
        float(np.median([d for d in index.duration if d > 0] or [0])),
        1.0 / (index.rate or UNKNOWN_RATE) / index.tick,
    ]
    if near <= 0.0:
        return max(1.0, said[0] or said[1])
    said.append(float(np.min(np.diff(np.unique(stamps)))))
    return max(1.0, next((step for step in said if 0.6 < step / near < 1.7), near))


def _usual(index: PacketIndex, shown: NDArray[np.int64]) -> float:
    """How long a picture usually stays, in ticks: from the times of the pictures, else from packets or the header."""
    known = np.diff(shown) if len(shown) > 1 else np.array([d for d in index.duration if d > 0])
    return max(1.0, float(np.median(known)) if len(known) else 1.0 / (index.rate or UNKNOWN_RATE) / index.tick)


@dataclass(frozen=True)
class Plan:
    """The pictures of a clip: for each of F frames its moment, and the label, time and packet of its picture."""

    duration: float  # s
    moments: NDArray[np.float64]  # (F,) s from the clip's start
    labels: NDArray[np.int64]  # (F,) ascending
    packets: NDArray[np.int64]  # (F,) ordinal of the picture's own packet
    frame_times: NDArray[np.float64]  # (F,) s from the clip's start
    start: int  # ticks: the start of the clip on the clock of the stream
    short: bool
    longest: float  # s: the longest time that one picture stays

    def begin_at(self, keys: Keys) -> NDArray[np.int64]:
        """(F,) packets at which decoding for each frame may begin: the last key that leads to it, else the first packet.

        A key whose packet comes after that of the picture does not lead to it (the hidden beginning of a later edit is one).
        """
        found = np.zeros(len(self.labels), np.int64)
        for i, (label, own) in enumerate(zip(self.labels, self.packets, strict=True)):
            leading = keys.ordinals[(keys.since <= label) & (keys.ordinals <= own)]
            found[i] = leading.max() if len(leading) else 0
        return np.maximum.accumulate(found)

    def remarks(self, replaced: int) -> list[Remark]:
        """Remarks on these pictures for the user; `replaced` of them could not be decoded."""
        found: list[Remark] = []
        frames = len(self.labels)
        if replaced:
            found.append(
                ("replaced", f"{replaced} of {frames} pictures could not be decoded; the nearest stand for them")
            )
        if frames > 1 and self.labels[0] == self.labels[-1]:
            found.append(("one picture", f"all {frames} frames are one picture, for {self.duration:.2f} s"))
        elif self.longest > self.duration / 2:
            said = f"one picture stays for {self.longest:.2f} s of {self.duration:.2f} s"
            found.append(("long gap", said))
        return found


def middles(duration: float, frames: int) -> NDArray[np.float64]:
    """The middles of `frames` equal parts of `duration`."""
    return (np.arange(frames, dtype=np.float64) + 0.5) * (duration / frames)


def choose_seconds(duration: float, frames: int, closed: bool = False) -> tuple[NDArray[np.float64], bool]:
    """The moments of `per-second`, and whether there are fewer than `frames`. `closed`: the video continues after the clip,
    whose last moment may then be its end, as in the published code."""
    count = math.floor(duration + ROUNDING) + 1 if closed else max(1, math.ceil(duration - ROUNDING))
    if count >= frames:
        return np.floor(np.linspace(0, count - 1, frames)), False
    return np.minimum(np.arange(frames, dtype=np.float64), count - 1), True


def frame_moments(sampling: FrameSampling, duration: float, frames: int) -> NDArray[np.float64]:
    """The moments of the frames of a picture that stays for `duration` s."""
    return choose_seconds(duration, frames)[0] if sampling == "per-second" else middles(duration, frames)


def frame_step(sampling: FrameSampling, duration: float, frames: int) -> float:
    """Seconds from one frame's moment to that of the next: how much sound belongs to a frame."""
    return max(1.0, duration / frames) if sampling == "per-second" else duration / frames


def plan_frames(
    timeline: Timeline,
    frames: int,
    start: float | None,
    end: float | None,
    origin: int,
    name: str,
    sampling: FrameSampling = "even",
) -> Plan:
    """Chooses the F pictures of the clip [start, end] (s from `origin`, in ticks); MediaError "empty" if none is there."""
    tick = timeline.tick
    first = int(timeline.shown[0]) if start is None else origin + round(max(0.0, start) / tick)
    last = timeline.end if end is None else min(timeline.end, origin + round(end / tick))
    if last <= first:
        at = (timeline.end - origin) * tick
        asked = f"from {start or 0:g} s" + ("" if end is None else f" to {end:g} s")
        raise MediaError("empty", f"{name}: no picture {asked}; the video ends at {at:.3f} s")
    duration = (last - first) * tick
    low = max(0, int(np.searchsorted(timeline.shown, first, "right")) - 1)
    high = max(low + 1, int(np.searchsorted(timeline.shown, last, "left")))
    on = np.maximum(timeline.shown[low:high], first)
    stays = np.diff(np.append(on, last)).astype(np.float64) * tick
    longest = float(stays.max())
    short = high - low < frames
    if sampling == "per-second":
        moments, fewer = choose_seconds(duration, frames, closed=last < timeline.end)
        rows = np.searchsorted(timeline.shown, first + np.floor(moments / tick + ROUNDING), "right") - 1
        rows, short = np.clip(rows, low, len(timeline.shown) - 1), short or fewer
    elif high - low == 1 or not short or longest > STILL:
        moments = middles(duration, frames)
        rows = np.clip(np.searchsorted(timeline.shown, first + moments / tick, "right") - 1, low, high - 1)
    else:
        rows = np.minimum(low + np.arange(frames), high - 1)
        moments = ((on - first) * tick + stays / 2)[rows - low]
    if sampling == "keyframes":
        rows = _nearest_keys(timeline, low, high, first + moments / tick, rows)
    return Plan(
        duration=duration,
        moments=moments,
        labels=timeline.labels[rows],
        packets=timeline.packets[rows],
        frame_times=(timeline.shown[rows] - first).astype(np.float64) * tick,
        start=first,
        short=short,
        longest=longest,
    )


def _nearest_keys(
    timeline: Timeline, low: int, high: int, moments: NDArray[np.float64], otherwise: NDArray[np.int64]
) -> NDArray[np.int64]:
    """For each moment (in ticks) the key frame nearest to it of the pictures `low` to `high`, the earlier of two; where there
    is none, `otherwise`."""
    keys = low + np.flatnonzero(np.isin(timeline.labels[low:high], timeline.keys.since))
    if not len(keys):
        return otherwise
    return keys[np.abs(timeline.shown[keys] - moments[:, None]).argmin(axis=1)]
