"""How scoring goes through all pairs on a device: which blocks there are, and what is done at once within one.

A core is fastest in blocks that fit its cache, with one thread per block and one video after the other; a GPU in few,
large launches, with the texts as moved for all videos of a block in one tensor. The algebra is `folded`'s on both, and
results differ by rounding alone.
"""

import os
from dataclasses import dataclass

import torch

# Noise is drawn for fixed runs of texts, so that the blocks in which scores are computed don't change it.
NOISE_ROWS = 64
CPU_VIDEOS = 32
# Texts whose trials are tried at once on the CPU.
CPU_TRIED_TEXTS = 16
GPU_TEXTS = 2048
GPU_FEW_PAIRS = 5000  # that are scored directly in the time that folding takes to start
GPU_TRIED_TEXTS = 4 * NOISE_ROWS
# Numbers of pairs' own noise that are at hand at once on the CPU: with what becomes of them they fill a second-level cache.
CPU_NOISE = 2**17


@dataclass(frozen=True)
class Work:
    """What there is to score: all pairs of `texts` and `videos`.

    `vectors` are those that a video's pooled embeddings combine; `trials` are STP's that a text has for all videos,
    `own_trials` those of each pair's own; `moves` says whether texts are perturbed; `pairs` whether pooled embeddings are
    made for each pair (fusion of tokens).
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
        """What is held of a pair where all pairs of a block are gone through at once."""
        wide = (4 if self.pairs else 0) + (6 if self.own_trials else 3 if self.trials else 1 if self.moves else 0)
        return 6 * self.vectors + 2 * self.trials + wide * self.dim


@dataclass(frozen=True)
class Plan:
    """Blocks of `texts` by `videos`. `together`: what a block's texts become for its videos is one tensor, not one per video.

    `held`: videos whose parts are kept while a run of texts' trials is at hand, since drawing these costs as much as trying them.
    `tried_pairs`: pairs whose own trials are tried at once.
    """

    texts: int
    videos: int
    held: int
    tried_texts: int
    tried_pairs: int
    threads: int
    together: bool


def prefers_large_launches(device: torch.device) -> bool:
    """Whether a launch costs more than what it does: everywhere but on the CPU."""
    return device.type != "cpu"


def few_texts(videos: int, tokens: int, moves: bool, draws: bool, device: torch.device) -> int:
    """Up to so many texts the direct way is faster: too few share what folding computes once per video.

    `tokens` a frame has; `moves`, `draws`: whether texts are perturbed, and by trials. Measured (docs/performance.md).
    """
    if prefers_large_launches(device):
        return GPU_FEW_PAIRS // max(videos, 1) + (5 if moves else 1)
    return (4 if draws else 8) * max(1, tokens // 8)


def make_plan(work: Work, memory: int, device: torch.device) -> Plan:
    """The plan for a device that holds at most `memory` bytes beside its inputs and the scores."""
    return _few_launches(work, memory) if prefers_large_launches(device) else _in_cache(work, memory)


def _in_cache(work: Work, memory: int) -> Plan:
    texts = NOISE_ROWS if work.trials or work.own_trials else texts_of_block(work.dim)
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
    # Where trials are held, so are the parts of many videos; what is left over is for the allocator's gaps.
    share = memory // 2 if work.trials or work.own_trials else memory * 9 // 10
    videos = max(1, (share - of_texts) // (4 * work.floats_per_pair * texts + of_video))
    videos = min(videos, max(work.videos, 1))
    pairs = pairs_at_once(work.own_trials * work.dim, memory, cached=False)
    return Plan(texts, videos, _held(work, videos, memory // 2 // of_video, 1), texts, pairs, 1, together=True)


def pairs_at_once(numbers: int, memory: int, cached: bool) -> int:
    """Pairs whose `numbers` of noise fit, with what becomes of them (16 bytes each), a quarter of the memory, and a CPU's cache."""
    held = min(memory // 64, CPU_NOISE) if cached else memory // 64
    return max(1, held // max(numbers, 1))


def _held(work: Work, videos: int, most: int, threads: int) -> int:
    if not work.trials:
        return videos
    return videos * max(1, min(most // videos, -(-work.videos // (videos * threads))))


def texts_of_block(dim: int) -> int:
    """Texts of one block on the CPU: (texts, dim) floats, gone through again and again, fill a core's second-level cache.

    The cache is the machine's own as the C library tells it; 1 MiB where it does not. Between 256 and 1,024 texts the
    measured time differs by a tenth, outside it grows (docs/performance.md).
    """
    try:
        cache = os.sysconf("SC_LEVEL2_CACHE_SIZE")
    except (AttributeError, ValueError, OSError):
        cache = 0
    held = cache if cache > 0 else 2**20
    return max(128, min(1024, held // (4 * dim) // 64 * 64))
