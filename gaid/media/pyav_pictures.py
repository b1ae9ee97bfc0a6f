"""Pictures through PyAV: decodes the packets that lead to the planned pictures, and converts only these.

Decoding jumps to key frames, and what a container flags as a key frame may not be one. So after a jump the decoder
decides: the first picture from the time of the key on must carry that time and be a key frame, else `KeyIsNone` is
raised and the caller plans again. A planned picture that never comes is replaced by the nearest one, and counted.
"""

from bisect import insort
from collections.abc import Iterable
from contextlib import suppress
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import MediaError
from gaid.media.clip import ClipRequest
from gaid.media.limits import check_size, encrypted
from gaid.media.picture import RGB, Display, Matrix
from gaid.media.pyav_file import DECODE_ERRORS, PyAVFile
from gaid.media.sampling import Plan, Timeline

REORDER = 16  # pictures by which codecs may give a picture late
# Codecs with one picture per packet, in which a picture that no other refers to can be skipped without a trace. VP9's decoder
# does not skip any, and dav1d decides once for a whole file.
LEAVES_OUT = ("h264", "hevc", "mpeg2video", "mpeg4")
# Codecs whose decoder holds pictures back until they are whole: where a refresh takes several pictures, the first that
# comes is right although it is not a key frame.
HOLDS_BACK = ("h264",)


class KeyIsNone(Exception):
    """A jump did not lead to a key frame. `label`: of its packet; `came`: of the first picture from there on, if any."""

    def __init__(self, label: int, came: int | None) -> None:
        super().__init__(label, came)
        self.label, self.came = label, came


class Pictures:
    """Decodes what leads to the planned pictures, and converts only these.

    `begins` (F,) are the packets at which decoding for each frame may begin; `sought`: packet 0 is not the first of the file,
    so that beginning there is a jump as well.
    """

    def __init__(
        self,
        file: PyAVFile,
        timeline: Timeline,
        plan: Plan,
        begins: NDArray[np.int64],
        request: ClipRequest,
        sought: bool,
    ) -> None:
        self.file, self.timeline, self.plan = file, timeline, plan
        self.spec, self.pixels = request.frame_spec, request.pixels
        self.begins, self.counted = begins, timeline.counted
        self.context = file.video.codec_context
        self.leaves_out = self.context.name in LEAVES_OUT and not (timeline.counted or timeline.filled)
        self.found: list[RGB] = []
        self.decoded = 0
        self.replaced = 0
        self._good = self._bad = 0  # packets that could be decoded, and that could not
        self._encrypted = False
        self._fed = -1  # last packet that was decoded
        self._jumped = sought
        self._trial: int | None = None  # the label of the key that was jumped to, until the decoder has confirmed it
        self._label = int(timeline.labels[0]) - 1  # of the last picture that the decoder gave
        self._best: Any = None  # the latest picture that is not after the wanted one, and its label
        self._best_label = 0
        self._ahead: list[tuple[int, int, Any]] = []  # decoded pictures, from the wanted one on, in order of display
        self._last: RGB | None = None
        self._last_label: int | None = None
        # Turned as the first picture is: looking that up keeps a picture in memory for a while
        self._display: Display | None = None

    @property
    def complete(self) -> bool:
        return len(self.found) == len(self.plan.labels)

    @property
    def _wanted(self) -> int:
        return int(self.plan.labels[len(self.found)])

    def feed(self, ordinal: int, packet: Any) -> None:
        if self.complete or ordinal < self.begins[len(self.found)]:
            return
        if self._fed >= 0 and ordinal > self._fed + 1:
            self.context.flush_buffers()
        if ordinal > self._fed + 1 or (self._fed < 0 and self._jumped):
            self._trial = None if packet.is_discard else packet.pts  # the picture of a hidden key never comes
        self._fed = ordinal
        self._encrypted = self._encrypted or packet.has_sidedata("encryption_info")
        if self.leaves_out and not self._encrypted:
            before = packet.pts is not None and packet.pts < self._wanted
            self.context.skip_frame = "NONREF" if before else "DEFAULT"
        try:
            pictures = packet.decode()
        except MemoryError:
            raise
        except DECODE_ERRORS:
            self._bad += 1
            return
        self._good += 1
        self._take(pictures)

    def _take(self, pictures: list[Any]) -> None:
        for picture in pictures:
            label = self._name(picture)
            self.decoded += 1
            if self.complete or not self._confirm(label, picture):
                continue
            insort(self._ahead, (label, self.decoded, picture), key=itemgetter(0))
            self._match(REORDER)

    def _name(self, picture: Any) -> int:
        """The label of a picture. One without a time is the next of the timeline: pictures come in order of display."""
        if self.counted:
            return self.decoded
        if picture.pts is not None:
            self._label = picture.pts
        else:
            following = int(np.searchsorted(self.timeline.labels, self._label, "right"))
            self._label = int(self.timeline.labels[min(following, len(self.timeline.labels) - 1)])
        return self._label

    def _confirm(self, label: int, picture: Any) -> bool:
        """Whether a picture is to be used: not if it comes from before the key that was jumped to. Raises KeyIsNone."""
        if self._trial is None:
            return True
        if label < self._trial:
            return False
        whole = label <= self._wanted and self.context.name in HOLDS_BACK
        if not (picture.key_frame and label == self._trial) and not (whole and label > self._trial):
            raise KeyIsNone(self._trial, label)
        self._trial = None
        return True

    def _match(self, patience: int) -> None:
        """Takes the wanted pictures from those decoded. One that is missing may still come, up to `patience` pictures late."""
        while self._ahead and not self.complete:
            wanted = self._wanted
            label, _, picture = self._ahead[0]
            if label == wanted:
                self._accept(picture, wanted)
            elif label < wanted:
                self._best, self._best_label = picture, label
                del self._ahead[0]
            elif len(self._ahead) > patience:
                self._replace(wanted, picture, label)
            else:
                return

    def _replace(self, wanted: int, following: Any = None, label: int = 0) -> None:
        """Takes for a wanted picture that does not come the nearest one that was decoded, before or after it."""
        if self._best is not None and self._is_the_same(wanted):
            self._accept(self._best, wanted)
        elif self._best is None or (following is not None and label - wanted < wanted - self._best_label):
            self._accept(following, wanted, replaced=True)
        else:
            self._accept(self._best, wanted, replaced=True)

    def _is_the_same(self, wanted: int) -> bool:
        """Whether the picture before is the wanted one: the packet holds its second field, or the time of the packet
        was filled in."""
        labels = self.timeline.labels
        place = int(np.searchsorted(labels, wanted))
        beside = place > 0 and int(labels[place - 1]) == self._best_label
        return beside and (self.timeline.filled or (self._best.interlaced_frame and self.context.name == "h264"))

    def _accept(self, picture: Any, label: int, *, replaced: bool = False) -> None:
        if self._last is None or self._last_label != label:
            self._last, self._last_label = self._convert(picture), label
        self.replaced += replaced
        self.found.append(self._last)

    def _convert(self, picture: Any) -> RGB:
        check_size(self.file.name, picture.width, picture.height, self.file.limits)
        if self._display is None:
            matrix = display_matrix(picture)
            self._display = self.file.display(matrix) if self.pixels == "square" else Display(matrix)
        try:
            # One thread: by default FFmpeg starts one per core for each picture.
            rgb = picture.to_ndarray(format=self._display.format, threads=1)
        except MemoryError:
            raise
        except DECODE_ERRORS as error:
            raise MediaError("unreadable", f"{self.file.name}: its pixels can't be converted ({error})") from None
        return self._display.show(rgb, self.spec)

    def finish(self) -> NDArray[np.uint8]:
        """The frames (F, H, W, 3). The nearest picture stands for one that could not be decoded."""
        if not self.complete and self._fed >= 0:
            with suppress(*DECODE_ERRORS):
                self._take(self.context.decode(None))
            if self._trial is not None:
                raise KeyIsNone(self._trial, None)
            self._match(0)
            while not self.complete and self._best is not None:
                self._replace(self._wanted)
        if self._encrypted and self._bad > self._good:
            raise encrypted(self.file.name)
        if not self.complete:
            raise MediaError("unreadable", f"{self.file.name}: none of its pictures could be decoded")
        return np.stack(self.found)


