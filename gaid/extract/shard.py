"""One shard: clips in, a shard of the store out. The same code makes it in this process and on a far worker.

`extract_shard(job)` is complete in itself (picklable job, no progress, no dask). `local` runs the pieces below over many
shards at once, so that decoding goes on across a shard's end.
"""

import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import DataMissing, GaidError, MediaError, OptionInvalid, StoreIncomplete, StoresDisagree
from gaid.extract.clip import Clip, ClipRequest
from gaid.extract.report import Failure

if TYPE_CHECKING:
    from gaid.backbones import AudioBackbone, Backbones
    from gaid.extract.decode_pool import DecodePool
    from gaid.stores import StoreWriter

NOT_FINITE = "not finite"


@dataclass(frozen=True)
class BackboneChoice:
    """The arguments of `load_backbones`, so that a worker loads what the driver planned with."""

    visual: str
    audio: str
    text: str | None
    device: str
    random_weights: bool = False
    patches: bool = False
    audio_tokens: bool = False

    @property
    def resolved_device(self) -> str:
        """Where the models run on this machine: `auto` is its first GPU. torch is only asked where a backbone needs it."""
        if self.device == "cpu" or {self.visual, self.audio, self.text} <= {"tiny", None}:
            return "cpu"
        if self.device != "auto":
            return f"cuda:{self.device}" if self.device.isdigit() else self.device
        import torch

        return "cuda:0" if torch.cuda.is_available() else "cpu"

    def load(self) -> "Backbones":
        from gaid.backbones import load_backbones

        return load_backbones(
            self.visual,
            self.audio,
            self.text,
            device=self.resolved_device,
            random_weights=self.random_weights,
            patches=self.patches,
            audio_tokens=self.audio_tokens,
        )


@dataclass(frozen=True)
class ShardShape:
    """What a row of the store holds."""

    frames: int
    visual_dim: int
    audio_dim: int
    patches: tuple[int, int] | None = None
    audio_tokens: tuple[int, int] | None = None


@dataclass(frozen=True)
class ShardJob:
    """Everything that a worker needs to write shard `number`, but the media and the weights."""

    number: int
    store: Path
    fingerprint: str
    ids: tuple[str, ...]
    requests: tuple[ClipRequest, ...]
    shape: ShardShape
    backbones: BackboneChoice
    provenance: dict[str, Any]  # of the visual and the audio backbone, as planned
    missing: frozenset[str] = frozenset()  # ids of clips whose file the driver did not find either
    batch_size: int = 32
    workers: int = 1
    threads: int = 1


@dataclass(frozen=True)
class ShardReport:
    """How a shard went."""

    number: int
    clips: int
    failures: list[Failure]
    seconds: float
    already: bool = False


@dataclass
class ClipFeatures:
    """A clip as the store keeps it."""

    visual: NDArray[np.float16]  # (F, Dv)
    audio: NDArray[np.float16]  # (F, Da)
    patches: NDArray[np.float16] | None  # (F, P, Dp)
    audio_tokens: NDArray[np.float16] | None = None  # (F, N, Da)


