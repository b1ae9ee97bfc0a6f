"""What tests of decoding ask of a file."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from gaid.errors import DependencyMissing
from gaid.media.clip import ClipRequest
from gaid.media.decode import check_decoder
from gaid.specs import AudioSpec, FrameSpec

try:
    check_decoder("ffmpeg")
    _MISSING = ""
except DependencyMissing as error:
    _MISSING = str(error)
decoders = pytest.mark.parametrize(
    "decoder", ["pyav", pytest.param("ffmpeg", marks=pytest.mark.skipif(bool(_MISSING), reason=_MISSING))]
)
"""Runs a test with each decoder that this machine has."""


def onsets(clip, rate: int) -> list[float]:
    """Absolute times of the first loud sample of each window that has one."""
    length = clip.audio.shape[1]
    found = []
    for window, time in zip(clip.audio, clip.times, strict=True):
        loud = np.flatnonzero(np.abs(window) > 0.3)
        if len(loud):
            found.append(time + (loud[0] - length // 2) / rate)
    return found


def skip_without(decoder: str) -> str:
    """The decoder's name; the test is skipped where it can't run on this machine."""
    try:
        check_decoder(decoder)
    except DependencyMissing as error:
        pytest.skip(str(error))
    return decoder


def request(path, **changes) -> ClipRequest:
    """Twelve pictures of the whole file, half a second of sound with each; anything else as told."""
    whole = ClipRequest(
        path=str(path),
        start=None,
        end=None,
        audio_path=None,
        frames=12,
        frame_spec=FrameSpec(96),
        audio_spec=AudioSpec(16000, 0.5, 5.0),
    )
    return replace(whole, **changes)


request_little = partial(request, frames=4, audio_spec=AudioSpec(16000, 0.1, 5.0))
"""Four pictures with a tenth of a second each, for tests of what becomes of the file."""
