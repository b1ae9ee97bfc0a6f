"""Extraction from end to end against what it is made of: decoding alone and encoding alone, on the same cores.

No extraction is faster than the slower of its two parts. Nor, where the parts share the cores, than the work of both divided
by the cores: the second bound is the seconds that one thread takes for each, added and divided. The larger of the two is the
limit that the table quotes; the note has both.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness import Case, Findings, Goal, Options, cores, once, race, threads
from benchmarks.media import FOLDER, make_clip
from gaid.backbones import Backbones
from gaid.backbones.inference import frames_to_tensor
from gaid.datasets.types import Caption, Dataset, Video
from gaid.errors import MediaError
from gaid.extract import extract
from gaid.extract.encoder import Encoder, fixed_threads
from gaid.extract.options import BackboneChoice, encode_threads
from gaid.extract.plan import make_requests
from gaid.extract.rows import ShardRows, ShardShape
from gaid.media.clip import Clip, ClipRequest, Sampling
from gaid.media.pool import DecodePool

OURS = "gaid extract"
ENCODER = "gaid encoder"
DECODING = "decoding alone"
FILES = 6  # files that the clips share: their decoding is not cached anywhere


@dataclass(frozen=True)
class Setting:
    """Backbones with as many clips as give seconds, not minutes."""

    name: str
    visual: str
    audio: str
    clips: int
    random_weights: bool = False


FULL = (
    Setting("tiny", "tiny", "tiny", 48),
    Setting("offline", "offline", "offline", 24),
    Setting("clip:ViT-B-32 at random weights, sound by tiny", "clip:ViT-B-32/openai", "tiny", 24, True),
)
LARGE = Setting(  # on a GPU
    "CLIP and CLAP at random weights", "clip:ViT-B-32/openai", "clap:laion/clap-htsat-unfused", 400, True
)
QUICK = (Setting("tiny", "tiny", "tiny", 4),)


def make_dataset(clips: int, length: float, folder: Path) -> Dataset:
    """So many clips of 360p with sound, a caption each."""
    paths = [make_clip("360p", 30, length, seed, folder) for seed in range(min(FILES, clips))]
    videos = tuple(Video(f"clip{row:05d}", paths[row % len(paths)]) for row in range(clips))
    captions = tuple(Caption(f"c{row}", video.id, f"clip {row}") for row, video in enumerate(videos))
    return Dataset("bench", folder, videos, captions, {"all": {"test": tuple(range(clips))}}, "all")


def decode(requests: list[ClipRequest], workers: int) -> list[Clip]:
    """All clips through the pool that extraction uses, and nothing else."""
    with DecodePool(workers, ahead=len(requests)) as pool:
        return [_sound(clip) for clip in pool.map(requests)]


def _sound(clip: Clip | MediaError) -> Clip:
    assert isinstance(clip, Clip), clip
    return clip


def encode(clips: list[Clip], texts: list[str], backbones: Backbones, shape: ShardShape, count: int) -> ShardRows:
    """All captions, and all clips, decoded before, through extraction's encoder stage."""
    rows = ShardRows(0, len(clips), shape)
    encoder = Encoder(backbones, "cpu", 32, False, threads=count)
    with fixed_threads(count), encoder:
        backbones.text.encode_text(texts)
        for row, clip in enumerate(clips):
            encoder.add(rows, row, str(row), clip)
        encoder.flush()
    return rows


def bare_loop(clips: list[Clip], texts: list[str], backbones: Backbones, count: int) -> Callable[[], Any] | None:
    """The models over inputs that are tensors already, clip by clip; None for encoders that are no torch model of frames."""
    visual: Any = backbones.visual
    if not backbones.visual.name.startswith("clip:"):
        return None
    ready = [frames_to_tensor(clip.frames, visual._mean, visual._std, "cpu") for clip in clips]

    def call() -> list[Any]:
        with threads(count), torch.inference_mode():
            backbones.text.encode_text(texts)
            pictures = [visual._model.visual(one) for one in ready]
            return [pictures, [backbones.audio.encode_audio([clip.audio], clip.audio_mask[None]) for clip in clips]]

    return call


