"""Pictures through the ffmpeg program: those of the plan, by their time where that is sure, else by their number.

Where packets do not name pictures for certain (times are missing, two fields are one picture, the clock was reset), the
program first lists the pictures that it decodes, and the planned ones are then asked for by their place in that list.
"""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import MediaError
from gaid.media.clip import ClipRequest
from gaid.media.clock import Clock
from gaid.media.ffmpeg_file import FFmpegFile, Filters, Running
from gaid.media.hdr import Transfer
from gaid.media.limits import check_size, encrypted
from gaid.media.picture import RGB, Display, Matrix
from gaid.media.pyav import SEEK_FROM, SEEK_MARGIN
from gaid.media.sampling import Plan, Timeline

SIZE = re.compile(rb" s: *(\d+)x(\d+) ")
# The program's names of the transfer functions of high dynamic range
TRANSFERS: dict[str, Transfer] = {"smpte2084": "pq", "arib-std-b67": "hlg"}

# An even rate in place of the true times, so that no picture is doubled or dropped: the option for that differs by version.
EVENLY: Filters = [("settb", ("1/25",), {}), ("setpts", ("N",), {})]


class Pictures:
    """The planned pictures of a file; `replaced` counts the frames that show another picture."""

    def __init__(
        self,
        file: FFmpegFile,
        stream: dict[str, Any],
        timeline: Timeline,
        plan: Plan,
        request: ClipRequest,
        clock: Clock | None,
    ) -> None:
        self.file, self.stream, self.timeline, self.plan, self.request = file, stream, timeline, plan, request
        self.clock = clock  # of a file whose clock was reset
        matrix = _matrix(stream)
        self.display = _display(stream, matrix) if request.pixels == "square" else Display(matrix)
        self.wanted: NDArray[np.int64] = np.unique(plan.labels)
        self.replaced = 0
        self.decoded = 0

    def frames(self) -> NDArray[np.uint8]:
        """The frames (F, H, W, 3)."""
        timeline = self.timeline
        got: dict[int, RGB] = {}
        if timeline.counted:
            got = self._by_number(dict(zip(self.wanted.tolist(), self.wanted.tolist(), strict=True)))
        elif not timeline.filled and self.clock is None:
            got = self._by_time()
        self.file.deadline.check(self.file.name)
        replaced: set[int] = set()
        if len(got) < len(self.wanted) and not timeline.counted:
            numbers, replaced = self._listed()
            got = self._by_number(numbers)
        self.file.deadline.check(self.file.name)
        if 2 * (len(got) - len(replaced)) < len(self.wanted) and self.file.is_encrypted(self.stream["index"]):
            raise encrypted(self.file.name)
        if not got:
            raise MediaError("unreadable", f"{self.file.name}: none of its pictures could be decoded")
        have = np.array(sorted(got))
        nearest = have[np.maximum(np.searchsorted(have, self.plan.labels, "right") - 1, 0)]
        lost = (nearest != self.plan.labels) | np.isin(self.plan.labels, list(replaced))
        self.replaced = int(lost.sum())
        self.decoded = max(self.decoded, len(got))
        return np.stack([got[int(label)] for label in nearest])

    def _by_time(self) -> dict[int, RGB]:
        tick, half = self.timeline.tick, 0.5 * self.timeline.tick
        terms = [f"between(t,{x * tick - half:.9f},{x * tick + half:.9f})" for x in self.wanted]
        late = self.plan.start * tick - SEEK_MARGIN if (self.request.start or 0.0) > SEEK_FROM else None
        got: dict[int, RGB] = {}
        # In some containers a seek ends past the goal: then all is read from the beginning.
        for seek in (late, None) if late is not None else (None,):
            first = 0 if seek is None else int(self.plan.begin_at(self.timeline.keys)[0])
            self.decoded = int((self.timeline.labels <= self.wanted[-1]).sum()) - first
            with self.file.run(self.stream["index"], seek, self._filters(terms), self._output()) as running:
                for _, time, line in running.pieces():
                    picture = self._read(running, line)
                    if picture is None:
                        break
                    label = int(self.wanted[np.abs(self.wanted * tick - time).argmin()])
                    got.setdefault(label, picture)  # the first of those of one time
                    if label == self.wanted[-1]:
                        break
            if len(got) == len(self.wanted):
                break
        return got

    def _by_number(self, numbers: dict[int, int]) -> dict[int, RGB]:
        """The pictures by label; `numbers` gives for each label its place among all pictures that are decoded."""
        if not numbers:
            return {}
        places = sorted(set(numbers.values()))
        self.decoded = places[-1] + 1
        at: dict[int, RGB] = {}
        terms = [f"eq(n,{place})" for place in places]
        with self.file.run(self.stream["index"], None, self._filters(terms), self._output(len(places))) as running:
            for number, _, line in running.pieces():
                picture = self._read(running, line)
                if picture is None:
                    break
                at[places[number]] = picture
        return {label: at[place] for label, place in numbers.items() if place in at}

    def _listed(self) -> tuple[dict[int, int], set[int]]:
        """For each planned label its place among all pictures that are decoded, and the labels whose own picture is not
        among them."""
        timeline = self.timeline
        moved = None if self.clock is None else self.clock.follower(self.stream["index"])
        listed: list[float] = []
        fields: list[bool] = []
        output = {"format": "null", "r": 25}
        with self.file.run(self.stream["index"], None, [("showinfo", (), {}), *EVENLY], output) as running:
            for _, time, line in running.pieces():
                listed.append((time if moved is None else moved(time)) / timeline.tick)
                fields.append(b" i:P" not in line)
        if not listed:
            return {}, set()
        # The program guesses missing times. Where as many pictures came as the timeline has, their order is surer.
        by_order = timeline.filled and len(listed) == len(timeline.shown)
        times = timeline.shown if by_order else np.maximum.accumulate(np.array(listed))
        if timeline.filled:
            times = times - times[0] + timeline.shown[0]
        step = float(np.median(np.diff(timeline.shown))) if len(timeline.shown) > 1 else 1.0
        near = 0.5 * step if timeline.filled or self.clock is not None else 0.5
        places = np.maximum(np.searchsorted(times, self.wanted + near, "right") - 1, 0)
        numbers, replaced = {}, set()
        for label, place in zip(self.wanted.tolist(), places.tolist(), strict=True):
            numbers[label] = place
            field = step if fields[place] and self.stream.get("codec_name") == "h264" else 0.0
            if abs(float(times[place]) - label) > near + field:
                replaced.add(label)
        return numbers, replaced

    def _filters(self, terms: list[str]) -> Filters:
        return [
            ("select", ("+".join(terms),), {}),
            ("scale", (), {"w": "iw", "h": "ih", "eval": "frame", "flags": "bilinear"}),  # each in its own size
            ("format", (self.display.format,), {}),
            ("showinfo", (), {}),
            *EVENLY,
        ]

    def _output(self, frames: int | None = None) -> dict[str, Any]:
        limit = {} if frames is None else {"frames:v": frames}
        return {"format": "rawvideo", "pix_fmt": self.display.format, "r": 25, **limit}

    def _read(self, running: Running, line: bytes) -> RGB | None:
        """The next picture, of the size in `line`, fitted; None where the program ended before it."""
        found = SIZE.search(line)
        if found is None:
            return None
        width, height = int(found[1]), int(found[2])
        check_size(self.file.name, width, height, self.file.limits)
        count = width * height * 3
        data = running.read(count * np.dtype(self.display.dtype).itemsize)
        if len(data) < count * np.dtype(self.display.dtype).itemsize:
            return None
        picture = np.frombuffer(data, self.display.dtype).reshape(height, width, 3)
        return self.display.show(picture, self.request.frame_spec)


def _display(stream: dict[str, Any], matrix: Matrix) -> Display:
    """How the pictures of the file are to be shown, turned by `matrix`."""
    wide, _, high = str(stream.get("sample_aspect_ratio", "")).partition(":")
    known = wide.isdigit() and high.isdigit() and int(wide) and int(high)
    return Display(matrix, int(wide) / int(high) if known else 1.0, TRANSFERS.get(str(stream.get("color_transfer"))))


def _matrix(stream: dict[str, Any]) -> Matrix:
    for data in stream.get("side_data_list", []):
        numbers = [
            int(n) for line in data.get("displaymatrix", "").splitlines() for n in line.partition(":")[2].split()
        ]
        if len(numbers) >= 5 and (numbers[0] or numbers[1]):
            return numbers[0], numbers[1], numbers[3], numbers[4]
    return 1, 0, 0, 1
