"""Training on cached features: steps against the published loop and the products' limit, and what caching itself saves.

The three numbers of the last case are those that the project exists for: the first epoch with extraction, each later epoch,
and the same steps with decoding and backbone in the loop, whose losses must be the same.
"""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import published
from benchmarks.features import write_store
from benchmarks.harness import Case, Findings, Goal, Options, once, race, threads
from benchmarks.limits import measure_rates
from benchmarks.media import make_clip
from gaid.datasets.types import Caption, Dataset, Video
from gaid.extract import extract
from gaid.extract.encoder import encode_batch
from gaid.extract.plan import make_requests
from gaid.heads import build_head
from gaid.heads.features import Features
from gaid.heads.gated import GatedHead
from gaid.media.clip import Sampling
from gaid.media.decode import decode_clip
from gaid.stores import Store, open_store
from gaid.training.batches import Batches, on_device
from gaid.training.loop import Loop
from gaid.training.options import TrainConfig
from gaid.training.step import Step
from gaid.training.validation import Validation

OURS = "gaid"
PLAIN = "gaid, operation by operation"
STEPS = 20  # of one call on a GPU


def build(store: Store, seed: int, dropout: float = 0.0) -> GatedHead:
    """The preset `gaid`, of one seed; its own dropout is 0, the published one 0.3."""
    torch.manual_seed(seed)
    head = build_head(
        "gaid",
        visual_dim=store.visual_dim,
        audio_dim=store.audio_dim,
        text_dim=store.text_dim,
        frames=store.frames,
        dropout=dropout,
    )
    assert isinstance(head, GatedHead)
    return head


class Ours:
    """The product's loop, driven step by step over the batches of its epochs."""

    def __init__(
        self,
        store: Store,
        batch: int,
        out: Path,
        seed: int,
        epochs: int = 1000,
        device: str = "cpu",
        dropout: float = 0.0,
    ) -> None:
        head = build(store, seed, dropout).to(device)
        self.loop = Loop(
            head,
            TrainConfig(batch_size=batch, epochs=epochs, seed=seed),
            store.split("train"),
            Validation(store.split("val"), head, device),
            out,
            device,
            {"store": {"fingerprint": store.fingerprint}},
            progress=False,
        )
        self.loop.head.train()
        self._batches = self._endless()

    def _endless(self) -> Iterator[Any]:
        for number in itertools.count():
            batches = self.loop.batches.epoch(number)
            yield from zip(batches, on_device(self.loop.data, batches), strict=True)

    def steps(self, count: int) -> list[float]:
        """Goes on by some steps; their losses."""
        found = []
        for _ in range(count):
            batch, (inputs, same) = next(self._batches)
            self.loop._step(batch, inputs, same)
            found.append(float(self.loop.state.losses.means()["loss"]))
            self.loop.state.losses = type(self.loop.state.losses)()
        return found

    def take(self, count: int) -> None:
        """Goes on by some steps, and waits for the device only after the last one, as a training does after an epoch."""
        for batch, (inputs, same) in itertools.islice(self._batches, count):
            self.loop._step(batch, inputs, same)
        self.loop._check_finite()

    def epoch(self) -> None:
        """The steps of an epoch and its evaluation."""
        self.steps(self.loop.batches.batches_per_epoch)
        self.loop.validation.evaluate(self.loop.head)


class Theirs:
    """The published loop on the same store, clip by clip."""

    def __init__(self, store: Store, batch: int, seed: int, dropout: float = 0.0) -> None:
        self.store, self.head = store, build(store, seed, dropout).train()
        self.optimiser = torch.optim.AdamW(self.head.parameters(), lr=1e-4, weight_decay=0.2)
        self.batch, self.seed = batch, seed
        self._batches = self._endless()

    def _load(self, number: int) -> Any:
        captions = list(self.store["splits/all/train"][:])
        return published.load(self.store, captions, self.batch, self.seed + number)

    def _endless(self) -> Iterator[Any]:
        for number in itertools.count():
            yield from self._load(number)

    def steps(self, count: int) -> None:
        for _ in range(count):
            published.step(self.head, self.optimiser, next(self._batches))

    def epoch(self) -> None:
        for batch in self._load(0):
            published.step(self.head, self.optimiser, batch)
        data = Features.of(self.store.split("val"), "cpu")
        self.head.eval()
        published.evaluate(self.head, data.text, data.visual, data.audio, data.audio_mask)
        self.head.train()


