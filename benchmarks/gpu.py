"""What a GPU makes of each stage: scoring, steps of training, encoders, extraction. Run by name; a machine without one has no figures.

Rivals run in turn as everywhere here, but the clock waits for the device, and memory is the most that PyTorch's allocator held
on it beyond what it held before.
"""

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import published, score, train
from benchmarks.extract import decode, make_dataset
from benchmarks.features import write_store
from benchmarks.harness import Case, Findings, Options, Timing, cores
from gaid.extract import extract
from gaid.extract.options import BackboneChoice
from gaid.extract.plan import make_requests
from gaid.media.clip import Sampling
from gaid.training.step import Step, make_step

OURS = "gaid"
LIMIT = "products at the card's measured float32 rate"
MEMORY, MORE = 2**29, 2**32  # what scoring of a whole evaluation gets of `--memory 1GiB`, and of 8GiB
WORKERS = max(1, cores() - 2)


def race(rivals: Mapping[str, Callable[[], Any]], device: str, rounds: int) -> dict[str, Timing]:
    """Each rival twice to warm up, the second time with its memory watched, then all in turn, round after round."""
    on_gpu = device == "cuda"
    timings = {}
    for name, call in rivals.items():
        call()
        before = torch.cuda.memory_allocated() if on_gpu else 0
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        call()
        timings[name] = Timing([], torch.cuda.max_memory_allocated() - before if on_gpu else 0)
    for _ in range(rounds):
        for name, call in rivals.items():
            timings[name].seconds.append(seconds_of(call, on_gpu))
    return timings


def seconds_of(call: Callable[[], Any], on_gpu: bool) -> float:
    """Of a call and all that it started on the device."""
    if on_gpu:
        torch.cuda.synchronize()
    started = time.perf_counter()
    call()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def product_rate(device: str, size: int) -> float:
    """Floating point operations per second of a float32 matrix product."""
    matrix = torch.randn(size, size, device=device)
    taken = [seconds_of(lambda: matrix @ matrix, device == "cuda") for _ in range(5)]
    return 2 * size**3 / statistics.median(taken[2:])


def measure_scoring(
    preset: str, texts: int, videos: int, options: Options, device: str, rate: float, dim: int, frames: int
) -> Case:
    """A preset's scores of all pairs by what `auto` chooses, against the ways that the size allows."""
    head = score.make_head(preset, dim, frames, options.seed)
    whole = score.Inputs.draw(texts, videos, dim, frames, options.seed)
    head = head.to(device)
    inputs = tuple(part.to(device) for part in whole.all())

    def scoring(**choices: Any) -> Callable[[], Tensor]:
        return lambda: head.score(*inputs, seed=options.seed, **{"memory": MEMORY, **choices})

    rivals: dict[str, Callable[[], Any]] = {OURS: scoring(), f"{OURS}, eight times the memory": scoring(memory=MORE)}
    if texts * videos <= 2e6:
        rivals["direct"] = scoring(algorithm="direct", memory=MORE)
        if preset == "gaid":
            rivals["published evaluation"] = lambda: published.evaluate(head, *inputs)
        if preset == "t-mass":
            rivals[f"{OURS}, noise of each pair's own"] = scoring(noise="pair", memory=MORE)
    side = min(texts, videos, 64)
    corner = (inputs[0][:side], *(part[:side] for part in inputs[1:]))
    direct = head.score(*corner, algorithm="direct", seed=options.seed)
    with torch.inference_mode():
        error = float((scoring()()[:side, :side] - direct).abs().max())
        timings = race(rivals, device, options.rounds)
    return Case(
        f"scores, {preset}, {texts:,} x {videos:,}", OURS, timings,
        limit_seconds=score.products(head, texts, videos) / rate, limit=LIMIT, units=texts * videos, unit="pairs", error=error,
    )  # fmt: skip


class Steps:
    """The product's training, twenty steps per call, with the step that its device allows or a plain one."""

    COUNT = 20

    def __init__(self, store: Any, batch: int, out: Path, options: Options, device: str, plain: bool) -> None:
        ours = train.Ours(store, batch, out, options.seed, device=device)
        self.loop, self._batches = ours.loop, ours._batches
        # So many that the rate is a training's, not that of its end.
        self.loop.steps = 10**6
        if plain:
            assert self.loop.optimiser is not None
            self.loop.take_step = Step(self.loop.head, self.loop.optimiser, self.loop.config.clip_norm, {})

    def __call__(self) -> None:
        for batch, (inputs, same) in itertools.islice(self._batches, self.COUNT):
            self.loop._step(batch, inputs, same)
        self.loop._check_finite()


