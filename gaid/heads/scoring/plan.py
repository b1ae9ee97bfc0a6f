"""The plan of scoring on a device: which blocks the pairs are divided into, and what is done at once within a block.

A CPU core is fastest with blocks that fit its cache, one thread per block and one video after the other; a GPU with few,
large launches, where one tensor holds a block's texts as moved for all its videos. Both use the algebra of `folded`, and
results differ by rounding alone.
"""

import os
from dataclasses import dataclass
from typing import Literal

import torch

# How an evaluation moves texts: not, once, or by trials, which are the text's or each pair's own.
Moved = Literal["not", "once", "by trials", "by own trials"]
CPU_VIDEOS = 32
# Texts with trials in one block on the CPU, whose noise is held; and those whose trials are compared at once.
CPU_TEXTS_WITH_TRIALS, CPU_TRIED_TEXTS = 64, 16
# CPU: how many texts direct scoring takes as long for as folding takes to fold one video, and how many as it takes to fold
# attention's weights, once per call (at 512 dimensions), by what moves the texts. Measured (docs/performance.md).
CPU_FEW: dict[Moved, tuple[int, int]] = {
    "not": (20, 570),
    "once": (11, 140),
    "by trials": (5, 90),
    "by own trials": (20, 1100),
}
CPU_FEW_MEANS = 100  # videos that are means of their frames, and texts that are not moved
GPU_TEXTS = 2048
GPU_FEW_PAIRS = 5000  # direct scoring takes as long for these as folding takes to start
GPU_TRIED_TEXTS = 256
# Numbers of pairs' own noise held at once on the CPU: with what is computed from them they fill a second-level cache.
CPU_NOISE = 2**17


@dataclass(frozen=True)
class Work:
    """The size of a call: all pairs of `texts` and `videos`.

    `vectors`: how many a video's pooled embeddings combine. `trials`: STP's per text, `own_trials`: STP's per pair.
    `moves`: whether texts are perturbed. `pairs`: whether pooled embeddings are made for each pair (fusion of tokens).
    """

    texts: int
    videos: int
    dim: int
    vectors: int
    trials: int
    own_trials: int
    moves: bool
    pairs: bool

    @property
    def floats_per_pair(self) -> int:
        """Numbers held per pair where all pairs of a block are computed at once."""
        wide = (4 if self.pairs else 0) + (6 if self.own_trials else 3 if self.trials else 1 if self.moves else 0)
        return 6 * self.vectors + 2 * self.trials + wide * self.dim


@dataclass(frozen=True)
class Plan:
    """Blocks of `texts` by `videos`. `together`: a block's moved texts are one tensor for all its videos, not one per video.

    `held`: videos that are kept for each run of texts with trials, since drawing these costs as much as comparing them.
    `tried_texts`, `tried_pairs`: how many texts, and how many pairs with draws of their own, are compared at once.
    """

    texts: int
    videos: int
    held: int
    tried_texts: int
    tried_pairs: int
    threads: int
    together: bool


def prefers_large_launches(device: torch.device) -> bool:
    """Whether starting an operation costs more than the operation itself: on every device but the CPU."""
    return device.type != "cpu"


def few_texts(videos: int, tokens: int, dim: int, moved: Moved, attends: bool, device: torch.device) -> int:
    """How many texts at most are scored faster directly: too few share what folding computes once per video and per call.

    `tokens`: per frame. `moved`: how texts are. `attends`: whether the pooling has weights to fold.
    """
    videos = max(videos, 1)
    if prefers_large_launches(device):
        return GPU_FEW_PAIRS // videos + (1 if moved == "not" else 5)
    of_video, of_call = CPU_FEW[moved]
    if not attends:
        of_video, of_call = CPU_FEW_MEANS if moved == "not" else of_video, 0
    return of_video * max(1, tokens // 8) + of_call * dim // 512 // videos


def make_plan(work: Work, memory: int, device: torch.device) -> Plan:
    """The plan for a device, which then holds at most `memory` bytes beside the inputs and the scores."""
    return _few_launches(work, memory) if prefers_large_launches(device) else _in_cache(work, memory)


def _in_cache(work: Work, memory: int) -> Plan:
    texts = CPU_TEXTS_WITH_TRIALS if work.trials or work.own_trials else texts_of_block(work.dim)
    threads = torch.get_num_threads()
    # A block holds about six tensors of (videos, vectors, texts) and, for each video, its vectors a few times over.
    per_video = 4 * work.vectors * (6 * min(texts, max(work.texts, 1)) + 8 * work.dim)
    videos = max(1, min(CPU_VIDEOS, memory // threads // (2 * per_video)))
    held = _held(work, videos, memory // threads // (2 * per_video), threads)
    pairs = pairs_at_once(work.own_trials * work.dim, memory // threads, cached=True)
    return Plan(texts, videos, held, CPU_TRIED_TEXTS, pairs, threads, together=False)


def _few_launches(work: Work, memory: int) -> Plan:
    texts = min(max(work.texts, 1), GPU_TRIED_TEXTS if work.trials or work.own_trials else GPU_TEXTS)
    of_texts = 12 * texts * work.trials * work.dim
    # In double precision while their products are taken.
    of_video = 4 * work.vectors * (8 * work.dim + 12 * work.vectors)
    # Where trials are held, so are many videos; what is left over is for the allocator's gaps.
    share = memory // 2 if work.trials or work.own_trials else memory * 9 // 10
    videos = max(1, (share - of_texts) // (4 * work.floats_per_pair * texts + of_video))
    videos = min(videos, max(work.videos, 1))
    pairs = pairs_at_once(work.own_trials * work.dim, memory, cached=False)
    return Plan(texts, videos, _held(work, videos, memory // 2 // of_video, 1), texts, pairs, 1, together=True)


def pairs_at_once(numbers: int, memory: int, cached: bool) -> int:
    """How many pairs with so many `numbers` of noise (16 bytes each with what follows from them) fit a quarter of the memory, and,
    if `cached`, a CPU's cache."""
    held = min(memory // 64, CPU_NOISE) if cached else memory // 64
    return max(1, held // max(numbers, 1))


def _held(work: Work, videos: int, most: int, threads: int) -> int:
    if not work.trials:
        return videos
    return videos * max(1, min(most // videos, -(-work.videos // (videos * threads))))


def texts_of_block(dim: int) -> int:
    """Texts of one block on the CPU: (texts, dim) floats, which are read again for each video, fill a core's second-level cache.

    The size of the cache is asked of the C library; 1 MiB where it does not know. Between 256 and 1,024 texts the measured
    time differs by a tenth, outside this range it grows (docs/performance.md).
    """
    try:
        cache = os.sysconf("SC_LEVEL2_CACHE_SIZE")
    except (AttributeError, ValueError, OSError):
        cache = 0
    held = cache if cache > 0 else 2**20
    return max(128, min(1024, held // (4 * dim) // 64 * 64))