class ShardRows:
    """The arrays of one shard while its rows come in. A row that failed stays zero and invalid."""

    def __init__(self, number: int, rows: int, shape: ShardShape) -> None:
        self.number = number
        self.shape = shape
        self.failures: list[tuple[int, Failure]] = []
        self.arrays: dict[str, NDArray[Any]] = {
            "visual": np.zeros((rows, shape.frames, shape.visual_dim), np.float16),
            "audio": np.zeros((rows, shape.frames, shape.audio_dim), np.float16),
            "audio_mask": np.zeros((rows, shape.frames), np.bool_),
            "audio_state": np.full(rows, audio_code("failed"), np.uint8),
            "valid": np.zeros(rows, np.bool_),
            "short": np.zeros(rows, np.bool_),
            "time": np.zeros((rows, shape.frames), np.float32),
            "duration": np.zeros(rows, np.float32),
        }
        if shape.patches is not None:
            self.arrays["patches"] = np.zeros((rows, shape.frames, *shape.patches), np.float16)
        if shape.audio_tokens is not None:
            self.arrays["audio_tokens"] = np.zeros((rows, shape.frames, *shape.audio_tokens), np.float16)

    def put(self, row: int, clip: Clip, features: ClipFeatures) -> None:
        """Row `row` is `clip`, encoded."""
        self.arrays["visual"][row] = features.visual
        self.arrays["audio"][row] = features.audio
        if features.patches is not None:
            self.arrays["patches"][row] = features.patches
        if features.audio_tokens is not None:
            self.arrays["audio_tokens"][row] = features.audio_tokens
        self.arrays["audio_mask"][row] = clip.audio_mask
        self.arrays["audio_state"][row] = audio_code(clip.audio_state)
        self.arrays["short"][row] = clip.short
        self.arrays["time"][row] = clip.times
        self.arrays["duration"][row] = clip.duration
        self.arrays["valid"][row] = True

    def fail(self, row: int, failure: Failure) -> None:
        """Row `row` has no features."""
        self.failures.append((row, failure))

    @property
    def complete(self) -> bool:
        """Whether every row is filled or has failed."""
        return int(self.arrays["valid"].sum()) + len(self.failures) == len(self.arrays["valid"])

    def listed(self) -> list[dict[str, str]]:
        """The failures in row order, as the store keeps them."""
        return [
            {"id": failure.video, "reason": failure.reason, "message": failure.message}
            for _, failure in sorted(self.failures, key=lambda pair: pair[0])
        ]


@contextmanager
def telling_disk_faults(place: Path) -> Iterator[None]:
    """A full disk is no fault of the program: it is told in a line, and what was written before is kept."""
    try:
        yield
    except OSError as error:
        if isinstance(error, GaidError):
            raise
        raise StoreIncomplete(
            f"{place}: could not be written ({error.strerror or error}); with that mended, the same command goes on"
        ) from error


def write_rows(writer: "StoreWriter", rows: ShardRows) -> None:
    """Makes a shard durable."""
    with telling_disk_faults(Path(writer.path)):
        writer.write_shard(rows.number, rows.arrays, rows.listed())


def audio_code(state: str) -> int:
    """A state of the sound as the store's number."""
    from gaid.stores.schema import AUDIO_STATES

    return AUDIO_STATES.index(state)


def encode_batch(
    clips: Sequence[Clip], backbones: "Backbones", patches: bool = False, audio_tokens: bool = False
) -> list[ClipFeatures | str]:
    """Clips as features, in their order; a text in place of features says why there are none."""
    frames = np.stack([clip.frames for clip in clips])
    mask = np.stack([clip.audio_mask for clip in clips])
    of_patches: NDArray[np.float32] | None = None
    if patches:
        visual, of_patches = backbones.visual.encode_patches(frames)
    else:
        visual = backbones.visual.encode_frames(frames)
    audio, tokens = encode_sound([clip.audio for clip in clips], mask, backbones.audio, audio_tokens)
    return [
        _checked(
            visual[row],
            audio[row],
            None if of_patches is None else of_patches[row],
            None if tokens is None else tokens[row],
        )
        for row in range(len(clips))
    ]