def measure_steps(store: Any, batch: int, options: Options, device: str, rate: float) -> Case:
    """Twenty steps of the preset `gaid`: as recorded, operation by operation, and as the published loop takes them."""
    head = train.build(store, options.seed).to(device).train()
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-4, weight_decay=0.2)
    drawn = tuple(part.to(device) for part in train.first_batch(store, batch, options.seed))
    with tempfile.TemporaryDirectory() as place:
        rivals: dict[str, Callable[[], Any]] = {
            OURS: Steps(store, batch, Path(place), options, device, plain=False),
            "operation by operation": Steps(store, batch, Path(place), options, device, plain=True),
        }
        if batch <= 128:  # it makes every pair's frames and embeddings
            rivals["published loop"] = lambda: [published.step(head, optimiser, drawn) for _ in range(Steps.COUNT)]
        timings = race(rivals, device, options.rounds)
    recorded = type(make_step(head, optimiser, 1.0, {}, torch.device(device))) is not Step
    return Case(
        f"{Steps.COUNT} steps of training, batch {batch}", OURS, timings,
        limit_seconds=Steps.COUNT * train.products(train.build(store, options.seed).train(), batch) / rate, limit=LIMIT,
        units=Steps.COUNT, unit="steps", about={"recorded": recorded},
    )  # fmt: skip


def measure_encoders(backbones: Any, clips: int, options: Options, device: str) -> Iterator[Case]:
    """CLIP and CLAP over decoded clips, against their bare towers over tensors that are on the device."""
    rng = np.random.default_rng(options.seed)
    visual, audio = backbones.visual, backbones.audio
    size = visual.frame_spec.size
    frames = rng.integers(0, 255, (clips, 12, size, size, 3), dtype=np.uint8)
    weight = next(visual._model.visual.parameters())
    pixels = torch.randn(clips * 12, 3, size, size, device=weight.device, dtype=weight.dtype)

    def tower() -> None:
        with torch.inference_mode():
            visual._model.visual(pixels)

    timings = race({OURS: lambda: visual.encode_frames(frames), "the bare tower": tower}, device, options.rounds)
    yield Case(f"{visual.name}, {clips * 12} frames", OURS, timings, units=clips * 12, unit="frames")
    samples = round(audio.audio_spec.rate * audio.audio_spec.shortest)
    windows = [0.1 * rng.standard_normal((12, samples), dtype=np.float32) for _ in range(clips)]
    mask = np.ones((clips, 12), bool)
    timings = race({OURS: lambda: audio.encode_audio(windows, mask)}, device, options.rounds)
    yield Case(f"{audio.name}, {clips * 12} windows", OURS, timings, units=clips * 12, unit="windows")


def measure_extraction(names: tuple[str, str], backbones: Any, clips: int, options: Options, device: str) -> Case:
    """An extraction whole, against decoding its clips by as many workers and nothing else. Once: it takes long."""
    with tempfile.TemporaryDirectory() as place:
        dataset = make_dataset(clips, 2.0 if options.quick else 10.0, Path(place))
        requests = list(make_requests(dataset, backbones, Sampling()))
        visual, audio = names

        def extraction() -> None:
            extract(
                dataset, out=Path(place) / "store.zarr", visual=visual, audio=audio, text=visual, device=device, workers=WORKERS,
                random_weights=True, progress=False,
            )  # fmt: skip

        ways: dict[str, Callable[[], Any]] = {OURS: extraction, "decoding alone": lambda: decode(requests, WORKERS)}
        timings = {name: Timing([seconds_of(call, device == "cuda")], 0) for name, call in ways.items()}
    return Case(f"extraction of {clips} clips, {WORKERS} workers", OURS, timings, units=clips, unit="clips")


def run(options: Options) -> Findings:
    """All of them; the quick form is small, leaves the encoders out and runs on the CPU too."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.quick:
        return Findings("gpu", [], notes=["This machine has no GPU, so nothing was measured."])
    rate = product_rate(device, 256 if options.quick else 8192)
    if options.quick:
        shapes, dim, frames = [("gaid", 20, 20), ("t-mass", 12, 10)], 32, 4
        batches: tuple[int, ...] = (8,)
        names, clips, many, videos = ("tiny", "tiny"), 0, 2, (24, 8)
    else:
        shapes = [(preset, 1000, 1000) for preset in ("gaid", "t-mass", "x-pool")]
        shapes += [(preset, 15_000, 1500) for preset in ("gaid", "t-mass")]
        batches, dim, frames = (32, 128, 512), 512, 12
        names, clips, many, videos = ("clip:ViT-B-32/openai", "clap:laion/clap-htsat-unfused"), 32, 400, (9500, 500)
    cases = [measure_scoring(*shape, options, device, rate, dim, frames) for shape in shapes]
    with tempfile.TemporaryDirectory() as place:
        store = write_store(Path(place) / "random.zarr", videos[0], dim, frames, validation=videos[1])
        cases += [measure_steps(store, batch, options, device, rate) for batch in batches]
    backbones = BackboneChoice(names[0], names[1], names[0], device, random_weights=True).load()
    if clips:
        cases += measure_encoders(backbones, clips, options, device)
    cases.append(measure_extraction(names, backbones, many, options, device))
    card = torch.cuda.get_device_name() if device == "cuda" else "no GPU"
    notes = [
        f"{card}, {rate / 1e12:.0f} TFLOP/s in float32 products; torch {torch.__version__}. Dimension {dim}, {frames} frames.",
        "Encoders have random weights of their real architecture.",
    ]
    return Findings("gpu", cases, notes=notes)
