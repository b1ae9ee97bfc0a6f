"""Writing down what is said in the clips of a store whose features are there: shard by shard, after all else.

It decodes the sound of clips alone, and needs nothing of how their features were made but the text encoder, by which a
sentence finds speech. So it can be added to any zarr store at any time, and it is brought up to date as a library grows.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gaid import plugins
from gaid.console import Progress, StopWish, printable
from gaid.datasets.types import Video
from gaid.errors import (
    BackboneUnavailable,
    DataInvalid,
    DependencyMissing,
    ExtractInterrupted,
    MediaError,
    OptionInvalid,
    StoresDisagree,
)
from gaid.extract.encoder import fixed_threads, one_torch_thread
from gaid.extract.options import Options
from gaid.extract.shard import naming_disk_faults
from gaid.media.clip import Heard, SpeechRequest
from gaid.media.limits import DecodeLimits
from gaid.paths import local_path
from gaid.specs import Segment
from gaid.stores.library import LibraryArrays
from gaid.stores.schema import AUDIO_STATES
from gaid.stores.speech import Speech, lacking_rows
from gaid.stores.speech_writer import write_piece
from gaid.stores.zarr import ZarrArrays

if TYPE_CHECKING:
    from gaid.backbones import TextBackbone, Transcriber
    from gaid.stores import Store

NONE = "none"
BLOCK = 256  # texts that are encoded at once
_SOUND = AUDIO_STATES.index("sound")


@dataclass
class _Shard:
    """A shard to be transcribed: a request for each of its live rows with something to hear, by its place in the shard."""

    folder: ZarrArrays
    number: int
    rows: int
    live: set[int] = field(default_factory=set)
    requests: dict[int, SpeechRequest] = field(default_factory=dict)


def choose_transcriber(
    store: "Store", wanted: str | None, device: str, unchanged: bool = False
) -> "Transcriber | None":
    """The transcriber that was asked for, by default the one that the store's speech is by; None for `none`, where there is no
    speech, and where all of a store that is `unchanged` was heard. Raises OptionInvalid, BackboneUnavailable, DependencyMissing, StoresDisagree."""
    from gaid.backbones import load_speech
    from gaid.extract.sources import differences

    if wanted == NONE:
        return None
    there = store.arrays.transcriber
    if unchanged and there is not None and wanted in (None, there["name"]):
        return None
    there = _recorded(store)
    name = wanted or (there or {}).get("name")
    if name is None:
        return None
    try:
        found = load_speech(plugins.absolute(name), device)
    except (OptionInvalid, BackboneUnavailable, DependencyMissing) as error:
        if wanted is not None:
            raise
        raise BackboneUnavailable(
            f"{store.path}: the transcriber of its speech, {name!r}, can't be loaded here ({error}); name it with --speech, "
            f"or leave its speech as it is with --speech {NONE}"
        ) from error
    if there is not None and wanted is None and (differ := differences(there, found.provenance)):
        raise StoresDisagree(
            f"{store.path}: its speech was written down by another {name} than the one that is here ({', '.join(differ)} "
            f"differ); --speech {name} does all of it again, --speech {NONE} leaves it as it is"
        )
    if store.path.is_file():
        if there == found.provenance:
            return None
        raise OptionInvalid(
            f"{store.path}: an HDF5 store is never extended; convert it (gaid store convert) and add speech to the .zarr, "
            "or extract again with --speech and --overwrite"
        )
    return found


def _recorded(store: "Store") -> dict[str, Any] | None:
    """Who wrote down the speech of any of a store's clips."""
    if store.arrays.transcriber is not None:
        return store.arrays.transcriber
    for folder in _folders(store):
        for name, marker in folder.inventory.markers.items():
            if name.startswith("speech-"):
                found: dict[str, Any] = marker["transcriber"]
                return found
    return None


def _folders(store: "Store") -> list[ZarrArrays]:
    """The folders of arrays that a store's rows lie in."""
    if isinstance(store.arrays, LibraryArrays):
        return list(store.arrays.parts)
    return [store.arrays] if isinstance(store.arrays, ZarrArrays) else []


def add_speech(
    store: "Store",
    transcriber: "Transcriber",
    text: "TextBackbone",
    videos: Iterable[Video],
    options: Options,
    device: str,
    stop: StopWish,
) -> int:
    """Transcribes the clips of a zarr store that this transcriber has not heard; returns how many.

    Raises ExtractInterrupted where it was stopped (what is written stays), DataInvalid, StoreIncomplete where the disk is full.
    """
    shards = list(_pending(store, transcriber, {video.id: video for video in videos}))
    count = sum(len(shard.live) for shard in shards)
    if not shards:
        return 0
    threads = options.resources.threads
    with Progress("speech", count, shown=options.progress) as bar, fixed_threads(threads, device):
        for number, shard in enumerate(shards):
            if stop:
                raise ExtractInterrupted(
                    f"stopped: the speech of {number} of {len(shards)} shards is written; the same command resumes from there"
                )
            said, missing = _transcribe(shard, transcriber, options, bar)
            vectors = _embed([segment.text for of_clip in said for segment in of_clip], text)
            dead = set(range(shard.rows)) - shard.live
            with naming_disk_faults(local_path(str(store.path))):
                write_piece(
                    local_path(str(shard.folder.path)),
                    shard.folder.attributes["fingerprint"],
                    shard.number,
                    Speech.of(said, vectors, transcriber.provenance),
                    dead | missing,
                )
    return count


