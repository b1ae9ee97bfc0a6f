"""Strips of frames for a page: the clips' own pictures at the moments that were sampled, decoded from the media again.

The store names its data set and where that lay. Where the media are gone, the page does without pictures.
"""

import base64
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaid.errors import GaidError, MediaError
from gaid.extract.sources import find_videos
from gaid.specs import AudioSpec, FrameSpec

if TYPE_CHECKING:
    from gaid.media.clip import Clip
    from gaid.stores import Store

SIZE = 72
QUALITY = 68


def load_strips(
    store: "Store", ids: Iterable[str], root: str | Path | None = None
) -> tuple[dict[str, str], str | None]:
    """(video id -> picture of its frames side by side as a data URI, why some or all are absent)."""
    clips, absent = load_clips(store, ids, AudioSpec(8000, 0.01, 0.01), root)  # the audio is not used
    return {video: encode_strip(clip.frames) for video, clip in clips.items()}, absent


def load_clips(
    store: "Store", ids: Iterable[str], audio_spec: AudioSpec, root: str | Path | None = None
) -> tuple[dict[str, "Clip"], str | None]:
    """(video id -> its frames, small, and its sound, sampled as the store's were; why some or all are absent).

    `root`: where the clips lie, if not where the store says.
    """
    from gaid.extract.again import changed_since, describe_changed
    from gaid.media.clip import ClipRequest, Sampling
    from gaid.media.pool import DecodePool

    try:
        videos = find_videos(store, ids, root)
    except (GaidError, OSError) as error:
        return {}, f"the media are not at hand ({error})"
    clips, failures = {}, []
    sampling, small = Sampling.of_store(store), FrameSpec(SIZE, "crop", "area")
    requests = [ClipRequest.of(video, sampling, small, audio_spec) for video in videos.values()]
    with DecodePool(1) as pool:
        for video, clip in zip(videos.values(), pool.map(requests), strict=True):
            if isinstance(clip, MediaError):
                failures.append(f"{video.id} ({clip.reason})")
            else:
                clips[video.id] = clip
    absent = [f"no pictures of {', '.join(failures)}"] if failures else []
    changed = changed_since(store, videos.values())
    if changed:
        absent.append(f"{describe_changed(changed)}: the pictures shown are of the new file")
    return clips, "; ".join(absent) or None


def encode_strip(frames: np.ndarray) -> str:
    """Frames (F, H, W, 3) side by side as one WebP, as a data URI."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(list(frames), axis=1)).save(buffer, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
