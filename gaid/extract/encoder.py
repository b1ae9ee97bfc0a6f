"""The encoder stage of extraction: decoded clips in, features in the rows of shards out, on as many threads as it is given."""

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
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
from gaid.extract.steps import encode_clips, encode_whole
from gaid.media.clip import Clip

if TYPE_CHECKING:
    from gaid.backbones import AudioBackbone, Backbones

NOT_FINITE = "not finite"


def encode_batch(
    clips: Sequence[Clip],
    backbones: "Backbones",
    patches: bool = False,
    audio_tokens: bool = False,
    audio_clip_tokens: bool = False,
    beside: ThreadPoolExecutor | None = None,
) -> list[ClipFeatures | str]:
    """The features of clips, in their order; a string in place of features says why there are none.

    `beside`: whose thread encodes the sound while this one encodes the pictures.
    """
    of_sound = (clips, backbones.audio, audio_tokens, audio_clip_tokens)
    sound = None if beside is None else beside.submit(_encode_audio, *of_sound)
    frames = np.stack([clip.frames for clip in clips])
    of_patches: NDArray[np.float32] | None = None
    if patches:
        visual, of_patches = backbones.visual.encode_patches(frames)
    else:
        visual = backbones.visual.encode_frames(frames)
    audio, tokens, of_clips = _encode_audio(*of_sound) if sound is None else sound.result()
    optional = (of_patches, tokens, of_clips)
    return [
        _checked(visual[row], audio[row], *(None if one is None else one[row] for one in optional))
        for row in range(len(clips))
    ]


def _encode_audio(
    clips: Sequence[Clip], backbone: "AudioBackbone", tokens: bool, clip_tokens: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.float32] | None]:
    """All that is kept of clips' sound: embeddings, tokens of the frames' and tokens of the whole, the latter two where they are
    wanted."""
    return *encode_sound(clips, backbone, tokens), encode_clips(clips, backbone) if clip_tokens else None


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
    visual: NDArray[Any],
    audio: NDArray[Any],
    patches: NDArray[Any] | None,
    audio_tokens: NDArray[Any] | None,
    clip_tokens: NDArray[Any] | None,
) -> ClipFeatures | str:
    """Features in the store's precision, or what is wrong with them: half precision ends at 65504."""
    narrow: dict[str, NDArray[np.float16]] = {}
    given = {"visual": visual, "audio": audio, "patch": patches, "audio token": audio_tokens}
    given["audio clip token"] = clip_tokens
    for name, array in given.items():
        if array is None:
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            narrow[name] = array.astype(np.float16)
        if not np.isfinite(narrow[name]).all():
            if np.isfinite(array).all():
                return f"{name} features of up to {np.abs(array).max():.3g} do not fit into half precision"
            return f"the backbone gave {name} features that are not finite"
    optional = map(narrow.get, ("patch", "audio token", "audio clip token"))
    return ClipFeatures(narrow["visual"], narrow["audio"], *optional)


class Encoder:
    """Encodes clips into the rows of shards: in batches on a GPU, on the CPU each clip by itself, `threads` clips side
    by side.

    A clip that is encoded by itself, by one thread, gets the same bytes beside any other clips and on any number of cores,
    which is why there are no batches on the CPU. On a GPU one batch is encoded while the next one is gathered, its pictures
    in one thread and its sound in another, so that neither decoding nor a tower waits for the slower of the two.
    Backbones that are not `thread_safe` encode one clip, or one batch, at a time, in the caller's thread.
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
        audio_clip_tokens: bool = False,
    ) -> None:
        self.backbones = backbones
        self.audio_clip_tokens = audio_clip_tokens
        self.patches, self.audio_tokens = patches, audio_tokens
        on_gpu = device.startswith("cuda")
        safe = all(getattr(one, "thread_safe", False) for one in (backbones.visual, backbones.audio))
        self.side_by_side = safe and device == "cpu"
        self.batch_size = batch_size if on_gpu else 1
        self.threads = threads if self.side_by_side else 1
        # Tasks that may be at work or wait for a thread while the next one is made; None: there are no threads.
        self._ahead = self.threads if self.side_by_side else 1 if safe and on_gpu else None
        self._waiting: list[_Place] = []
        self._running: deque[tuple[list[_Place], Future[list[ClipFeatures | str]]]] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._beside: ThreadPoolExecutor | None = None
        self._torch_threads = 0

    def __enter__(self) -> "Encoder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in (self._pool, self._beside):
            if pool is not None:
                pool.shutdown(cancel_futures=True)
        self._pool = self._beside = None
        if self._torch_threads:  # a thread's number is also that of threads which start later
            sys.modules["torch"].set_num_threads(self._torch_threads)

    def add(self, rows: ShardRows, row: int, video: str, clip: Clip | MediaError) -> list[Failure | None]:
        """Takes one clip; gives a result (None: it has features) for each clip that is finished by now."""
        rows.sources[row] = clip.sources
        if isinstance(clip, MediaError):
            failure = Failure(video, clip.reason, clip.message)
            rows.fail(row, failure)
            return [failure]
        self._waiting.append(_Place(rows, row, video, clip))
        return self.end_batch() if len(self._waiting) >= self.batch_size else []

    def end_batch(self) -> list[Failure | None]:
        """Encodes the clips that wait as a batch of their own: call it after each shard, since batches end with shards.
        Gives a result for each clip that is finished by now."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return []
        if self._ahead is None:
            with _noting(waiting):
                return _fill(waiting, self._encode([place.clip for place in waiting]))
        self._running.append((waiting, self._start([place.clip for place in waiting])))
        return self._collect(self._ahead)

    def flush(self) -> list[Failure | None]:
        """Encodes the clips that wait, and waits for all that are in work. Call it at the end."""
        return self.end_batch() + self._collect(0)

    def _encode(self, clips: list[Clip]) -> list[ClipFeatures | str]:
        kept = (self.patches, self.audio_tokens, self.audio_clip_tokens)
        return encode_batch(clips, self.backbones, *kept, self._beside)

    def _start(self, clips: list[Clip]) -> "Future[list[ClipFeatures | str]]":
        if self._pool is None:
            one_core = None
            if self.side_by_side:
                torch = sys.modules.get("torch")
                self._torch_threads = torch.get_num_threads() if torch is not None else 0
                one_core = one_torch_thread()
            else:
                self._beside = ThreadPoolExecutor(1, thread_name_prefix="encode-sound")
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="encode", initializer=one_core)
        return self._pool.submit(self._encode, clips)

    def _collect(self, left: int) -> list[Failure | None]:
        """Results of the clips in work, the oldest first, until so many tasks are left."""
        results = []
        while len(self._running) > left:
            places, running = self._running.popleft()
            with _noting(places):
                results += _fill(places, running.result())
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


def _fill(places: Sequence[_Place], encoded: Sequence[ClipFeatures | str]) -> list[Failure | None]:
    return [place.fill(features) for place, features in zip(places, encoded, strict=True)]


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


def one_torch_thread() -> Callable[[], None] | None:
    """What makes a thread use one core for torch; None where torch is not loaded, since no backbone uses it."""
    torch = sys.modules.get("torch")
    return None if torch is None else lambda: torch.set_num_threads(1)


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
