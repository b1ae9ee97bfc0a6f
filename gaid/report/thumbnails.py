"""Strips of frames for a page: the clips' own pictures at the moments that were sampled, decoded from the media again.

The store names its data set and where that lay. Where the media are gone, the page does without pictures.
"""

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from gaid.errors import GaidError, MediaError
from gaid.extract.sources import find_videos
from gaid.specs import AudioSpec, FrameSpec

if TYPE_CHECKING:
    from gaid.datasets import Video
    from gaid.media.clip import Clip, Sampling
    from gaid.retrieval.results import Hit
    from gaid.stores import Store

SIZE = 72
MOMENT, MOMENT_SIZE = 4, 144  # frames of a moment, and their size
QUALITY = 68
UNUSED = AudioSpec(8000, 0.01, 0.01)  # of sound that is decoded for nothing

K = TypeVar("K")


def load_strips(
    store: "Store", ids: Iterable[str], root: str | Path | None = None
) -> tuple[dict[str, str], str | None]:
    """(video id -> picture of its frames side by side as a data URI, why some or all are absent)."""
    clips, absent = load_clips(store, ids, UNUSED, root)
    return {video: encode_strip(clip.frames) for video, clip in clips.items()}, absent


def load_clips(
    store: "Store", ids: Iterable[str], audio_spec: AudioSpec, root: str | Path | None = None
) -> tuple[dict[str, "Clip"], str | None]:
    """(video id -> its frames, small, and its sound, sampled as the store's were; why some or all are absent).

    `root`: where the clips lie, if not where the store says.
    """
    from gaid.extract.again import changed_since, describe_changed
    from gaid.media.clip import Sampling

    try:
        videos = find_videos(store, ids, root)
    except (GaidError, OSError) as error:
        return {}, f"the media are not at hand ({error})"
    found = _decode(videos, Sampling.of_store(store), SIZE, audio_spec)
    clips = {name: clip for name, clip in found.items() if not isinstance(clip, MediaError)}
    failures = [f"{name} ({clip.reason})" for name, clip in found.items() if isinstance(clip, MediaError)]
    absent = [f"no pictures of {', '.join(failures)}"] if failures else []
    changed = changed_since(store, videos.values())
    if changed:
        absent.append(f"{describe_changed(changed)}: the pictures shown are of the new file")
    return clips, "; ".join(absent) or None


def load_moments(store: "Store", hits: Iterable["Hit"]) -> dict[tuple[str, tuple[float, float] | None], str]:
    """(clip, moment) -> MOMENT frames of it side by side as a data URI, for the hits that have a moment and a file."""
    from gaid.datasets import Video
    from gaid.media.clip import Sampling

    sampling = replace(Sampling.of_store(store), frames=MOMENT, frame_sampling="even")
    videos = {}
    for hit in hits:
        if hit.moment is not None and hit.path is not None:
            start, end = (one + (hit.start or 0.0) for one in hit.moment)
            videos[hit.video, hit.moment] = Video(hit.video, Path(hit.path), start, end)
    found = _decode(videos, sampling, MOMENT_SIZE, UNUSED)
    return {key: encode_strip(clip.frames) for key, clip in found.items() if not isinstance(clip, MediaError)}


def _decode(
    videos: Mapping[K, "Video"], sampling: "Sampling", size: int, audio_spec: AudioSpec
) -> "dict[K, Clip | MediaError]":
    from gaid.media.clip import ClipRequest
    from gaid.media.pool import DecodePool

    if not videos:
        return {}
    spec = FrameSpec(size, "crop", "area")
    requests = [ClipRequest.of(video, sampling, spec, audio_spec) for video in videos.values()]
    with DecodePool(1) as pool:
        return dict(zip(videos, pool.map(requests), strict=True))


def encode_strip(frames: np.ndarray) -> str:
    """Frames (F, H, W, 3) side by side as one WebP, as a data URI."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(list(frames), axis=1)).save(buffer, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
