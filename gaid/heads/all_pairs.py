"""Scores of all (text, video) pairs from their folded parts, block by block, within a bound on memory."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gaid.heads import folded
from gaid.heads.algebra import Pairs, Pooled, Weights, products_with, with_one
from gaid.heads.folded import TextSide, VideoSide
from gaid.heads.gate import TokenGate
from gaid.heads.perturbation import NOISE_ROWS, DirectionalPerturbation, StochasticPerturbation
from gaid.heads.pooling import AttentionPooling

if TYPE_CHECKING:
    from gaid.heads.gated import GatedHead

VIDEOS = 32
# Texts whose trials are tried at once.
TRIED_TEXTS = 16


def texts_of_block(dim: int) -> int:
    """Texts of one block: (texts, dim) floats, gone through again and again, fill a core's second-level cache.

    The cache is the machine's own as the C library tells it; 1 MiB where it does not. Between 256 and 1,024 texts the
    measured time differs by a tenth, outside it grows (docs/performance.md).
    """
    try:
        cache = os.sysconf("SC_LEVEL2_CACHE_SIZE")
    except (AttributeError, ValueError, OSError):
        cache = 0
    held = cache if cache > 0 else 2**20
    return max(128, min(1024, held // (4 * dim) // 64 * 64))


def _text_side_in_blocks(head: "GatedHead", text: Float[Tensor, "texts dim"], size: int = 1024) -> TextSide:
    """`text_side` without its intermediate tensors of all texts: what is held of a text is itself and its query."""
    first = folded.text_side(head, text[:size])
    if len(text) <= size:
        return first
    gate = None if first.gate is None else text.new_empty(len(text))
    query = None if first.query is None else torch.empty_like(text)
    for start in range(0, len(text), size):
        rows = slice(start, start + size)
        side = folded.text_side(head, text[rows])
        for whole, part in ((gate, side.gate), (query, side.query)):
            if whole is not None and part is not None:
                whole[rows] = part
    return TextSide(text, gate, query)


def _cosines_with_frames(texts: TextSide, videos: VideoSide, share: Tensor) -> Float[Tensor, "videos frames texts"]:
    """Cosine of each text with each fused frame of each video."""
    products = folded.at(products_with(videos.parts, nn.functional.normalize(texts.text, dim=-1)), share)
    return products * videos.squares.at(share).clamp(min=1e-24).rsqrt()


@dataclass
class Trials:
    """A run of texts' draws, and what is computed of them once for all videos: |t + n std|² is |t|² + std·moving + std²·squares."""

    noise: Float[Tensor, "texts trials dim"]
    moving: Float[Tensor, "texts trials dim"]
    squares: Float[Tensor, "texts trials dim"]

    @classmethod
    def draw(
        cls, perturbation: StochasticPerturbation, text: Float[Tensor, "texts dim"], first: int, seed: int
    ) -> "Trials":
        """Those of the texts from row `first` on."""
        noise = perturbation.noise(first, first + len(text), text, seed)
        return cls(noise, 2 * noise * text[:, None], noise.square())


def score_block(
    head: "GatedHead",
    texts: TextSide,
    videos: VideoSide,
    gate_own: TextSide | None,
    pool_own: TextSide | None,
    trials: Trials | None,
) -> Float[Tensor, "videos texts"]:
    """Scores of one block; `trials`: those of its texts, where the head makes some."""
    pooled, share = folded.pool_and_shares(head, texts, videos, gate_own, pool_own)
    text, perturbation = texts.text, head.perturbation
    lengths = pooled.lengths()
    if perturbation is None:
        return pooled.products(text).t() / (text.norm(dim=-1) * lengths).clamp(min=1e-12)
    sims = _cosines_with_frames(texts, videos, share)
    # The bias as one more column of the layer, for one more row of ones.
    linear = perturbation.deviation.linear
    weight = torch.cat([linear.weight, linear.bias[:, None]], 1).t()
    sims = with_one(sims)
    if trials is not None:
        return _best_of_trials(trials, text, pooled, sims, weight) / lengths.clamp(min=1e-12)
    assert isinstance(perturbation, DirectionalPerturbation)
    products = torch.empty_like(sims[:, 0])
    moved_lengths = torch.empty_like(products)
    # A video at a time: the moved texts (T, D) stay in the cache from the product that makes them to the last that reads them.
    moved = torch.empty_like(text)
    for video in range(len(sims)):
        torch.mm(sims[video].t(), weight, out=moved)
        torch.addcmul(text, moved.exp_(), perturbation.alpha, out=moved)
        products[video] = pooled.products_of(video, moved)
        torch.linalg.vector_norm(moved, dim=1, out=moved_lengths[video])
    return products / (moved_lengths * lengths).clamp_(min=1e-12)


