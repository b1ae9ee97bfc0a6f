"""Sound through the ffmpeg program: channels as the file has them, with exact times, into the windows.

The program mixes to one number of channels, and its mix differs from `gaid.media.mixing`. So where a track changes its channels
on the way, it is read once per layout, and of each reading only the pieces that had this layout are used.
"""

import re
from typing import Any

import numpy as np

from gaid.media.ffmpeg_file import FFmpegFile, Filters, Probed
from gaid.media.pyav import SEEK_FROM, SEEK_MARGIN
from gaid.media.pyav_sound import name_channels
from gaid.media.sound import Sound, SoundWindows

SAMPLES = re.compile(rb" nb_samples: *(\d+)")
LAYOUT = re.compile(rb" channels: *(\d+) chlayout: *(.+?) rate: *\d+ ")


class Sounds:
    """The windows of a clip that begins at `start` s on the file's clock."""

    def __init__(self, file: FFmpegFile, probed: Probed, windows: SoundWindows, start: float, duration: float) -> None:
        assert probed.audio is not None
        self.file, self.probed, self.stream, self.windows = file, probed, probed.audio, windows
        self.start, self.end = start, start + duration
        self.rate = int(self.stream.get("sample_rate", 0))
        self._layouts: dict[str, int] = {}  # layouts that have occurred, and their channels
        self._got = 0  # pieces

    def decode(self) -> Sound:
        """The windows; state "failed" where fewer than half of the packets in the clip became sound."""
        channels = int(self.stream.get("channels", 0))
        if not (channels and self.rate and self.stream.get("codec_name")):
            return self.windows.nothing("failed")
        late = self.start - SEEK_MARGIN if self.start - self.probed.sound_start > SEEK_FROM else None
        # In some containers a seek ends past the goal: then all is read from the beginning. So is a file whose clock was reset.
        for seek in (late, None) if late is not None and self.probed.clock is None else (None,):
            self._layouts = {str(self.stream.get("channel_layout") or f"{channels} channels"): channels}
            done: set[str] = set()
            while left := [layout for layout in self._layouts if layout not in done]:
                self._read(left[0], seek)
                done.add(left[0])
            if self._got:
                break
        self.file.deadline.check(self.file.name)
        packets = self.probed.sound_packets
        if 2 * self._got < int(((packets >= self.start) & (packets < self.end)).sum()):
            return self.windows.nothing("failed")
        return self.windows.finish()

    def _read(self, layout: str, seek: float | None) -> None:
        """Adds to the windows the pieces of this layout."""
        channels, names = self._layouts[layout], name_channels(layout)
        filters = self._filters(layout)
        shown = f"[Parsed_ashowinfo_{len(filters) - 3} ".encode()  # the one before channels are mixed
        # The program names a layout "N channels" where their places are not known.
        output: dict[str, Any] = {"format": "f32le", "ar": self.rate}
        if "channels" in layout:
            output["ac"] = channels
        moved = self.probed.clock.follower(self.stream["index"]) if self.probed.clock is not None else None
        now, first = layout, True
        with self.file.run(self.stream["index"], seek, filters, output) as running:
            for _, time, line in running.pieces(1 / self.rate):
                if line.startswith(shown):
                    if found := LAYOUT.search(line):
                        now = found[2].decode("ascii", "replace")
                        self._layouts.setdefault(now, int(found[1]))
                    continue
                if moved is not None:
                    time = moved(time)
                if seek is not None and first and time > self.start and np.any(self.probed.sound_packets <= self.start):
                    return  # sought past the clip's start
                first = False
                samples = SAMPLES.search(line)
                size = int(samples[1]) * channels * 4 if samples else 0
                data = running.read(size)
                if not samples or len(data) < size:
                    return
                if now == layout:
                    self._got += 1
                    rows = np.frombuffer(data, np.float32).reshape(-1, channels).T
                    self.windows.add(time - self.start, self.rate, list(rows), names)

    def _filters(self, layout: str) -> Filters:
        part = {"start": f"{self.start - SEEK_MARGIN / 2:.6f}", "end": f"{self.end + SEEK_MARGIN / 2:.6f}"}
        form: dict[str, Any] = {"sample_fmts": "flt", "sample_rates": self.rate}
        if "channels" not in layout:
            form["channel_layouts"] = layout
        return [
            ("asettb", (f"1/{self.rate}",), {}),
            *([("atrim", (), part)] if self.probed.clock is None else []),
            ("ashowinfo", (), {}),
            ("aformat", (), form),
            ("ashowinfo", (), {}),
        ]
