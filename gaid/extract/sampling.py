"""Which pictures of a video are wanted, and from which packet on it must be decoded to get them. Arithmetic only.

Times inside this module are in ticks: units of the stream's time base, as the packets carry them.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gaid.errors import MediaError

UNKNOWN_RATE = 25.0  # pictures/s, where neither packets nor headers tell how long the last picture stays


@dataclass
class PacketIndex:
    """Timestamps of a video's packets in the order of decoding, as they are read and before anything is decoded."""

    tick: float  # seconds
    rate: float | None  # pictures/s that the header states
    pts: list[int | None] = field(default_factory=list)
    dts: list[int | None] = field(default_factory=list)
    duration: list[int] = field(default_factory=list)
    key: list[bool] = field(default_factory=list)
    hidden: list[bool] = field(default_factory=list)  # decoded, but cut away by an edit list

    def add(self, pts: int | None, dts: int | None, duration: int | None, key: bool, hidden: bool) -> None:
        self.pts.append(pts)
        self.dts.append(dts)
        self.duration.append(duration or 0)
        self.key.append(key)
        self.hidden.append(hidden)

    def __len__(self) -> int:
        return len(self.pts)


@dataclass(frozen=True)
class Timeline:
    """When each picture comes on screen, and the key frames from which decoding can begin.

    Where packets carry no times of display (`counted`), pictures are known by their number instead: `shown` still tells
    when, `labels` are 0, 1, 2 ..., and decoding begins at the first packet.
    """

    tick: float
    shown: NDArray[np.int64]  # ascending, in ticks
    labels: NDArray[np.int64]  # what the decoder will call these pictures: pts, or their number
    end: int
    key_ordinals: NDArray[np.int64]
    key_labels: NDArray[np.int64]
    counted: bool


def build_timeline(index: PacketIndex) -> Timeline:
    """The timeline of an index of at least one packet."""
    visible = [i for i in range(len(index)) if not index.hidden[i]] or list(range(len(index)))
    counted = any(index.pts[i] is None for i in visible)
    if counted:
        times = [t for i in visible if (t := index.dts[i]) is not None]
        if len(times) < len(visible):
            usual = _usual_duration(index, np.zeros(0, np.int64))
            times = [round(i * usual) for i in range(len(visible))]
        shown = np.sort(np.array(times, np.int64))
        last = 0
    else:
        stamps = np.array([index.pts[i] for i in visible], np.int64)
        shown = np.unique(stamps)
        last = index.duration[visible[int(np.argmax(stamps))]]
    if last <= 0:
        last = round(_usual_duration(index, shown))
    keys = [] if counted else [i for i in range(len(index)) if index.key[i] and index.pts[i] is not None]
    return Timeline(
        tick=index.tick,
        shown=shown,
        labels=np.arange(len(shown), dtype=np.int64) if counted else shown,
        end=int(shown[-1]) + max(1, last),
        key_ordinals=np.array(keys, np.int64),
        key_labels=np.array([index.pts[i] for i in keys], np.int64),
        counted=counted,
    )


def _usual_duration(index: PacketIndex, shown: NDArray[np.int64]) -> float:
    """How long a picture stays, in ticks: from the times of the pictures, else from packets or the header."""
    known = np.diff(shown) if len(shown) > 1 else np.array([d for d in index.duration if d > 0])
    return float(np.median(known)) if len(known) else 1.0 / (index.rate or UNKNOWN_RATE) / index.tick


@dataclass(frozen=True)
class Plan:
    """The pictures of a clip: for each of F frames its moment, its picture's label and time, and its key frame's packet."""

    duration: float  # s
    moments: NDArray[np.float64]  # (F,) s from the clip's start
    labels: NDArray[np.int64]  # (F,) ascending
    frame_times: NDArray[np.float64]  # (F,) s from the clip's start
    key_ordinals: NDArray[np.int64]  # (F,) packet at which decoding for the frame may begin
    start: int  # ticks: the clip's start on the stream's clock
    short: bool


def middles(duration: float, frames: int) -> NDArray[np.float64]:
    """The middles of `frames` equal parts of `duration`."""
    return (np.arange(frames, dtype=np.float64) + 0.5) * (duration / frames)


def plan_frames(
    timeline: Timeline, frames: int, start: float | None, end: float | None, origin: int, name: str
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
    count = high - low
    if count == 1 or count >= frames:
        moments = middles(duration, frames)
        rows = np.searchsorted(timeline.shown, first + moments / tick, "right") - 1
        rows = np.clip(rows, low, high - 1)
    else:
        rows = np.minimum(low + np.arange(frames), high - 1)
        on = np.maximum(timeline.shown[rows], first)
        following = np.append(timeline.shown, timeline.end)[rows + 1]
        moments = ((on + np.minimum(following, last)).astype(np.float64) / 2 - first) * tick
    labels = timeline.labels[rows]
    return Plan(
        duration=duration,
        moments=moments,
        labels=labels,
        frame_times=(timeline.shown[rows] - first).astype(np.float64) * tick,
        key_ordinals=_keys_before(timeline, labels),
        start=first,
        short=count < frames,
    )


def _keys_before(timeline: Timeline, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each picture the last key frame's packet that is shown no later; the first packet where there is none."""
    found = np.zeros(len(labels), np.int64)
    for i, label in enumerate(labels):
        earlier = timeline.key_ordinals[timeline.key_labels <= label]
        found[i] = earlier.max() if len(earlier) else 0
    return np.maximum.accumulate(found)
