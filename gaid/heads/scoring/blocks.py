"""Scores of all (text, video) pairs from their folded parts, block by block, within a bound on memory."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gaid.heads.perturbation import Block, Comparison
from gaid.heads.scoring import folded
from gaid.heads.scoring.parts import Parts
from gaid.heads.scoring.plan import Plan, Work, make_plan
from gaid.heads.scoring.sides import TextSide, VideoSide
from gaid.heads.trial_noise import TrialNoise

Project = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class VideoSource:
    """Projected features of runs of videos, projected when asked for, so that the whole gallery is never held twice.

    `project` takes (visual, audio, audio_mask) as stored to where texts are, `dim` numbers each.
    """

    project: Project
    visual: Float[Tensor, "videos frames *patches visual_dim"]
    audio: Float[Tensor, "videos frames audio_dim"]
    mask: Tensor
    dim: int

    def __len__(self) -> int:
        return len(self.visual)

    @property
    def frames(self) -> int:
        return self.visual.shape[1]

    @property
    def tokens_per_frame(self) -> int:
        """Patch tokens of a frame, 1 where a frame is one embedding."""
        return self.visual.shape[2] if self.visual.ndim == 4 else 1

    @property
    def bytes_per_video(self) -> int:
        """Of one video's projected features."""
        return 4 * self.dim * self.frames * (self.tokens_per_frame + 1)

    def __call__(self, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
        return self.project(self.visual[start:stop], self.audio[start:stop], self.mask[start:stop])


def score_block(
    texts: TextSide,
    videos: VideoSide,
    gate_own: TextSide | None,
    pool_own: TextSide | None,
    comparison: Comparison,
    first_video: int,
    plan: Plan,
) -> Float[Tensor, "videos texts"]:
    """Scores of one block, whose videos begin at row `first_video`."""
    pooled, shares = folded.pool_and_shares(texts, videos, gate_own, pool_own)

    def by_query() -> folded.Pooled | folded.Pairs:
        return pooled if pool_own is None else folded.pool(texts, videos, gate_own)

    return comparison.folded(Block(texts, videos, first_video, shares, pooled, by_query, plan))


def score(
    parts: Parts,
    text: Float[Tensor, "texts dim"],
    source: VideoSource,
    gate_own: Int[Tensor, " videos"] | None,
    pool_own: Int[Tensor, " videos"] | None,
    memory: int,
    noise: TrialNoise | None,
) -> Float[Tensor, "texts videos"]:
    """Scores of all pairs, block by block.

    `gate_own`, `pool_own`: rows of the captions that gate and pool the videos; None where the text that asks does. Which
    blocks there are is the device's `Plan`. On the CPU each thread has blocks of its own: threads that share a block wait
    for one another at each of its many short steps, which took up to 1.7 times as long (docs/performance.md).
    """
    everything = folded.text_side_in_blocks(parts, text)
    count = len(source)
    scores = text.new_empty(len(text), count)
    pooling = parts.pooling.fold()
    plan = make_plan(_work(parts, text, source, noise), memory, text.device)

    def fill(begin: int) -> None:
        """The scores of the videos from `begin` on, as many as are held at once."""
        end = min(begin + plan.held, count)
        runs = [slice(start, min(start + plan.videos, end)) for start in range(begin, end, plan.videos)]
        sides = [folded.video_side(parts, *source(run.start, run.stop), pooling) for run in runs]
        gating, pooled_by = (
            [None if own is None else everything.rows(own[run]) for run in runs] for own in (gate_own, pool_own)
        )
        for first in range(0, len(text), plan.texts):
            rows = slice(first, first + plan.texts)
            some = everything.rows(rows)
            comparison = parts.perturbation.of_texts(some.text, first, noise)
            for run, side, gate, pool in zip(runs, sides, gating, pooled_by, strict=True):
                scores[rows, run] = score_block(some, side, gate, pool, comparison, run.start, plan).t()

    _each_in_a_thread(fill, range(0, count, plan.held), plan.threads)
    return scores


def _work(parts: Parts, text: Tensor, source: VideoSource, noise: TrialNoise | None) -> Work:
    trials, per_pair = (noise.trials, noise.per_pair) if noise else (0, False)
    return Work(
        texts=len(text),
        videos=len(source),
        dim=text.shape[1],
        vectors=parts.gate.ends_per_frame(source.tokens_per_frame) * source.frames + 3,
        trials=0 if per_pair else trials,
        own_trials=trials if per_pair else 0,
        moves=parts.perturbation.moves,
        pairs=parts.gate.fuses_tokens,
    )


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