def encode_sound(
    windows: list[NDArray[np.float32]], mask: NDArray[np.bool_], backbone: "AudioBackbone", tokens: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Embeddings (B, F, dim) of clips' sound, and tokens (B, F, N, Dn) where they are wanted; 0 where `mask` is false,
    whatever a backbone makes of a window without sound. A backbone is not asked where there is no sound at all."""
    if not mask.any():
        audio = np.zeros((*mask.shape, backbone.dim), np.float32)
        shape = backbone.token_shape if tokens else None
        return audio, None if shape is None else np.zeros((*mask.shape, *shape), np.float32)
    if not tokens:
        audio = np.array(backbone.encode_audio(windows, mask))
        audio[~mask] = 0
        return audio, None
    audio, of_tokens = map(np.array, backbone.encode_audio_tokens(windows, mask))
    audio[~mask], of_tokens[~mask] = 0, 0
    return audio, of_tokens


def _checked(
    visual: NDArray[Any], audio: NDArray[Any], patches: NDArray[Any] | None, audio_tokens: NDArray[Any] | None
) -> ClipFeatures | str:
    """Features in the store's precision, or what is wrong with them: half precision ends at 65504."""
    narrow: dict[str, NDArray[np.float16]] = {}
    given = {"visual": visual, "audio": audio, "patch": patches, "audio token": audio_tokens}
    for name, array in given.items():
        if array is None:
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            narrow[name] = array.astype(np.float16)
        if not np.isfinite(narrow[name]).all():
            if np.isfinite(array).all():
                return f"{name} features of up to {np.abs(array).max():.3g} do not fit into half precision"
            return f"the backbone gave {name} features that are no numbers"
    return ClipFeatures(narrow["visual"], narrow["audio"], narrow.get("patch"), narrow.get("audio token"))


class Encoder:
    """Puts decoded clips into shards' rows: in batches on a GPU, on the CPU each clip by itself, `threads` of them side by side.

    A clip of its own batch, encoded by one thread, has the same bytes in whatever company and on however many cores it is
    extracted, which is why the CPU has no batches. Backbones that don't say `thread_safe` encode one clip at a time.
    A context manager: its threads end with it.
    """

    def __init__(
        self,
        backbones: "Backbones",
        device: str,
        batch_size: int,
        patches: bool,
        audio_tokens: bool = False,
        threads: int = 1,
    ) -> None:
        self.backbones = backbones
        self.patches, self.audio_tokens = patches, audio_tokens
        on_gpu = device.startswith("cuda")
        self.side_by_side = device == "cpu" and all(
            getattr(one, "thread_safe", False) for one in (backbones.visual, backbones.audio)
        )
        self.batch_size = batch_size if on_gpu else 1
        self.threads = threads if self.side_by_side else 1
        self._waiting: list[_Place] = []
        self._running: deque[tuple[_Place, Future[ClipFeatures | str]]] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._torch_threads = 0

    def __enter__(self) -> "Encoder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
            if self._torch_threads:  # a thread's number is also that of threads which start later
                sys.modules["torch"].set_num_threads(self._torch_threads)

    def add(self, rows: ShardRows, row: int, video: str, clip: Clip | MediaError) -> list[Failure | None]:
        """Takes one clip; gives a result (None: it went well) for each clip that is over with by now."""
        if isinstance(clip, MediaError):
            failure = Failure(video, clip.reason, clip.message)
            rows.fail(row, failure)
            return [failure]
        place = _Place(rows, row, video, clip)
        if self.side_by_side:
            self._running.append((place, self._start(clip)))
            # One clip more than there are threads, so that none of them waits for the next.
            return self._collect(self.threads)
        self._waiting.append(place)
        return self.flush() if len(self._waiting) >= self.batch_size else []

    def flush(self) -> list[Failure | None]:
        """Encodes what waits. Call at the end, and at a shard's end unless clips run side by side: batches end with shards."""
        waiting, self._waiting = self._waiting, []
        results = self._collect(0)
        if waiting:
            with _noting(waiting):
                encoded = self._encode([place.clip for place in waiting])
            results += [place.fill(features) for place, features in zip(waiting, encoded, strict=True)]
        return results

    def _encode(self, clips: list[Clip]) -> list[ClipFeatures | str]:
        return encode_batch(clips, self.backbones, self.patches, self.audio_tokens)

    def _start(self, clip: Clip) -> "Future[ClipFeatures | str]":
        if self._pool is None:
            torch = sys.modules.get("torch")  # not loaded: no backbone uses it
            self._torch_threads = torch.get_num_threads() if torch is not None else 0
            one_core = (lambda: None) if torch is None else (lambda: torch.set_num_threads(1))
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="encode", initializer=one_core)
        return self._pool.submit(lambda: self._encode([clip])[0])

    def _collect(self, left: int) -> list[Failure | None]:
        """Results of the clips that run, the oldest first, until so many are left."""
        results = []
        while len(self._running) > left:
            place, running = self._running.popleft()
            with _noting([place]):
                results.append(place.fill(running.result()))
        return results