def products(head: GatedHead, batch: int) -> int:
    """Floating point operations of the matrix products of one step of ours, forward and back, as torch counts them."""
    dim, frames = int(head.config["dim"]), int(head.config["frames"])
    text, visual, audio = torch.randn(batch, dim), torch.randn(batch, frames, dim), torch.randn(batch, frames, dim)
    with FlopCounterMode(display=False) as counter:
        head.loss(text, visual, audio, torch.ones(batch, frames, dtype=torch.bool)).total.backward()
    head.zero_grad()
    return int(counter.get_total_flops())


def measure_steps(store: Store, batch: int, options: Options, whole: bool, dropout: float = 0.0) -> Case:
    """Steps of a batch. Where the published loop's tensors don't fit (`whole` False), a batch of 128 stands for its pairs."""
    rates = measure_rates(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(store, batch, Path(folder), options.seed, dropout=dropout)
        theirs = Theirs(store, batch if whole else 128, options.seed, dropout)
        rivals = {OURS: lambda: ours.steps(3), "published loop": lambda: theirs.steps(1)}
        timings = race(rivals, options, rounds=2)
    timings[OURS].seconds = [seconds / 3 for seconds in timings[OURS].seconds]
    if not whole:
        share = (128 / batch) ** 2
        theirs_scaled = timings["published loop"]
        theirs_scaled.seconds = [seconds / share for seconds in theirs_scaled.seconds]
        theirs_scaled.share = share
        theirs_scaled.note = (
            f"would hold {batch * batch * store.frames * store.visual_dim * 4 / 2**30:.0f} GiB a tensor"
        )
    return Case(
        f"a step, batch {batch}" + (f", dropout {dropout:g}" if dropout else ""),
        OURS,
        timings,
        limit_seconds=products(build(store, options.seed, dropout).train(), batch) / rates.flops,
        limit="its matrix products at the measured rate",
        units=batch,
        unit="clips",
    )


def measure_on_a_gpu(store: Store, batch: int, options: Options) -> Case:
    """Twenty steps of the preset `gaid`: as the product takes them, operation by operation, and as the published loop does over a
    batch that is on the device."""
    head = build(store, options.seed).to(options.device).train()
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-4, weight_decay=0.2)
    drawn = tuple(part.to(options.device) for part in first_batch(store, batch, options.seed))
    with tempfile.TemporaryDirectory() as place:
        ours, plain = (Ours(store, batch, Path(place), options.seed, device=options.device) for _ in range(2))
        for one in (ours, plain):
            one.loop.steps = 10**6  # so many that the rate is a training's, not that of its end
        assert plain.loop.optimiser is not None
        plain.loop.take_step = Step(plain.loop.head, plain.loop.optimiser, plain.loop.config.clip_norm, {})
        rivals: dict[str, Callable[[], Any]] = {OURS: lambda: ours.take(STEPS), PLAIN: lambda: plain.take(STEPS)}
        if batch <= 128:  # it makes every pair's frames and embeddings
            rivals["published loop"] = lambda: [published.step(head, optimiser, drawn) for _ in range(STEPS)]
        timings = race(rivals, options)
    rates = measure_rates(options.threads, options.device)
    return Case(
        f"{STEPS} steps, batch {batch}",
        OURS,
        timings,
        limit_seconds=STEPS * products(build(store, options.seed).train(), batch) / rates.flops,
        limit="their matrix products at the measured rate",
        units=STEPS,
        unit="steps",
        about={"recorded": type(ours.loop.take_step) is not Step},
    )


