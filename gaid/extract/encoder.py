"""The encoder stage of extraction: decoded clips in, features in the rows of shards out, on as many threads as it is given."""

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import MediaError, OptionInvalid
from gaid.extract.report import Failure
from gaid.extract.rows import ClipFeatures, ShardRows
from gaid.extract.steps import encode_whole
from gaid.media.clip import Clip

if TYPE_CHECKING:
    from gaid.backbones import AudioBackbone, Backbones

NOT_FINITE = "not finite"


def encode_batch(
    clips: Sequence[Clip], backbones: "Backbones", patches: bool = False, audio_tokens: bool = False
) -> list[ClipFeatures | str]:
    """The features of clips, in their order; a string in place of features says why there are none."""
    frames = np.stack([clip.frames for clip in clips])
    of_patches: NDArray[np.float32] | None = None
    if patches:
        visual, of_patches = backbones.visual.encode_patches(frames)
    else:
        visual = backbones.visual.encode_frames(frames)
    audio, tokens = encode_sound(clips, backbones.audio, audio_tokens)
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
    clips: Sequence[Clip], backbone: "AudioBackbone", tokens: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Embeddings (B, F, dim) of clips' sound, and tokens (B, F, N, Dn) where they are wanted; 0 where the mask is False,
    whatever a backbone makes of a window without sound. The backbone is not run where there is no sound at all."""
    windows, mask = [clip.audio for clip in clips], np.stack([clip.audio_mask for clip in clips])
    if not mask.any():
        audio = np.zeros((*mask.shape, backbone.dim), np.float32)
        shape = backbone.token_shape if tokens else None
        return audio, None if shape is None else np.zeros((*mask.shape, *shape), np.float32)
    if backbone.audio_spec.whole:
        return encode_whole(clips, backbone), None
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
            return f"the backbone gave {name} features that are not finite"
    return ClipFeatures(narrow["visual"], narrow["audio"], narrow.get("patch"), narrow.get("audio token"))


class Encoder:
    """Encodes clips into the rows of shards: in batches on a GPU, on the CPU each clip by itself, `threads` clips side
    by side.

    A clip that is encoded by itself, by one thread, gets the same bytes beside any other clips and on any number of cores,
    which is why there are no batches on the CPU. Backbones that are not `thread_safe` encode one clip at a time.
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
        """Takes one clip; gives a result (None: it has features) for each clip that is finished by now."""
        rows.sources[row] = clip.sources
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
        """Encodes the clips that wait. Call it at the end, and after each shard unless clips run side by side: batches
        end with shards."""
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
        """Results of the clips in work, the oldest first, until so many are left."""
        results = []
        while len(self._running) > left:
            place, running = self._running.popleft()
            with _noting([place]):
                results.append(place.fill(running.result()))
        return results


@dataclass(frozen=True)
class _Place:
    """A clip and the row that it fills."""

    rows: ShardRows
    row: int
    video: str
    clip: Clip

    def fill(self, features: ClipFeatures | str) -> Failure | None:
        if isinstance(features, str):
            failure = Failure(self.video, NOT_FINITE, features)
            self.rows.fail(self.row, failure)
            return failure
        self.rows.put(self.row, self.video, self.clip, features)
        return None


@contextmanager
def _noting(places: Sequence[_Place]) -> Iterator[None]:
    """Adds to an error which clips were being encoded."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise OptionInvalid(
                f"the device has too little memory for {len(places)} clips at once; give a smaller --batch-size"
            ) from error
        error.add_note(f"while encoding {', '.join(place.video for place in places)}")
        raise


@contextmanager
def fixed_threads(count: int, device: str = "cpu") -> Iterator[None]:
    """Limits torch to `count` threads and numpy's BLAS to one, and restores both.

    Sums may depend on the number of threads, which dask's workers and a user's shell each set in their own way.
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