def prove_keys(file: PyAVFile, packets: Iterable[Any], begins: NDArray[np.int64], kept_bytes: int) -> list[int]:
    """Of the packets that the container flags, those that the decoder calls a key frame: the last one up to each of `begins`.

    At most `kept_bytes` of flagged packets are kept to search back through.
    """
    context = file.video.codec_context
    proven: list[int] = []
    flagged: list[tuple[int, Any]] = []
    size = 0
    targets = set(begins.tolist())
    for ordinal, packet in enumerate(packets):
        if packet.is_keyframe and packet.pts is not None:
            flagged.append((ordinal, packet))
            size += packet.size
            while size > kept_bytes:
                size -= flagged.pop(0)[1].size
        if ordinal in targets:
            while flagged:
                place, candidate = flagged.pop()
                if _is_key(context, candidate):
                    proven.append(place)
                    break
            flagged, size = [], 0
            if ordinal == max(targets):
                break
    return proven


def _is_key(context: Any, packet: Any) -> bool:
    """Whether a packet by itself gives a picture of its time that the decoder calls a key frame."""
    context.flush_buffers()
    context.skip_frame = "DEFAULT"
    pictures: list[Any] = []
    with suppress(*DECODE_ERRORS):
        pictures = [*packet.decode(), *context.decode(None)]
    context.flush_buffers()
    return any(picture.key_frame and picture.pts == packet.pts for picture in pictures)


def display_matrix(picture: Any) -> Matrix:
    """How a picture is to be turned and mirrored for display."""
    data = picture.side_data.get("DISPLAYMATRIX")
    if data is not None:
        m = np.frombuffer(bytes(data), np.int32)
        if len(m) >= 5 and (m[0] or m[1]):
            return int(m[0]), int(m[1]), int(m[3]), int(m[4])
    return 1, 0, 0, 1