def run_on_a_gpu(options: Options) -> Findings:
    """Steps of three batches, with goals of a GPU's own."""
    dim, frames, batches, clips = (32, 4, (8,), (24, 8)) if options.quick else (512, 12, (32, 128, 512), (9500, 500))
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(Path(folder) / "random.zarr", clips[0], dim, frames, validation=clips[1], seed=options.seed)
        cases = [measure_on_a_gpu(store, batch, options) for batch in batches]
    goals = []
    for case in cases:
        for who, least in ((PLAIN, 1.0), ("published loop", 3.0)):
            if who in case.timings:
                ratio = case.times_faster(who)
                goals.append(Goal(f"{case.name}: {least:g} x {who}", f"{ratio.median:.1f} x", ratio.median >= least))
    recorded = [case.name for case in cases if case.about["recorded"]]
    notes = [f"Steps recorded as a CUDA graph: {', '.join(recorded) or 'none'}. Dimension {dim}, {frames} frames."]
    return Findings("train", cases, goals, notes)


def measure_epoch(store: Store, batch: int, options: Options) -> Case:
    """An epoch over the store with its evaluation."""
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Ours(store, batch, Path(folder), options.seed), Theirs(store, batch, options.seed)
        timings = race({OURS: ours.epoch, "published loop": theirs.epoch}, options, rounds=1)
    parts = store.protocols["all"]
    return Case(f"an epoch of {parts['train']} clips, evaluated on {parts['val']}", OURS, timings)


class InTheLoop:
    """The same steps with every clip decoded and encoded when its batch comes, as end-to-end training does."""

    def __init__(self, store: Store, dataset: Dataset, backbones: Any, batch: int, seed: int, out: Path) -> None:
        self.ours = Ours(store, batch, out, seed)
        requests = make_requests(dataset, backbones, Sampling.of_store(store))
        self.request = {video.id: request for video, request in zip(dataset.videos, requests, strict=True)}
        self.backbones = backbones

    def steps(self, count: int) -> list[float]:
        found, loop = [], self.ours.loop
        for _ in range(count):
            batch, (inputs, same) = next(self.ours._batches)
            visual, audio, masks = [], [], []
            for video in batch.videos:
                clip = decode_clip(self.request[self.ours.loop.split.video_ids[video]])
                features = encode_batch([clip], self.backbones)[0]
                assert not isinstance(features, str)
                visual.append(features.visual)
                audio.append(features.audio)
                masks.append(clip.audio_mask)
            made = [torch.from_numpy(np.stack(part)) for part in (visual, audio, masks)]
            loop._step(batch, (inputs[0], made[0].float(), made[1].float(), made[2]), same)
            found.append(float(loop.state.losses.means()["loss"]))
            loop.state.losses = type(loop.state.losses)()
        return found


def make_dataset(clips: int, size: str, seconds: float, validation: int) -> Dataset:
    """Generated clips, each with a caption of its own."""
    paths = [make_clip(size, 30, seconds, seed) for seed in range(clips)]
    videos = tuple(Video(path.stem, path) for path in paths)
    captions = tuple(Caption(f"c{row}", video.id, f"the clip of seed {row}") for row, video in enumerate(videos))
    train = tuple(range(clips - validation))
    splits = {"all": {"train": train, "val": tuple(range(clips - validation, clips))}}
    return Dataset("bench", paths[0].parent, videos, captions, splits, "all")


def measure_three_numbers(options: Options) -> tuple[Case, dict[str, Any]]:
    """First epoch with extraction; each later epoch; the same steps with decoding and backbone in the loop."""
    from gaid.backbones import load_backbones

    quick = options.quick
    names = ("tiny", "tiny", "tiny") if quick else ("clip:ViT-B-32/openai", "tiny", "clip:ViT-B-32/openai")
    clips, steps, batch = (8, 2, 3) if quick else (12, 20, 4)
    dataset = make_dataset(clips, "360p", 2.0 if quick else 10.0, validation=2 if quick else 4)
    with tempfile.TemporaryDirectory() as folder, threads(options.threads):
        out = Path(folder) / "features.zarr"
        visual, audio, text = names
        report = extract(
            dataset, out=out, visual=visual, audio=audio, text=text, device="cpu", workers=options.threads,
            random_weights=True, progress=False,
        )  # fmt: skip
        store = open_store(report.store)
        backbones = load_backbones(*names, device="cpu", random_weights=True)
        cached = Ours(store, batch, Path(folder), options.seed)
        looped = InTheLoop(store, dataset, backbones, batch, options.seed, Path(folder))
        torch.manual_seed(options.seed)  # of the perturbation's draws
        started = time.perf_counter()
        first = cached.steps(steps)
        by_cache = time.perf_counter() - started
        torch.manual_seed(options.seed)
        second: list[float] = []
        in_loop = once(lambda: second.extend(looped.steps(steps)), options)
        difference = max(abs(a - b) for a, b in zip(first, second, strict=True))
        again = race({"cached": lambda: cached.steps(steps)}, options, rounds=5)["cached"]
    per_epoch = cached.loop.batches.batches_per_epoch
    timings = {
        "gaid, cached features": again,
        "decoding and backbone in the loop": in_loop,
    }
    figures = {
        "clips": clips,
        "backbone": names[0],
        "batch": batch,
        "extraction_seconds": report.seconds,
        "first_epoch_seconds": report.seconds + by_cache * per_epoch / steps,
        "later_epoch_seconds": again.median * per_epoch / steps,
        "in_the_loop_epoch_seconds": in_loop.median * per_epoch / steps,
        "largest_difference_of_losses": difference,
    }
    name = f"{steps} steps of {batch} clips, {names[0]} at random weights"
    return Case(name, "gaid, cached features", timings, error=difference), figures


