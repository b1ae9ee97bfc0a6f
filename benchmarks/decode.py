"""Decoding 12 frames and the sound of a clip: ours beside torchcodec, decord and ffmpeg's own program, one thread each.

And what it costs that a process of its own decodes: the same clips in this process, through workers, and in threads.

All give the same pictures first: those on screen at the moments that ours chose, at the file's own size; the mean difference is
told. What ours then makes of them (the backbone's size) is left out by asking for pictures of the file's height.
"""

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Case, Findings, Goal, Options, race
from benchmarks.media import FOLDER, RATE, SIZES, make_clip
from gaid.media import pyav as media_pyav
from gaid.media.clip import Clip, ClipRequest, FrameSampling
from gaid.media.decode import decode_clip
from gaid.media.limits import DecodeLimits
from gaid.media.pool import DecodePool
from gaid.specs import AudioSpec, FrameSpec

OURS = "gaid"
KEYS = "gaid, --frame-sampling keyframes"
HERE = "gaid, in this process"
FRAMES = 12
SOUND = AudioSpec(16_000, 0.96, 0.96)
LIMITS = DecodeLimits(seconds=600.0)
SAME = 2.0  # of 255: the mean difference that pictures of another decoder may have
FULL = [("360p", gop, 30.0) for gop in (12, 30, 250)] + [("1080p", gop, 10.0) for gop in (12, 30, 250)]
QUICK = [("360p", 12, 1.0)]
Pictures = Callable[[], np.ndarray]


def without_sound(path: Path) -> Path:
    """A copy of the same packets without the sound's."""
    import av

    silent = path.with_name(f"{path.stem}-silent.mp4")
    if not silent.exists():
        unfinished = silent.with_suffix(".unfinished.mp4")
        with av.open(str(path)) as source, av.open(str(unfinished), "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
        unfinished.replace(silent)
    return silent


def request_for(path: Path, height: int) -> ClipRequest:
    return ClipRequest(str(path), None, None, None, FRAMES, FrameSpec(height), SOUND)


def ours(path: Path, height: int) -> Clip:
    return media_pyav.decode_with_pyav(request_for(path, height), LIMITS)


@contextmanager
def nothing_converted() -> Iterator[None]:
    """Ours with the pictures decoded and left as they are: what the decoder alone takes."""
    real = media_pyav.Pictures._convert
    media_pyav.Pictures._convert = lambda self, picture: np.zeros((1, 1, 3), np.uint8)  # type: ignore[method-assign]
    try:
        yield
    finally:
        media_pyav.Pictures._convert = real  # type: ignore[method-assign]


def cut(picture: np.ndarray) -> np.ndarray:
    """The middle square, as ours cuts it."""
    height, width = picture.shape[:2]
    left = round((width - height) / 2)
    return picture[:, left : left + height]


def peers(path: Path, numbers: list[int], clip: Clip, notes: list[str]) -> dict[str, Pictures]:
    """Who is installed, each giving the pictures (F, H, W, 3) of these numbers in the file."""
    found: dict[str, Pictures] = {}
    wanted = set(numbers)
    if find_spec("torchcodec") is None:
        notes.append("torchcodec is not installed: pip install 'gaid[bench]'.")
    else:
        try:
            from torchcodec.decoders import VideoDecoder
        except (ImportError, RuntimeError, OSError) as error:
            notes.append(f"torchcodec can't be loaded here: {str(error).strip().splitlines()[0]}")
        else:

            def by_seeking() -> np.ndarray:
                decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="approximate")
                return np.stack([cut(one) for one in decoder.get_frames_at(numbers).data.numpy()])

            def in_sequence() -> np.ndarray:
                decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="approximate")
                kept = {}
                for number in range(max(wanted) + 1):
                    picture = decoder.get_frame_at(number).data
                    if number in wanted:
                        kept[number] = cut(picture.numpy())
                return np.stack([kept[number] for number in numbers])

            found["torchcodec, by seeking"] = by_seeking
            found["torchcodec, in sequence"] = in_sequence
    if find_spec("decord") is None:
        notes.append("decord (eva-decord) is not installed: pip install 'gaid[bench]'.")
    else:
        from decord import VideoReader, cpu

        def with_decord() -> np.ndarray:
            reader = VideoReader(str(path), ctx=cpu(0), num_threads=1)
            return np.stack([cut(one) for one in reader.get_batch(numbers).asnumpy()])

        found["decord"] = with_decord
    from shutil import which

    if find_spec("ffmpeg") is None or which("ffmpeg") is None:
        notes.append("ffmpeg-python or the program ffmpeg is not installed.")
    else:
        import ffmpeg

        height, width = SIZES[path.name.split("-")[0]][::-1]
        choice = "+".join(f"eq(n,{number})" for number in sorted(wanted))

        def with_ffmpeg() -> np.ndarray:
            flow = ffmpeg.input(str(path), threads=1).filter("select", choice)
            flow = flow.output("pipe:", format="rawvideo", pix_fmt="rgb24", vsync="0")
            raw, _ = flow.run(capture_stdout=True, capture_stderr=True)
            pictures = np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
            return np.stack([cut(one) for one in pictures])

        found["ffmpeg-python"] = with_ffmpeg
    return found