@dataclass(frozen=True)
class _Place:
    """A clip and the row that is its own."""

    rows: ShardRows
    row: int
    video: str
    clip: Clip

    def fill(self, features: ClipFeatures | str) -> Failure | None:
        if isinstance(features, str):
            failure = Failure(self.video, NOT_FINITE, features)
            self.rows.fail(self.row, failure)
            return failure
        self.rows.put(self.row, self.clip, features)
        return None


@contextmanager
def _noting(places: Sequence[_Place]) -> Iterator[None]:
    """Says in an error which clips were being encoded."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise OptionInvalid(
                f"the device has no memory for {len(places)} clips at once; give a smaller --batch-size"
            ) from error
        error.add_note(f"while encoding {', '.join(place.video for place in places)}")
        raise


def open_pool(workers: int, encoder: Encoder) -> "DecodePool":
    """A decode pool that looks ahead by a batch, so that decoding goes on while the batch is encoded."""
    from gaid.extract.decode_pool import DecodePool

    return DecodePool(workers, ahead=2 * workers + 1 + encoder.batch_size)


@contextmanager
def fixed_threads(count: int, device: str = "cpu") -> Iterator[None]:
    """Holds torch to `count` threads and numpy's BLAS to one, and puts both back.

    Sums may follow the number of threads; dask's workers and a user's shell each set their own.
    """
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")  # not loaded: no backbone uses it
    before = torch.get_num_threads() if torch is not None else None
    with threadpool_limits(limits=1, user_api="blas"):
        if torch is not None and device == "cpu":
            torch.set_num_threads(count)
        try:
            yield
        finally:
            if torch is not None:
                torch.set_num_threads(before)


def load_as_planned(job: ShardJob) -> "Backbones":
    """The job's backbones on this machine. Raises StoresDisagree where they are not those that the store was planned with."""
    backbones = job.backbones.load()
    for kind, mine in (("visual", backbones.visual.provenance), ("audio", backbones.audio.provenance)):
        planned = job.provenance[kind]
        differs = sorted(key for key in {*mine, *planned} if mine.get(key) != planned.get(key))
        if differs:
            raise StoresDisagree(
                f"the {kind} backbone of the worker {socket.gethostname()} is not the one that the store was planned with: "
                f"{', '.join(differs)} differ; install the same packages and weights on every worker"
            )
    return backbones


# A worker with several threads has still one model and one number of torch threads.
_ONE_SHARD = threading.Lock()


def extract_shard(job: ShardJob) -> ShardReport:
    """Decodes, encodes and writes one shard. May run twice, or again after a worker died: the bytes are the same.

    Raises GaidError for what concerns more than one clip: weights, the store, files that this machine does not see.
    """
    from gaid.stores import StoreWriter

    with _ONE_SHARD:
        started = time.monotonic()
        writer = StoreWriter.attach(job.store, job.fingerprint)
        if job.number not in writer.pending_shards:
            return ShardReport(job.number, len(job.ids), [], 0.0, already=True)
        backbones = load_as_planned(job)
        device = job.backbones.resolved_device
        rows = ShardRows(job.number, len(job.ids), job.shape)
        encoder = Encoder(
            backbones,
            device,
            job.batch_size,
            job.shape.patches is not None,
            job.shape.audio_tokens is not None,
            job.threads,
        )
        with fixed_threads(job.threads, device), open_pool(job.workers, encoder) as pool, encoder:
            for row, clip in enumerate(pool.map(job.requests)):
                if isinstance(clip, MediaError) and clip.reason == "missing" and job.ids[row] not in job.missing:
                    raise DataMissing(
                        f"{job.requests[row].path}: not on the worker {socket.gethostname()}, but where the extraction was "
                        "started; every worker must see the files under the same path"
                    )
                encoder.add(rows, row, job.ids[row], clip)
            encoder.flush()
        failures = [failure for _, failure in sorted(rows.failures, key=lambda pair: pair[0])]
        write_rows(writer, rows)
        return ShardReport(job.number, len(job.ids), failures, time.monotonic() - started)
