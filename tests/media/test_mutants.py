"""Files that were cut, overwritten and spliced at random: each ends as a clip or as a told error."""

from pathlib import Path

import numpy as np
import pytest

from gaid.errors import MediaError
from gaid.media.clip import Clip
from gaid.media.limits import DecodeLimits
from gaid.media.pool import DecodePool
from gaid.specs import FrameSpec
from tests.media.asking import request_little as request
from tests.media_maker import write_video


def seeds(folder):
    return [
        write_video(folder / "a.mp4", frames=12),
        write_video(folder / "b.mkv", frames=12, sound_codec="pcm_s16le"),
        write_video(folder / "c.webm", frames=8, codec="libvpx-vp9", sound_codec="libopus", sound_rate=48000),
        write_video(folder / "d.avi", frames=12, codec="mpeg4", sound_codec="pcm_s16le"),
        write_video(folder / "e.ts", frames=12),
        write_video(folder / "f.mov", frames=6, codec="prores_ks", pix_fmt="yuv422p10le", sound=None),
        write_video(folder / "g.mp4", frames=1, rotation=90),
        write_video(folder / "h.mp4", frames=6, codec="libx265", layout="stereo"),
    ]


def mutate(data, other, rng):
    data = bytearray(data)
    kind = rng.integers(5)
    at = int(rng.integers(len(data)))
    if kind == 0:
        for _ in range(rng.integers(1, 20)):
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    elif kind == 1:
        del data[max(1, at) :]
    elif kind == 2:
        length = int(rng.integers(1, 200))
        data[at : at + length] = bytes(len(data[at : at + length]))
    elif kind == 3:
        data[at:] = other[int(rng.integers(len(other))) :]
    else:
        data[at : at + 4] = rng.bytes(len(data[at : at + 4]))
    return bytes(data)


@pytest.mark.slow
def test_mutants_end_as_clips_or_as_told_errors(tmp_path):
    rng = np.random.default_rng(20240601)
    originals = [path.read_bytes() for path in seeds(tmp_path / "seeds")]
    suffixes = ["mp4", "mkv", "webm", "avi", "ts", "mov", "mp4", "mp4"]
    requests = []
    for number in range(320):
        which = number % len(originals)
        path = tmp_path / f"{number}.{suffixes[which]}"
        path.write_bytes(mutate(originals[which], originals[rng.integers(len(originals))], rng))
        requests.append(request(path, frame_spec=FrameSpec(32)))
    limits = DecodeLimits(seconds=20, memory_bytes=2 << 30)
    with DecodePool(2, limits) as pool:
        answers = list(pool.map(requests))
    decoded = 0
    for asked, answer in zip(requests, answers, strict=True):
        name = Path(asked.path).name
        if isinstance(answer, MediaError):
            assert answer.reason in ("unreadable", "no video", "empty", "refused", "too large"), (name, str(answer))
            continue
        assert isinstance(answer, Clip)
        decoded += 1
        assert answer.frames.shape == (4, 32, 32, 3), name
        assert np.isfinite(answer.times).all(), name
        assert np.isfinite(answer.duration), name
        assert answer.duration > 0, name
        assert np.isfinite(answer.audio).all(), name
        assert np.abs(answer.audio).max() <= 1, name
    assert decoded > 0.5 * len(requests), "the mutator is too rough"