def measure(size: str, gop: int, length: float, options: Options, notes: list[str], folder: Path) -> Case:
    """One file: its pictures by all, and with the sound by ours."""
    path = make_clip(size, gop, length, folder=folder)
    silent, height = without_sound(path), SIZES[size][1]
    clip = ours(silent, height)
    numbers = [round(float(at) * RATE) for at in clip.frame_times]
    rivals: dict[str, Callable[[], Any]] = {OURS: lambda: ours(silent, height)}
    worst = 0.0
    for who, call in peers(silent, numbers, clip, notes).items():
        theirs = call()
        assert theirs.shape == clip.frames.shape, (who, theirs.shape, clip.frames.shape)
        differs = float(np.abs(theirs.astype(np.int16) - clip.frames.astype(np.int16)).mean())
        assert differs < SAME, f"{who} gives other pictures of {silent}: {differs:.1f} of 255"
        worst = max(worst, differs)
        rivals[who] = call
    rivals["gaid, sound too"] = lambda: ours(path, height)
    rounds = min(options.rounds, 3)
    timings = race(rivals, options, rounds=rounds)
    with nothing_converted():
        alone = race({"alone": lambda: ours(silent, height)}, options, rounds=rounds)["alone"]
    name = f"{size}, a key frame every {gop}, {length:g} s"
    about = {"pictures_decoded": clip.decoded}
    return Case(
        name, OURS, timings, alone.median, "the decoder alone, nothing converted", FRAMES, "frames", worst, about
    )


def measure_samplings(gop: int, options: Options, folder: Path) -> Case:
    """A clip of 300 pictures with sound under each frame sampling."""
    length = 1.0 if options.quick else 10.0
    request = request_for(make_clip("360p", gop, length, folder=folder), 224)
    ways: dict[str, FrameSampling] = {
        OURS: "even",
        KEYS: "keyframes",
        "gaid, --frame-sampling per-second": "per-second",
    }
    requests = {who: replace(request, frame_sampling=way) for who, way in ways.items()}
    rivals = {who: partial(decode_clip, one) for who, one in requests.items()}
    timings = race(rivals, options, rounds=options.rounds)
    for who, one in requests.items():
        clip = decode_clip(one)
        timings[who].note = f"{clip.decoded} decoded, {len(np.unique(clip.frame_times))} of {FRAMES} different"
    return Case(f"360p, a key frame every {gop}, {length:g} s, with sound", OURS, timings, units=FRAMES, unit="frames")


def measure_workers(options: Options, folder: Path) -> Case:
    """Clips with sound of a size that encoders take, decoded here, in processes of their own, and in threads of this process."""
    count, length = (4, 1.0) if options.quick else (24, 10.0)
    paths = [make_clip("360p", 30, length, seed, folder) for seed in range(min(count, 4))]
    requests = [request_for(paths[number % len(paths)], 224) for number in range(count)]
    with DecodePool(1) as one, DecodePool(2) as two, ThreadPoolExecutor(2) as threads:
        rivals: dict[str, Callable[[], Any]] = {
            HERE: lambda: [decode_clip(request) for request in requests],
            "gaid, a worker": lambda: list(one.map(requests)),
            "gaid, 2 workers": lambda: list(two.map(requests)),
            "gaid, 2 threads": lambda: list(threads.map(decode_clip, requests)),
        }
        timings = race(rivals, options, rounds=min(options.rounds, 3))
    return Case(f"{count} clips of 360p and {length:g} s, with sound", HERE, timings, units=count, unit="clips")


def run(options: Options, folder: Path = FOLDER) -> Findings:
    """Every size and distance of key frames, and the workers."""
    one_thread = replace(copy.copy(options), threads=1)
    notes: list[str] = []
    cases = [measure(*what, one_thread, notes, folder) for what in (QUICK if options.quick else FULL)]
    goals = []
    for case in cases:
        mine = case.timings[OURS]
        others = {who: timing for who, timing in case.timings.items() if not who.startswith("gaid")}
        if others:
            best = min(others, key=lambda who: others[who].median)
            ratio = mine.median / others[best].median
            goals.append(Goal(f"{case.name}: within 1.1 x of the fastest peer", f"{ratio:.2f} x {best}", ratio <= 1.1))
        sound = case.timings["gaid, sound too"].median / mine.median
        goals.append(Goal(f"{case.name}: with sound within 1.15 x of pictures alone", f"{sound:.2f} x", sound <= 1.15))
    more = [measure_samplings(gop, one_thread, folder) for gop in ((12,) if options.quick else (30, 250))]
    more.append(measure_workers(one_thread, folder))
    notes = list(dict.fromkeys(notes))
    notes += [
        "One thread each: extraction decodes clips in workers, one clip a thread. Pictures are of the same moments; `differs by` is the "
        f"largest mean difference, of 255 (it must be under {SAME:g}).",
        "Pictures decoded by ours: "
        + ", ".join(f"{case.name}: {case.about['pictures_decoded']}" for case in cases)
        + ".",
        f"`gaid, sound too` decodes the sound track as well and resamples {FRAMES} windows to {SOUND.rate} Hz.",
        "The frame samplings and the workers decode for encoders of 224 pixels. Key frames are other pictures, and the same one "
        "several times where they are few.",
        "Workers are started before the clock; a clip's pictures and sound come back through a pipe.",
    ]
    return Findings("decode", [*cases, *more], goals, notes)