def measure(setting: Setting, options: Options, folder: Path, notes: list[str]) -> tuple[list[Case], list[Goal]]:
    """One setting at one and at two workers, and its encoder stage against a bare loop."""
    dataset = make_dataset(setting.clips, 2.0 if options.quick else 10.0, folder)
    names = (setting.visual, setting.audio, setting.visual)
    backbones = BackboneChoice(*names, "cpu", setting.random_weights).load()
    requests = list(make_requests(dataset, backbones, Sampling()))
    clips = decode(requests, 1)
    texts = [caption.text for caption in dataset.captions]
    shape = ShardShape(12, backbones.visual.dim, backbones.audio.dim)
    count, number = encode_threads(), 0
    cases, goals = [], []

    def extraction(workers: int, place: str) -> Callable[[], Any]:
        def call() -> None:
            nonlocal number
            number += 1
            extract(
                dataset, out=Path(place) / f"{number}.zarr", visual=names[0], audio=names[1], text=names[2], device="cpu",
                workers=workers, random_weights=setting.random_weights, progress=False,
            )  # fmt: skip

        return call

    with tempfile.TemporaryDirectory() as place:
        parts: dict[str, Callable[[], Any]] = {
            "decoding, 1 worker": lambda: decode(requests, 1),
            "decoding, 2 workers": lambda: decode(requests, 2),
            "encoding, 1 thread": lambda: encode(clips, texts, backbones, shape, 1),
            f"encoding, {count} threads": lambda: encode(clips, texts, backbones, shape, count),
            "1": extraction(1, place),
            "2": extraction(2, place),
        }
        loop = bare_loop(clips, texts, backbones, count)
        if loop is not None:
            parts["a bare loop over tensors"] = loop
        timings = race(parts, options, rounds=min(options.rounds, 3))
    work = (timings["decoding, 1 worker"].median + timings["encoding, 1 thread"].median) / cores()
    encoding = timings[f"encoding, {count} threads"]
    for workers in (1, 2):
        slower = max(timings[f"decoding, {workers} worker{'s' * (workers > 1)}"].median, encoding.median)
        name = f"{setting.name}, {setting.clips} clips, {workers} worker{'s' * (workers > 1)}"
        rivals = {OURS: timings[str(workers)]}
        if workers == 1:
            rivals |= {who: timing for who, timing in timings.items() if who.startswith(("decoding", "encoding"))}
        bound = max(slower, work)
        cases.append(Case(name, OURS, rivals, bound, "the slower part, or both parts' work on these cores", setting.clips, "clips"))  # fmt: skip
        ratio = timings[str(workers)].median / bound
        goals.append(Goal(f"{name}: within 1.1 x of its bound", f"{ratio:.2f} x", ratio <= 1.1))
        notes.append(
            f"{name}: {setting.clips / timings[str(workers)].median:.1f} clips/s; {timings[str(workers)].median / slower:.2f} x the "
            f"slower part alone ({slower:.2f} s), {timings[str(workers)].median / work:.2f} x both parts' work on {cores()} cores ({work:.2f} s)."
        )
    if loop is not None:
        bare = timings["a bare loop over tensors"]
        cases.append(Case(f"{setting.name}, encoder stage, {count} threads", ENCODER, {ENCODER: encoding, "a bare loop over tensors": bare}))  # fmt: skip
        ratio = encoding.median / bare.median
        goals.append(Goal(f"{setting.name}: a bare loop at most 1.05 x faster", f"{ratio:.2f} x", ratio <= 1.05))
    return cases, goals


def measure_encoders(backbones: Backbones, clips: int, options: Options) -> list[Case]:
    """The visual encoder over decoded frames against its bare tower over tensors on the device, and the audio encoder."""
    rng = np.random.default_rng(options.seed)
    visual, audio = backbones.visual, backbones.audio
    size = visual.frame_spec.size
    frames = rng.integers(0, 255, (clips, 12, size, size, 3), dtype=np.uint8)
    rivals: dict[str, Callable[[], Any]] = {ENCODER: lambda: visual.encode_frames(frames)}
    if visual.name.startswith("clip:"):
        tower: Any = visual._model.visual  # type: ignore[attr-defined]
        weight = next(tower.parameters())
        pixels = torch.randn(clips * 12, 3, size, size, device=weight.device, dtype=weight.dtype)
        rivals["the bare tower"] = torch.inference_mode()(lambda: tower(pixels))
    cases = [
        Case(f"{visual.name}, {clips * 12} frames", ENCODER, race(rivals, options), units=clips * 12, unit="frames")
    ]
    samples = round(audio.audio_spec.rate * audio.audio_spec.shortest)
    windows = [0.1 * rng.standard_normal((12, samples), dtype=np.float32) for _ in range(clips)]
    timings = race({ENCODER: lambda: audio.encode_audio(windows, np.ones((clips, 12), bool))}, options)
    return [*cases, Case(f"{audio.name}, {clips * 12} windows", ENCODER, timings, units=clips * 12, unit="windows")]


def measure_on_a_gpu(setting: Setting, backbones: Backbones, options: Options, folder: Path) -> Case:
    """An extraction whole, against decoding its clips by as many workers and nothing else. Once: it takes long."""
    dataset, workers = make_dataset(setting.clips, 2.0 if options.quick else 10.0, folder), max(1, cores() - 2)
    requests = list(make_requests(dataset, backbones, Sampling()))
    with tempfile.TemporaryDirectory() as place:

        def extraction() -> None:
            extract(
                dataset, out=Path(place) / "store.zarr", visual=setting.visual, audio=setting.audio, text=setting.visual,
                device=options.device, workers=workers, random_weights=setting.random_weights, progress=False,
            )  # fmt: skip

        timings = {OURS: once(extraction, options), DECODING: once(lambda: decode(requests, workers), options)}
    return Case(
        f"{setting.name}, {setting.clips} clips, {workers} workers", OURS, timings, units=setting.clips, unit="clips"
    )


def run_on_a_gpu(options: Options, folder: Path = FOLDER) -> Findings:
    """Encoders by themselves, and an extraction, with goals of a GPU's own."""
    setting = replace(QUICK[0], clips=2) if options.quick else LARGE
    names = (setting.visual, setting.audio, setting.visual)
    backbones = BackboneChoice(*names, options.device, setting.random_weights).load()
    cases = [*measure_encoders(backbones, 2 if options.quick else 32, options)]
    cases.append(measure_on_a_gpu(setting, backbones, options, folder))
    ratio = 1 / cases[-1].times_faster(DECODING).median
    goal = Goal(f"{cases[-1].name}: within 1.1 x of decoding alone", f"{ratio:.2f} x", ratio <= 1.1)
    return Findings("extract", cases, [goal], ["Encoders have random weights of their real architecture."])


def run(options: Options, folder: Path = FOLDER) -> Findings:
    """Every setting."""
    cases: list[Case] = []
    goals: list[Goal] = []
    notes: list[str] = []
    for setting in QUICK if options.quick else FULL:
        found, of_setting = measure(setting, options, folder, notes)
        cases += found
        goals += of_setting
    notes.append(
        f"Clips of 360p and 10 s with sound, {FILES} files; models are loaded before, workers are started in the time."
    )
    return Findings("extract", cases, goals, notes)
