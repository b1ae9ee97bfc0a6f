"""The clock of a transport stream, which may be reset in the middle of a file: joined recordings play on across the break.

This concerns transport streams only. Their times mean nothing across a break, while a gap in another container is meant.
Packets go in, and by how much each is to be moved comes out; reading and moving packets is left to the decoders.

The file is cut into segments, each on one clock. A packet opens a new segment where its time jumps too far back against its
own stream, or too far forward against all streams. Segment s+1 is then moved so that its first picture comes on screen when
the last picture of segment s leaves it: move(s+1) = move(s) + end(s) - begin(s+1).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BACK = 0.5  # s: a packet that is earlier by more than the one before it in its stream is on another clock
FORWARD = 10.0  # s: and so is one that is later by more than all packets of the segment


@dataclass
class _Piece:
    """The pictures or sounds of one stream on one clock, in ticks."""

    begin: int
    last: int
    end: int
    count: int = 1

    def add(self, at: int, duration: int) -> None:
        self.begin, self.last, self.count = min(self.begin, at), max(self.last, at), self.count + 1
        self.end = max(self.end, at + duration)

    def ends(self) -> int:
        """When it ends. Where no packet has a duration, the last one lasts as long as the others on average."""
        if self.end > self.last or self.count < 2:
            return self.end
        return self.last + round((self.last - self.begin) / (self.count - 1))


@dataclass
class Clock:
    """Follows the packets of a file in their order; times in ticks of the one time base that a transport stream has."""

    tick: float  # s
    lead: int  # the stream that is joined without a gap: the pictures
    _streams: list[int] = field(default_factory=list)  # of each packet
    _segments: list[int] = field(default_factory=list)  # of each packet
    _latest: list[int] = field(default_factory=list)  # time of each segment
    _now: dict[int, tuple[int, int]] = field(default_factory=dict)  # stream: its segment, its latest time
    _pieces: dict[tuple[int, int], _Piece] = field(default_factory=dict)

    @property
    def broken(self) -> bool:
        """Whether the clock was reset so far."""
        return len(self._latest) > 1

    def follow(self, stream: int, pts: int | None, dts: int | None, duration: int | None) -> None:
        """Takes the file's next packet."""
        self._streams.append(stream)
        at = dts if dts is not None else pts
        if at is None:
            self._segments.append(self._now[stream][0] if stream in self._now else 0)
            return
        segment = self._segment(stream, at)
        self._now[stream] = segment, at
        self._latest[segment] = max(self._latest[segment], at)
        self._segments.append(segment)
        if pts is not None:
            piece = self._pieces.setdefault((segment, stream), _Piece(pts, pts, pts, 0))
            piece.add(pts, max(0, duration or 0))

    def _segment(self, stream: int, at: int) -> int:
        if not self._latest:
            self._latest.append(at)
            return 0
        if stream not in self._now:
            return self._nearest(at, 0)
        segment, last = self._now[stream]
        if last - BACK / self.tick <= at <= self._latest[segment] + FORWARD / self.tick:
            return segment
        # Another stream may have reached the new clock first; then this packet joins that segment.
        if segment + 1 < len(self._latest):
            nearest = self._nearest(at, segment + 1)
            if abs(self._latest[nearest] - at) <= FORWARD / self.tick:
                return nearest
        self._latest.append(at)
        return len(self._latest) - 1

    def _nearest(self, at: int, first: int) -> int:
        return min(range(first, len(self._latest)), key=lambda segment: abs(self._latest[segment] - at))

    def moves(self, stream: int | None = None) -> NDArray[np.int64]:
        """Ticks by which each packet (of a stream) is to be moved, so that each segment resumes where the one before it
        ended."""
        moves = np.array(self._of_segments(), np.int64)[self._segments]
        return moves if stream is None else moves[np.array(self._streams) == stream]

    def end(self, stream: int) -> int:
        """When a stream ends, after its packets are moved."""
        moves = self._of_segments()
        return max(
            (piece.ends() + moves[of] for (of, other), piece in self._pieces.items() if other == stream), default=0
        )

    def follower(self, stream: int) -> Callable[[float], float]:
        """Moves the times (s) of what a stream is decoded to, given in order, as its packets are moved."""
        pieces = sorted((segment, piece) for (segment, other), piece in self._pieces.items() if other == stream)
        moves = self._of_segments()
        place, last = 0, -np.inf

        def move(time: float) -> float:
            nonlocal place, last
            at = time / self.tick
            slack = BACK / self.tick
            place += at < last - slack and place + 1 < len(pieces)
            while (
                place + 1 < len(pieces) and not pieces[place][1].begin - slack <= at <= pieces[place][1].ends() + slack
            ):
                place += 1
            last = at
            return (at + (moves[pieces[place][0]] if pieces else 0)) * self.tick

        return move

    def _of_segments(self) -> list[int]:
        # The times of a segment are those of its pictures, or of another stream where it has none.
        pieces = {segment: piece for (segment, _), piece in self._pieces.items()}
        pieces |= {segment: piece for (segment, stream), piece in self._pieces.items() if stream == self.lead}
        moves = [0]
        for segment in range(1, len(self._latest)):
            before, here = pieces.get(segment - 1), pieces.get(segment)
            moves.append(moves[-1] if before is None or here is None else moves[-1] + before.ends() - here.begin)
        return moves
