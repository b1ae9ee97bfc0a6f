"""Scores of all (text, video) pairs: folded, against the direct way, the same in compiled blocks, and the published evaluation.

A time counts only where the scores agree: each case states the largest difference to the direct way over the pairs that
the direct way was run on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks import published
from benchmarks.harness import Case, Findings, Goal, Options, in_part, once, race, threads
from benchmarks.limits import Rates, measure_rates
from gaid.devices import parse_memory
from gaid.heads import build_head
from gaid.heads.base import Algorithm
from gaid.heads.gated import GatedHead
from gaid.heads.pooling import AttentionPooling
from gaid.heads.scoring import direct
from gaid.heads.trial_noise import TrialNoise

OURS = "gaid, folded"
SHARED = "gaid, noise shared by a text's videos"
PUBLISHED_NOISE = "gaid, t-mass, published noise"
LIMIT = "products and exponentials at measured rates"
MEMORY = 256 << 20  # bytes that scoring may hold beyond its inputs
ON_A_GPU = "gaid"  # by what `auto` chooses there
SMALL = "gaid, --memory 1GiB"


@dataclass(frozen=True)
class Shape:
    """Texts by videos; `part` is the side of the square of pairs on which slow rivals are measured."""

    texts: int
    videos: int
    part: int
    rivals: bool = True


FULL = {
    "gaid": [Shape(1000, 1000, 100), Shape(3000, 3000, 100, rivals=False)],
    "x-pool": [Shape(1000, 1000, 200), Shape(3000, 3000, 200, rivals=False)],
    "t-mass": [Shape(1000, 1000, 100), Shape(3000, 3000, 100, rivals=False)],
}
VATEX = Shape(15_000, 1_500, 100, rivals=False)


@dataclass(frozen=True)
class Inputs:
    """Random features of a size; a fifth of the frames has no sound."""

    text: Tensor
    visual: Tensor
    audio: Tensor
    mask: Tensor

    @classmethod
    def draw(cls, texts: int, videos: int, dim: int, frames: int, seed: int) -> "Inputs":
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        mask = torch.rand((videos, frames), generator=generator) < 0.8
        return cls(normal(texts, dim), normal(videos, frames, dim), normal(videos, frames, dim), mask)

    def corner(self, side: int) -> "Inputs":
        """The first texts and videos."""
        return Inputs(self.text[:side], self.visual[:side], self.audio[:side], self.mask[:side])

    def all(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.text, self.visual, self.audio, self.mask


def make_head(preset: str, dim: int, frames: int, seed: int) -> GatedHead:
    """A head in the state of one that was trained: no weight is the identity or 0 any more."""
    torch.manual_seed(seed)
    head = build_head(preset, visual_dim=dim, audio_dim=dim, text_dim=dim, frames=frames)
    assert isinstance(head, GatedHead)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return head.eval()


def products(head: GatedHead, texts: int, videos: int) -> float:
    """Floating point operations of the folded way's matrix products, for the limit. Elementwise work is left out."""
    dim, frames = int(head.config["dim"]), int(head.config["frames"])
    ends = frames * head.gate.ends_per_frame(1)
    attends = isinstance(head.pooling, AttentionPooling)
    vectors = ends + 3 if attends else ends
    trials = head.perturbation.trials
    per_pair = dim * (vectors + (ends if attends else 0))  # with the basis; attention
    if head.perturbation.moves:
        per_pair += dim * (ends + frames + 1)  # cosines; deviation
    if trials:
        per_pair += dim * (3 * trials + vectors)  # noise with three tensors; the pair's embedding
    per_video = ends * dim * dim * (1 + (2 if attends else 0))
    return 2.0 * (per_pair * texts * videos + per_video * videos + 3 * texts * dim * dim)


def limit(head: GatedHead, shape: Shape, rates: Rates) -> float:
    """Seconds for these products and exponentials at the machine's measured rates."""
    exponentials = shape.texts * shape.videos * int(head.config["dim"]) if head.perturbation.moves else 0
    return products(head, shape.texts, shape.videos) / rates.flops + exponentials / rates.exps


