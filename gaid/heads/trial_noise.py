"""Noise for the trials of STP's evaluation (T-MASS): drawn once per text, or anew for each (text, video) pair.

A number is a hash of the seed, the rows of text and video, the trial and the dimension. It is therefore the same on every
device and in whatever blocks pairs are scored, none of it is stored, and on a CPU it is made three times as fast as
PyTorch's generator draws. Deviations and video embeddings are the callers'.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

# Odd multipliers of a well-known 32-bit hash; a product wraps, and its upper bits depend on all bits of its factor.
_FIRST, _SECOND = 0x7FEB352D, -0x7B935975
_EVERY_VIDEO = -1  # in the place of a video's row, where a text's draws are the same for all videos

# From whole numbers, uniform from -2^23 to 2^23 - 1 and stored as floats, to noise; may change its argument.
Law = Callable[[Tensor], Tensor]


def uniform(whole: Float[Tensor, "*some"]) -> Float[Tensor, "*some"]:
    """Uniform on [0, 1)."""
    return whole.mul_(2.0**-24).add_(0.5)


def normal(std: float) -> Law:
    """Normal with this standard deviation, around 0."""
    return lambda whole: torch.erfinv(whole.add_(0.5).mul_(2.0**-23)).mul_(2**0.5 * std)


def _shifted(x: Int[Tensor, "*some"], bits: int) -> Int[Tensor, "*some"]:
    """Shifted to the right, with zeros from the left."""
    return torch.bitwise_right_shift(x, bits).bitwise_and_((1 << (32 - bits)) - 1)


def _mixed(x: Int[Tensor, "*some"]) -> Int[Tensor, "*some"]:
    """A permutation of the 32-bit numbers that separates neighbours; changes `x`."""
    x ^= _shifted(x, 16)
    x *= _FIRST
    x ^= _shifted(x, 15)
    x *= _SECOND
    x ^= _shifted(x, 16)
    return x


def best_of_trials(
    moved: Float[Tensor, "pairs trials dim"],
    choosing: Float[Tensor, "pairs dim"],
    scored: Float[Tensor, "pairs dim"],
) -> Float[Tensor, " pairs"]:
    """For each pair, the trial with the largest cosine with `choosing`: its cosine with `scored`, times the length of `scored`."""
    products = torch.bmm(moved, torch.stack([choosing, scored], -1))
    cosines = products / torch.linalg.vector_norm(moved, dim=-1, keepdim=True).clamp_(min=1e-12)
    chosen = cosines[..., 0].argmax(1, keepdim=True)
    return cosines[..., 1].gather(1, chosen)[:, 0]


def _places(rows: int | Int[Tensor, " rows"], device: torch.device) -> Int[Tensor, " rows"]:
    rows = torch.arange(rows) if isinstance(rows, int) else rows
    return rows.to(device, torch.int32)


class TrialNoise:
    """An evaluation's draws of a law: `trials` for each text, or for each pair where `videos` are given.

    `texts`, `videos`: where those that are scored stand in the evaluation, or how many there are.
    """

    def __init__(
        self,
        law: Law,
        trials: int,
        dim: int,
        seed: int,
        texts: int | Int[Tensor, " texts"],
        videos: int | Int[Tensor, " videos"] | None,
        device: torch.device,
    ) -> None:
        self.law, self.trials, self.dim = law, trials, dim
        self.texts = _places(texts, device)
        self.videos = None if videos is None else _places(videos, device)
        state = np.random.SeedSequence(seed % 2**64).generate_state(2)
        self.seeds = [int(word) for word in state.view(np.int32)]
        counters = torch.arange(self.trials * dim, dtype=torch.int32, device=device)
        self.counters = _mixed(counters).view(self.trials, dim)

    @property
    def per_pair(self) -> bool:
        """Whether each pair has draws of its own."""
        return self.videos is not None

    def of_texts(self, first: int, count: int, dtype: torch.dtype) -> Float[Tensor, "count trials dim"]:
        """The draws of a run of texts, the same for all videos."""
        return self._noise(*self._keys(self.texts[first : first + count], None), dtype)

    def of_pairs(
        self, texts: Int[Tensor, " pairs"], videos: Int[Tensor, " pairs"], dtype: torch.dtype
    ) -> Float[Tensor, "pairs trials dim"]:
        """The draws of the pairs of these texts and videos."""
        return self._noise(*self._keys_of_pairs(texts, videos), dtype)

    def _keys_of_pairs(
        self, texts: Int[Tensor, " pairs"], videos: Int[Tensor, " pairs"]
    ) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]]:
        assert self.videos is not None
        return self._keys(self.texts[texts], self.videos[videos])

    def _keys(
        self, texts: Int[Tensor, " draws"], videos: Int[Tensor, " draws"] | None
    ) -> tuple[Int[Tensor, " draws"], Int[Tensor, " draws"]]:
        """Two numbers that make the counters of trials and dimensions a text's own, or a pair's, by their rows."""
        of_videos = _EVERY_VIDEO if videos is None else videos
        one, two = (_mixed(_mixed(texts + seed) ^ of_videos) for seed in self.seeds)
        return one, two

    def _noise(
        self, one: Int[Tensor, " draws"], two: Int[Tensor, " draws"], dtype: torch.dtype
    ) -> Float[Tensor, "draws trials dim"]:
        # The counters are mixed already, so half of the mixing is enough here, where nearly all of the time is spent.
        bits = torch.bitwise_xor(self.counters, one[:, None, None])
        bits += two[:, None, None]
        bits *= _FIRST
        bits ^= _shifted(bits, 15)
        bits *= _SECOND
        return self.law(bits.bitwise_right_shift_(8).to(dtype))

    def best(
        self,
        first_text: int,
        first_video: int,
        text: Float[Tensor, "texts dim"],
        std: Float[Tensor, "texts videos dim"],
        choosing: Float[Tensor, "texts videos dim"],
        scored: Float[Tensor, "texts videos dim"],
        size: int,
    ) -> Float[Tensor, "texts videos"]:
        """`best_of_trials` of a block whose rows begin at these two, `size` pairs at a time."""
        texts = torch.arange(first_text, first_text + std.shape[0], device=std.device).repeat_interleave(std.shape[1])
        videos = torch.arange(first_video, first_video + std.shape[1], device=std.device).repeat(std.shape[0])
        of_pairs = (text[:, None].expand_as(std), std, choosing, scored)
        inputs = [*self._keys_of_pairs(texts, videos), *(one.reshape(-1, self.dim) for one in of_pairs)]
        found = std.new_empty(len(texts))
        for start in range(0, len(found), size):
            pairs = slice(start, start + size)
            one, two, unmoved, deviation, chosen_by, scored_by = (of[pairs] for of in inputs)
            noise = self._noise(one, two, std.dtype)
            moved = torch.addcmul(unmoved[:, None], noise, deviation[:, None], out=noise)
            found[pairs] = best_of_trials(moved, chosen_by, scored_by)
        return found.view(std.shape[:2])
