"""Stage one: media files in, a store of features out.

`extract` is the command of the same name. Its parts: `options`, `plan` (what will be done), `driver` (the order of the
steps), `encoder` and `rows`, `shard` (one shard), `local` and `cluster` (many shards), `check` (whether the copy of a
data set is whole), `sources` (what a store was made from), `library` and `growth` (a store of a folder that changed),
`watch` and `join`. Decoding is `gaid.media`. Importing this package is cheap.
"""

import inspect
import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gaid.media.limits import DecodeLimits

if TYPE_CHECKING:
    from gaid.datasets.types import Dataset
    from gaid.extract.report import ExtractReport, Failure
    from gaid.media.clip import AudioSampling, Decoder, FrameSampling, Pixels

__all__ = ["ExtractReport", "Failure", "extract"]


def extract(
    dataset: "str | Dataset",
    *,
    root: str | os.PathLike[str] | None = None,
    audio_root: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    visual: str | None = None,
    audio: str | None = None,
    text: str | None = None,
    frames: int = 12,
    frame_sampling: "FrameSampling" = "even",
    decoder: "Decoder" = "pyav",
    audio_sampling: "AudioSampling" = "aligned",
    pixels: "Pixels" = "square",
    device: str = "auto",
    batch_size: int = 32,
    workers: int = 1,
    clip_seconds: float = DecodeLimits.seconds,
    scheduler: str | None = None,
    patches: bool = False,
    audio_tokens: bool = False,
    audio_clip_tokens: bool = False,
    speech: str | None = None,
    overwrite: bool = False,
    random_weights: bool = False,
    max_missing: float = 0.1,
    limit: int | None = None,
    watch: bool = False,
    progress: bool = True,
) -> "ExtractReport":
    """Runs the frozen backbones over a data set's clips and captions, once, into a store at `out`.

    `dataset` is a name (read from `root`) or a Dataset. `audio_root`: where files of sound lie that are named like the videos;
    by default they are looked for under `root`. `out` ends in .zarr (default stores/DATASET-VISUAL.zarr), or in
    .h5 or .hdf5 for HDF5. `visual`, `audio` and `text` name backbones; the data set has defaults. Where a
    store is there already, the extraction into it resumes, if it was begun with the same clips, captions, backbones and
    sampling (StoresDisagree otherwise); a finished one is left as it is; `overwrite` deletes it first. A store of `folder`
    grows: clips and captions may be others than before, and only what is new is decoded and encoded; `root` is that of the
    store by default. `watch` stays and repeats that whenever the folder changes, until Ctrl-C (the last report).

    `frame_sampling`: the pictures at the middles of `frames` equal parts (`even`); those at 0, 1, 2, ... s, an even choice where
    there are more than `frames` and the last one repeated where there are fewer, as CLIP4Clip's and AVIGATE's published code
    reads videos (`per-second`); or the key frame nearest to each middle, which is faster to decode and another picture
    (`keyframes`).

    `audio_sampling`: each frame's sound is that around its own moment (`aligned`). `published` does what GAID's published
    code does, with a backbone that hears the whole sound (`whisper`): the sound is padded or cut to 30 s, and frame f has the
    mean of the f-th of F parts, wherever the frame is, padding included. `spread` pairs them so with any other backbone: the
    parts are encoded one by one, and padding is no sound.

    `pixels`: as they are meant to be seen (`square`: pixels that are not square are made so, and HDR becomes BT.709),
    or as the file stores them (`stored`), which is what published features were made of.

    `patches` keeps the tokens of each frame's picture as well, `audio_tokens` those of each frame's sound, for heads that
    take them; OptionInvalid where the backbone has none to give. `audio_clip_tokens` keeps what a backbone such as `ast`
    makes of the clip's sound as one (its first channel, at most 300 s): 1,213 tokens of 768 numbers, 1.9 MB per clip.

    `speech` names a transcriber (`whisper:offline`, `subtitles`, ...): when the features are there, it writes down what is said in
    each clip, as segments with times, which `gaid search` finds by their words and their meaning. A store that is there already
    gets its speech so, without its pictures being decoded again. By default a store that has speech keeps it up to date;
    `none` leaves it as it is.

    `workers` are plain processes that decode for the one model in this process: decoding is what scales with cores, a
    second model would only take memory from the first, and no package is needed for it. `scheduler` is the address of a
    dask.distributed scheduler whose workers see the files: they take whole shards, each with `workers` decode processes
    (tcp:// on this machine, tls:// elsewhere; GAID_TRUST_NETWORK=1 in the environment allows plain tcp:// to other machines).
    Neither changes the bytes of the store, nor does `batch_size`, which is used on a GPU only (there: within tolerance).
    `clip_seconds` is how long a worker may decode one clip before that counts as failed ("too slow").
    `limit` takes that many videos, spread evenly, to try things out: a store of its own, not a beginning.

    A clip that can't be used is listed and left out; videos whose files are absent are such clips, up to a share of
    `max_missing` (DataMissing above). Ctrl-C finishes the shards at hand and raises ExtractInterrupted; the same call
    resumes. Progress and notes go to stderr, unless `progress` is False.
    """
    given = dict(locals())
    from gaid.extract.options import Options

    if watch:
        from gaid.extract.watch import follow

        return follow(Options(**given))
    from gaid.extract.driver import Extraction

    return Extraction(Options(**given)).run()


def __getattr__(name: str) -> Any:
    if name in ("ExtractReport", "Failure"):
        return getattr(import_module("gaid.extract.report"), name)
    raise AttributeError(f"module 'gaid.extract' has no attribute {name!r}")


class _Callable(ModuleType):
    """Importing any module of this package makes `gaid.extract` the package; called, it does what the function does."""

    def __call__(self, *args: Any, **options: Any) -> "ExtractReport":
        return extract(*args, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(extract)


sys.modules[__name__].__class__ = _Callable