def compiled_blocks(head: GatedHead, inputs: Inputs, block: int = 32, compiled: bool = True) -> Callable[[], Tensor]:
    """The fair rival: the direct way, which makes every pair's frames, compiled and in blocks that fit the cache.

    Compiling takes half a minute; the quick form (`compiled` False) leaves it out.
    """
    together = torch.compile(_direct_block, dynamic=False) if compiled else _direct_block
    noise = head.perturbation.trial_noise(0, len(inputs.text), None)

    def call() -> Tensor:
        rows = [
            torch.cat(
                [together(head, *_block(inputs, t, v, block), t, noise) for v in range(0, len(inputs.visual), block)], 1
            )
            for t in range(0, len(inputs.text), block)
        ]
        return torch.cat(rows)

    return torch.inference_mode()(call)


def _block(inputs: Inputs, first: int, video: int, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    videos = slice(video, video + size)
    return inputs.text[first : first + size], inputs.visual[videos], inputs.audio[videos], inputs.mask[videos]


def _direct_block(
    head: GatedHead, text: Tensor, visual: Tensor, audio: Tensor, mask: Tensor, first: int, noise: TrialNoise | None
) -> Tensor:
    features = head.project_videos(visual, audio, mask)
    return direct.score_block(head.parts, head.embed_text(text), features, first_text=first, noise=noise)


def measure(preset: str, shape: Shape, options: Options, dim: int = 512, frames: int = 12) -> Case:
    """One preset at one size."""
    head = make_head(preset, dim, frames, options.seed)
    inputs = Inputs.draw(shape.texts, shape.videos, dim, frames, options.seed)
    corner = inputs.corner(shape.part)

    def fold(of: Inputs) -> Tensor:
        return head.score(*of.all(), memory=MEMORY, seed=options.seed)

    kept: dict[str, Tensor] = {}

    def whole() -> None:
        kept["scores"] = fold(inputs)

    pairs = shape.texts * shape.videos
    if pairs > 2e6:
        fold(corner)  # to warm up
        timings = {OURS: once(whole, options)}
    else:
        timings = race({OURS: whole}, options, rounds=3)
    share = len(corner.text) * len(corner.visual) / pairs
    plain_head = published.plainly(head)

    def directly(by: GatedHead) -> Callable[[], Tensor]:
        return lambda: by.score(*corner.all(), algorithm="direct", memory=MEMORY, seed=options.seed)

    plain = directly(plain_head)
    timings["direct"] = in_part(plain, share, options, rounds=2)
    if plain_head.pooling is not head.pooling:
        timings["gaid, direct"] = in_part(directly(head), share, options, rounds=2)
    if shape.rivals:
        side = shape.part // 32 * 32
        rival = compiled_blocks(plain_head, inputs.corner(side), compiled=not options.quick)
        difference = (rival() - fold(inputs.corner(side))).abs().max()
        assert difference < 1e-4, f"the compiled rival computes something else: {difference}"
        timings["direct, compiled blocks"] = in_part(rival, side * side / pairs, options, rounds=2)
    with threads(options.threads):
        error = float((plain() - kept["scores"][: shape.part, : shape.part]).abs().max())
    return Case(
        name=f"{preset}, {shape.texts:,} x {shape.videos:,}",
        ours=OURS,
        timings=timings,
        limit_seconds=limit(head, shape, measure_rates(options.threads)),
        limit=LIMIT,
        units=pairs,
        unit="pairs",
        error=error,
    )


def measure_published(options: Options, size: int, dim: int = 512, frames: int = 12) -> Case:
    """The published evaluation whole, at a size that it can hold."""
    head = make_head("gaid", dim, frames, options.seed)
    inputs = Inputs.draw(size, size, dim, frames, options.seed)

    def fold() -> Tensor:
        return head.score(*inputs.all(), gate_by="own_caption", pool_by="own_caption", memory=MEMORY)

    error = float((published.evaluate(head, *inputs.all()) - fold()).abs().max())
    timings = race(
        {
            OURS: lambda: head.score(*inputs.all(), memory=MEMORY),
            "gaid, folded, under the published protocol": fold,
            "published algorithm": lambda: published.evaluate(head, *inputs.all()),
        },
        options,
        rounds=2,
    )
    return Case(
        f"gaid, {size} x {size}",
        OURS,
        timings,
        limit_seconds=limit(head, Shape(size, size, size), measure_rates(options.threads)),
        limit=LIMIT,
        units=size * size,
        unit="pairs",
        error=error,
    )


def measure_noise(options: Options, size: int, dim: int = 512, frames: int = 12) -> Case:
    """T-MASS's trials under its published protocol: noise drawn anew for each pair, beside noise that all videos of a text share.

    These are two computations with two results; the error is that of each pair's noise to the direct way, in a corner.
    """
    head = make_head("t-mass", dim, frames, options.seed)
    inputs = Inputs.draw(size, size, dim, frames, options.seed)
    published_by: dict[str, Any] = {"gate_by": "own_caption", "pool_by": "own_caption", "memory": MEMORY}
    timings = race(
        {
            SHARED: lambda: head.score(*inputs.all(), **published_by, noise="text"),
            PUBLISHED_NOISE: lambda: head.score(*inputs.all(), **published_by, noise="pair"),
        },
        options,
        rounds=3,
    )
    corner = inputs.corner(min(size, 24))
    ways: tuple[Algorithm, ...] = ("folded", "direct")
    one, two = (head.score(*corner.all(), algorithm=way, noise="pair") for way in ways)
    return Case(
        f"t-mass, {size} x {size}, published protocol",
        SHARED,
        timings,
        limit_seconds=limit(head, Shape(size, size, size), measure_rates(options.threads)),
        limit=LIMIT,
        units=size * size,
        unit="pairs",
        error=float((one - two).abs().max()),
    )


def run(options: Options) -> Findings:
    """All sizes, with the goals."""
    if options.quick:
        small = {"dim": 32, "frames": 4}
        presets = ("gaid", "x-pool", "t-mass")
        cases = [measure(preset, Shape(64, 48, 32, preset == "gaid"), options, **small) for preset in presets]
        cases += [measure_noise(options, 24, **small), measure_published(options, 24, **small)]
        return Findings("score", cases, _goals(cases))
    cases = [measure(preset, shape, options) for preset, shapes in FULL.items() for shape in shapes]
    cases.append(measure("gaid", VATEX, options))
    cases += [measure_noise(options, 300), measure_published(options, 300)]
    rates = measure_rates(options.threads)
    notes = [
        f"Rates measured in the same run: {rates.flops / 1e9:.0f} GFLOP/s in float32 products, {rates.exps / 1e9:.1f} "
        f"billion exponentials a second in cache, {rates.copied / 1e9:.1f} GB/s copied (read and written).",
        '`direct` makes the key and the value of every pair\'s every frame, as published; `gaid, direct` is `algorithm="direct"`, where '
        "the value is taken of the attended mean.",
        "The direct ways are run on a corner of the pairs and scaled by the number of pairs, as the table says; their memory is that of "
        "the corner.",
        "What has more than two million pairs is run once; the compiled rival, whose time a pair is the same at any size, at the first "
        "size of each preset.",
        "Compilation (about a minute) is not counted for the compiled rival.",
        "One float32 tensor of (texts, videos, dim) of the published way is 46 GB at 15,000 x 1,500.",
    ]
    return Findings("score", cases, _goals(cases), notes, {"rates": rates.to_dict()})


def measure_on_a_gpu(preset: str, texts: int, videos: int, options: Options, dim: int = 512, frames: int = 12) -> Case:
    """A preset's scores of all pairs with the memory that commands give a head, against the ways that the size allows."""
    head = make_head(preset, dim, frames, options.seed).to(options.device)
    inputs = tuple(part.to(options.device) for part in Inputs.draw(texts, videos, dim, frames, options.seed).all())
    usual, small = (parse_memory(size, options.device) // 2 for size in ("auto", "1GiB"))

    def scoring(**choices: Any) -> Callable[[], Tensor]:
        return lambda: head.score(*inputs, seed=options.seed, **{"memory": usual, **choices})

    rivals: dict[str, Callable[[], Any]] = {ON_A_GPU: scoring(), SMALL: scoring(memory=small)}
    if texts * videos <= 2e6:
        rivals["direct"] = scoring(algorithm="direct")
        if preset == "gaid":
            rivals["published algorithm"] = lambda: published.evaluate(head, *inputs)
        if preset == "t-mass":
            rivals["gaid, noise of each pair's own"] = scoring(noise="pair")
    side = min(texts, videos, 64)
    direct = head.score(*(part[:side] for part in inputs), algorithm="direct", seed=options.seed)
    with torch.inference_mode():
        error = float((scoring()()[:side, :side] - direct).abs().max())
        timings = race(rivals, options)
    rates = measure_rates(options.threads, options.device)
    seconds, pairs = limit(head, Shape(texts, videos, side), rates), texts * videos
    return Case(f"{preset}, {texts:,} x {videos:,}", ON_A_GPU, timings, seconds, LIMIT, pairs, "pairs", error)


def run_on_a_gpu(options: Options) -> Findings:
    """Published tests' sizes of each preset, with goals of a GPU's own."""
    if options.quick:
        cases = [measure_on_a_gpu(preset, 24, 24, options, dim=32, frames=4) for preset in FULL]
    else:
        sizes = [(preset, 1000, 1000) for preset in FULL] + [
            (preset, VATEX.texts, VATEX.videos) for preset in ("gaid", "t-mass")
        ]
        cases = [measure_on_a_gpu(*size, options) for size in sizes]
    rates = measure_rates(options.threads, options.device)
    goals = []
    for case in cases:
        for who, least in (("direct", 0.91), ("published algorithm", 2.0)):
            if who in case.timings:
                ratio = case.times_faster(who)
                goals.append(Goal(f"{case.name}: {least:g} x {who}", f"{ratio.median:.2f} x", ratio.median >= least))
    worst = max(case.error or 0.0 for case in cases)
    goals.append(Goal("error under 2e-5", f"{worst:.1e}", worst < 2e-5))
    notes = [
        f"{rates.flops / 1e12:.1f} TFLOP/s in float32 products, {rates.copied / 1e9:,.0f} GB/s copied (read and written)."
    ]
    return Findings("score", cases, goals, notes, {"rates": rates.to_dict()})


def _goals(cases: list[Case]) -> list[Goal]:
    first, last = cases[0], cases[-1]
    by_direct = first.times_faster("direct")
    by_compiled = first.times_faster("direct, compiled blocks")
    by_published = last.times_faster("published algorithm")
    most = max(case.timings[case.ours].peak_bytes for case in cases)
    worst = max(case.error or 0.0 for case in cases)
    goals = [
        Goal("100 x direct (gaid, first size)", f"{by_direct.median:.0f} x", by_direct.median >= 100),
        Goal("30 x compiled blocks", f"{by_compiled.median:.0f} x", by_compiled.median >= 30),
        Goal("30 x the published evaluation", f"{by_published.median:.0f} x", by_published.median >= 30),
        Goal("memory under 512 MiB beyond the inputs at any size", f"{most / 2**20:.0f} MiB", most < 512 << 20),
        Goal("error under 2e-5", f"{worst:.1e}", worst < 2e-5),
    ]
    vatex = [case for case in cases if f"{VATEX.texts:,}" in case.name]
    if vatex:
        seconds = vatex[0].timings[OURS].median
        goals.append(Goal("VATEX's shape in about a minute", f"{seconds:.0f} s", seconds < 75))
    return goals