def _pending(store: "Store", transcriber: "Transcriber", videos: Mapping[str, Video]) -> Iterator[_Shard]:
    """The shards with live rows that were not heard, with the requests for all of their live rows."""
    valid, states, lasts = (store[f"videos/{name}"][:] for name in ("valid", "audio_state", "duration"))
    by_shard: dict[tuple[int, int], _Shard] = {}
    for row, (folder, part, place) in enumerate(_places(store)):
        size = folder.attributes["layout"]["shard_rows"]
        number, within = divmod(place, size)
        marker = folder.inventory.markers[f"{number:05d}"]
        rows = marker["rows"][1] - marker["rows"][0]
        shard = by_shard.setdefault((part, number), _Shard(folder, number, rows))
        shard.live.add(within)
        video = videos.get(store.ids[row])
        can_be_heard = valid[row] and (not transcriber.rate or states[row] == _SOUND)
        if can_be_heard and video is not None:
            shard.requests[within] = SpeechRequest.of(video, float(lasts[row]), transcriber.rate)
    for shard in by_shard.values():
        lacking = lacking_rows(shard.folder.inventory, shard.number, transcriber.provenance)
        if lacking is None or lacking & {*shard.requests}:
            yield shard


def _places(store: "Store") -> Iterator[tuple[ZarrArrays, int, int]]:
    """For each row of a store the folder of arrays that it lies in, the folder's number, and its row there."""
    parts = _folders(store)
    if not isinstance(store.arrays, LibraryArrays):
        yield from ((parts[0], 0, row) for row in range(len(store.ids)))
        return
    places = store.arrays.places("videos")
    for part, row in zip(places.part.tolist(), places.row.tolist(), strict=True):
        yield parts[part], part, row


def _transcribe(
    shard: _Shard, transcriber: "Transcriber", options: Options, bar: Progress
) -> tuple[list[list[Segment]], set[int]]:
    """What is said in each row of a shard, and the rows whose files are missing. A file that can't be read has no speech."""
    from gaid.media.pool import DecodePool

    said: list[list[Segment]] = [[] for _ in range(shard.rows)]
    missing: set[int] = set()
    resources = options.resources
    threads = resources.threads if getattr(transcriber, "thread_safe", False) else 1
    running: deque[tuple[int, Future[list[Segment]]]] = deque()

    def collect(left: int) -> None:
        while len(running) > left:
            row, future = running.popleft()
            said[row] = future.result()
            bar.advance()

    limits, places = DecodeLimits(seconds=resources.clip_seconds), sorted(shard.requests)
    with (
        DecodePool(resources.workers, limits, ahead=2 * resources.workers + threads) as pool,
        ThreadPoolExecutor(threads, thread_name_prefix="transcribe", initializer=one_torch_thread()) as workers,
    ):
        for row, heard in zip(places, pool.hear(shard.requests[row] for row in places), strict=True):
            if isinstance(heard, MediaError):
                bar.say(printable(f"no speech: {heard.message}"))
                if heard.reason == "missing":
                    missing.add(row)
                bar.advance(failed=1)
                continue
            running.append((row, workers.submit(_listen, transcriber, heard)))
            collect(threads)
        collect(0)
    bar.advance(len(shard.live) - len(places))
    return said, missing


def _listen(transcriber: "Transcriber", heard: Heard) -> list[Segment]:
    if not transcriber.rate:
        return transcriber.read(heard.cues) if heard.cues else []
    return transcriber.transcribe(heard.sound) if len(heard.sound) else []


def _embed(texts: list[str], text: "TextBackbone") -> "np.ndarray[Any, np.dtype[np.float16]]":
    """The embeddings (S, Dt) of segments, in the store's precision."""
    found = np.empty((len(texts), text.dim), np.float16)
    for first in range(0, len(texts), BLOCK):
        block = texts[first : first + BLOCK]
        with np.errstate(over="ignore", invalid="ignore"):
            found[first : first + len(block)] = text.encode_text(block).embedding
    finite = np.isfinite(found).all(axis=1)
    if not finite.all():
        said = texts[int(np.argmin(finite))]
        raise DataInvalid(f"text backbone {text.name!r} gives numbers that are not finite for what is said: {said!r}")
    return found
