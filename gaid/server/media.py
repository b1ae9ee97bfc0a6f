"""The files of a library's clips: found by the clip, checked to be the ones that were extracted, and looked into."""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from gaid.errors import GaidError, MediaError
from gaid.media.clip import MediaInfo
from gaid.media.opening import check_file
from gaid.media.pool import DecodePool
from gaid.server.formats import HEAD, media_type
from gaid.server.ranges import OpenFile
from gaid.server.refusal import Refusal
from gaid.source_files import changed_clips

if TYPE_CHECKING:
    from gaid.datasets.types import Video
    from gaid.retrieval.searcher import Searcher

REMEMBERED = 4096  # files of which it is known what is in them


@dataclass(frozen=True)
class Looked:
    """A file for a browser: its type, None where browsers may not play it; and what is in it."""

    type: str | None
    info: MediaInfo


class ClipMedia:
    """The files of the clips of a library; `pool` looks into them. All its functions may be called by any thread."""

    def __init__(self, searcher: "Searcher", pool: DecodePool) -> None:
        self.files, self.store, self.pool = searcher.files, searcher.store, pool
        self._looked: OrderedDict[tuple[str, str], Looked] = OrderedDict()

    def video(self, clip: str) -> "Video":
        """Where the clip lies. Raises Refusal where its file is not there, or is not the one that was extracted any more."""
        try:
            video = self.files.find([clip])[clip]
        except (GaidError, OSError, KeyError):
            raise Refusal(404, "MediaMissing", "the clip's file is not where it was extracted from") from None
        names = self.store.file_names
        if names is not None and any(".." in PurePath(one).parts for one in (video.path, video.audio_path) if one):
            raise Refusal(403, "MediaOutside", "the clip's file does not lie in the library's folder")
        files = [str(video.path), None if video.audio_path is None else str(video.audio_path)]
        try:
            for one in filter(None, files):
                check_file(one)
        except MediaError as error:
            raise Refusal(404, "MediaMissing", f"the clip's file can't be read ({error.reason})") from None
        if changed_clips({clip: self.store.source(self.files.row_of[clip])}, [(clip, files)]):
            raise Refusal(410, "MediaChanged", "the clip's file was replaced since it was extracted; extract it again")
        return video

    def open(self, video: "Video") -> tuple[OpenFile, Looked]:
        """The file of a clip, which the caller closes. Raises Refusal, MediaError."""
        try:
            file = OpenFile(str(video.path))
        except OSError:
            raise Refusal(404, "MediaMissing", "the clip's file can't be read") from None
        try:
            return file, self.look(video, file)
        except BaseException:
            file.close()
            raise

    def look(self, video: "Video", file: OpenFile) -> Looked:
        """What is in a file. Raises MediaError."""
        key = str(video.path), file.tag
        if key not in self._looked:
            info = next(iter(self.pool.probe([str(video.path.absolute())])))
            if isinstance(info, MediaError):
                raise info
            # The sound of a clip that lies in a file of its own is heard in the preview only.
            whole = None if video.audio_path is not None else media_type(file.read(HEAD, 0), info)
            self._looked[key] = Looked(whole, info)
            while len(self._looked) > REMEMBERED:
                self._looked.popitem(last=False)
        return self._looked[key]