def _best_of_trials(
    trials: Trials,
    text: Tensor,
    pooled: Pooled | Pairs,
    sims: Float[Tensor, "videos frames_and_one texts"],
    weight: Tensor,
) -> Float[Tensor, "videos texts"]:
    """A text's trials with a run of videos are three products with its noise.

    Tensors are (texts, videos, dim) here: each text's products then read whole rows, and none of their strides is a power of
    two, by which the rows of a block would share a few lines of the cache (measured: 20 times slower).
    """
    plain = pooled.products(text)
    square = text.square().sum(-1)[:, None, None]
    sims = sims.permute(2, 0, 1)
    scores = torch.empty_like(plain)
    for first in range(0, len(text), TRIED_TEXTS):
        t = slice(first, first + TRIED_TEXTS)
        std = torch.matmul(sims[t].contiguous(), weight).exp_()
        embedding = pooled.embeddings(t)
        # (texts, trials, dim) @ (texts, dim, videos)
        products = torch.bmm(trials.noise[t], (embedding.transpose(0, 1) * std).mT).add_(plain[t, None])
        squares = torch.bmm(trials.moving[t], std.mT)
        squares = squares.baddbmm_(trials.squares[t], std.square_().mT).add_(square[t])
        products *= squares.clamp_(min=1e-24).rsqrt_()
        torch.amax(products, 1, out=scores[t])
    return scores.t()


def score(
    head: "GatedHead",
    text: Float[Tensor, "texts dim"],
    videos_at: "VideoSource",
    own: Int[Tensor, " videos"],
    gate_own: bool,
    pool_own: bool,
    memory: int,
    seed: int,
) -> Float[Tensor, "texts videos"]:
    """Scores of all pairs, block by block; `videos_at(start, stop)` gives the projected features of those videos.

    On the CPU each thread has blocks of its own: threads that share a block wait for one another at each of its many short
    steps, which took up to 1.7 times as long (docs/performance.md).
    """
    everything = _text_side_in_blocks(head, text)
    count, dim, frames = len(own), text.shape[1], videos_at.frames
    scores = text.new_empty(len(text), count)
    perturbation = head.perturbation if isinstance(head.perturbation, StochasticPerturbation) else None
    size = NOISE_ROWS if perturbation is not None else texts_of_block(dim)
    weights = Weights.of(head.pooling) if isinstance(head.pooling, AttentionPooling) else None
    parts = 1 if head.gate is None else 2 if not isinstance(head.gate, TokenGate) else videos_at.tokens // frames + 1
    # A block holds about six tensors of (videos, vectors, texts) and, a video, its vectors a few times over.
    per_video = 4 * (parts * frames + 3) * (6 * min(size, max(len(text), 1)) + 8 * dim)
    threads = torch.get_num_threads() if text.device.type == "cpu" else 1
    memory //= threads
    step = max(1, min(VIDEOS, memory // (2 * per_video)))
    held = step
    if perturbation is not None:
        # Drawing a text's trials costs as much as scoring it with some videos, so many videos are held beside them.
        held *= max(1, min(memory // (2 * step * per_video), -(-count // (step * threads))))

    def fill(begin: int) -> None:
        """The scores of the videos from `begin` on, as many as are held at once."""
        end = min(begin + held, count)
        runs = [slice(start, min(start + step, end)) for start in range(begin, end, step)]
        sides = [folded.video_side(head, *videos_at(run.start, run.stop), weights) for run in runs]
        owning = [everything.rows(own[run]) if gate_own or pool_own else None for run in runs]
        for first in range(0, len(text), size):
            rows = slice(first, first + size)
            some = everything.rows(rows)
            trials = None if perturbation is None else Trials.draw(perturbation, some.text, first, seed)
            for run, side, owner in zip(runs, sides, owning, strict=True):
                scores[rows, run] = score_block(
                    head, some, side, owner if gate_own else None, owner if pool_own else None, trials
                ).t()

    _each_in_a_thread(fill, range(0, count, held), threads)
    return scores


def _each_in_a_thread(call: Callable[[int], None], items: Sequence[int], threads: int) -> None:
    """Calls without gradients, side by side in threads that have one core each; one after the other where there is one."""
    threads = min(threads, len(items))
    if threads < 2:
        for item in items:
            call(item)
        return
    inference, before = torch.is_inference_mode_enabled(), torch.get_num_threads()

    def alone(item: int) -> None:
        with torch.inference_mode(inference), torch.no_grad():
            call(item)

    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(alone, items))
    finally:
        torch.set_num_threads(before)  # a thread's number is also that of threads which start later


class VideoSource:
    """Projected features of runs of videos, projected when asked for, so that the whole gallery is never held twice."""

    def __init__(self, head: "GatedHead", visual: Tensor, audio: Tensor, mask: Tensor) -> None:
        self.head, self.visual, self.audio, self.mask = head, visual, audio, mask
        self.frames = visual.shape[1]
        self.tokens = visual[0, ..., 0].numel() if len(visual) else 0

    @property
    def bytes_per_video(self) -> int:
        """Of one video's projected features."""
        return 4 * int(self.head.config["dim"]) * (self.tokens + self.frames)

    def __call__(self, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
        return self.head.project_videos(self.visual[start:stop], self.audio[start:stop], self.mask[start:stop])