def run(options: Options) -> Findings:
    """Steps, an epoch, and the three numbers."""
    dim, frames = (32, 4) if options.quick else (512, 12)
    clips, validation = (40, 8) if options.quick else (1024 + 300, 300)
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(Path(folder) / "random.zarr", clips, dim, frames, validation, options.seed)
        if options.quick:
            cases = [
                measure_steps(store, 8, options, whole=True),
                measure_steps(store, 8, options, whole=True, dropout=0.3),
                measure_epoch(store, 8, options),
            ]
        else:
            cases = [
                measure_steps(store, 128, options, whole=True),
                measure_steps(store, 512, options, whole=False),
                measure_steps(store, 128, options, whole=True, dropout=0.3),
            ]
            smaller = write_store(Path(folder) / "smaller.zarr", 384 + 128, dim, frames, 128, options.seed)
            cases.append(measure_epoch(smaller, 128, options))
    case, figures = measure_three_numbers(options)
    cases.append(case)
    return Findings("train", cases, _goals(cases, figures), _notes(figures), {"three numbers": figures})


def _notes(figures: dict[str, Any]) -> list[str]:
    return [
        f"Of {figures['clips']} clips ({figures['backbone']}, random weights): first epoch with extraction "
        f"{figures['first_epoch_seconds']:.1f} s, each later epoch {figures['later_epoch_seconds']:.2f} s, an epoch with decoding and "
        f"backbone in the loop {figures['in_the_loop_epoch_seconds']:.1f} s; losses differ by "
        f"{figures['largest_difference_of_losses']:.1e} at most.",
        "The published loop: every pair's fused frames and embedding made, clips read one by one by a DataLoader, evaluation as "
        "published. Its batch of 512 is scaled by pairs from one of 128, since it would not fit into memory.",
    ]


def _goals(cases: list[Case], figures: dict[str, Any]) -> list[Goal]:
    goals = []
    for case in cases[:-1]:
        ratio = case.times_faster("published loop")
        goals.append(Goal(f"5 x the published loop ({case.name})", f"{ratio.median:.0f} x", ratio.median >= 5))
        if case.over_limit is not None and "dropout" not in case.name:
            share = 1 / case.over_limit
            goals.append(Goal(f"half of the products' limit ({case.name})", f"{100 * share:.0f} %", share >= 0.5))
    in_loop = cases[-1].times_faster("decoding and backbone in the loop")
    goals.append(Goal("100 x the loop with decoding and backbone", f"{in_loop.median:.0f} x", in_loop.median >= 100))
    difference = figures["largest_difference_of_losses"]
    goals.append(Goal("losses equal to 1e-5", f"{difference:.1e}", difference <= 1e-5))
    return goals


def first_batch(store: Store, batch: int, seed: int) -> tuple[Tensor, ...]:
    """The first batch of the first epoch, for a test that holds both losses together."""
    split = store.split("train")
    inputs, _ = next(on_device(Features.of(split, "cpu"), Batches(split, batch, seed).epoch(0)))
    return inputs
