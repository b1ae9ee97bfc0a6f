"""What tests of decoding ask of a file."""

from dataclasses import replace
from functools import partial

import pytest

from gaid.errors import DependencyMissing
from gaid.media.clip import ClipRequest
from gaid.media.decode import check_decoder
from gaid.specs import AudioSpec, FrameSpec


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
