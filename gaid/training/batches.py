"""Which videos and captions meet in which batch.

An epoch of `videos` visits each training **video** once, with one of its captions; over as many epochs as a video has
captions each of them is drawn once. A batch holds different videos, so another caption of the same video is never its
negative; a caption that, word for word, also describes another video of the batch is no negative there either (`same`).

An epoch of `pairs` visits every caption with its video, as published trainings do. Everything else in a batch is then a
negative, another caption of the same video too.

With `sound_dropout`, the sound of so large a share of a batch's clips is left out, so that a head learns what to do without.

Order and draws follow from (seed, epoch) alone, so a resumed training draws what it would have drawn without the stop.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gaid.errors import DataMissing
from gaid.heads.features import Features

if TYPE_CHECKING:
    from gaid.stores.split import Split

EpochOf = Literal["videos", "pairs"]


@dataclass(frozen=True)
class Batch:
    """Rows of a batch: caption i belongs to video i. `same` is (captions, videos), None where nothing needs masking.

    `unheard`: the clips whose sound is left out; None where no sound is.
    """

    videos: NDArray[np.int64]
    captions: NDArray[np.int64]
    same: NDArray[np.bool_] | None
    unheard: NDArray[np.bool_] | None = None


class Batches:
    """The batches of every epoch. Sizes within an epoch differ by one at most, so that nothing is left out."""

    def __init__(
        self, split: "Split", batch_size: int, seed: int, epoch_of: EpochOf = "videos", sound_dropout: float = 0.0
    ) -> None:
        owner = split.caption_video
        self.videos = np.unique(owner)
        if len(self.videos) < 2:
            raise DataMissing(
                f"{len(self.videos)} training videos with a caption; contrastive training needs 2 at least"
            )
        visited = len(owner) if epoch_of == "pairs" else len(self.videos)
        self.batches_per_epoch = max(1, -(-visited // batch_size))
        self.seed, self.epoch_of, self.sound_dropout, self._owner = seed, epoch_of, sound_dropout, owner
        # Captions by video, and within a video in an order of this seed.
        order = np.random.default_rng([seed, 0]).permutation(len(owner))
        self._captions = order[np.argsort(owner[order], kind="stable")]
        counts = np.bincount(owner, minlength=int(owner.max()) + 1)[self.videos]
        self._starts, self._counts = np.cumsum(counts) - counts, counts
        self._repeats = _Repeats(split.caption_texts, owner)

    def epoch(self, number: int) -> list[Batch]:
        """The batches of an epoch, counted from 0."""
        batches = self._ordered(number)
        if not self.sound_dropout:
            return batches
        drawn = np.random.default_rng([self.seed, 2, number])
        return [replace(batch, unheard=drawn.random(len(batch.videos)) < self.sound_dropout) for batch in batches]

    def _ordered(self, number: int) -> list[Batch]:
        if self.epoch_of == "pairs":
            order = np.random.default_rng([self.seed, 1, number]).permutation(len(self._owner))
            return [
                Batch(self._owner[rows].astype(np.int64), rows, None)
                for rows in np.array_split(order, self.batches_per_epoch)
            ]
        order = np.random.default_rng([self.seed, 1, number]).permutation(len(self.videos))
        captions = self._captions[self._starts + number % self._counts]
        return [
            Batch(self.videos[rows], captions[rows], self._repeats.mask(captions[rows], self.videos[rows]))
            for rows in np.array_split(order, self.batches_per_epoch)
        ]


class _Repeats:
    """Which captions describe other videos too, word for word except for case and spacing."""

    def __init__(self, texts: Sequence[str], owner: NDArray[np.int64]) -> None:
        _, text = np.unique([" ".join(words.casefold().split()) for words in texts], return_inverse=True)
        pairs = np.unique(np.stack([text, owner], axis=1), axis=0)
        shared = np.bincount(pairs[:, 0], minlength=text.max() + 1) > 1
        self._text = np.where(shared[text], text, -1)
        self._width = int(owner.max()) + 1
        # One sorted number per (shared text, video): membership is then a binary search, whatever the size of the data.
        kept = pairs[shared[pairs[:, 0]]]
        self._pairs = np.sort(kept[:, 0] * self._width + kept[:, 1])

    def mask(self, captions: NDArray[np.int64], videos: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """[i, k]: caption i is also one of video k's, k another than i's own."""
        rows = np.flatnonzero(self._text[captions] >= 0)
        if not len(rows):
            return None
        asked = self._text[captions[rows], None] * self._width + videos[None]
        at = np.minimum(np.searchsorted(self._pairs, asked), len(self._pairs) - 1)
        mask = np.zeros((len(captions), len(videos)), dtype=bool)
        mask[rows] = self._pairs[at] == asked
        np.fill_diagonal(mask, False)
        return mask if mask.any() else None


def on_device(
    data: Features, batches: Sequence[Batch], start: int = 0
) -> Iterator[tuple[tuple[Tensor, Tensor, Tensor, Tensor], Tensor | None]]:
    """Each batch from `start` on as ((text, visual, audio, audio_mask), same).

    The row numbers of an epoch are copied to the device at once.
    """
    device = data.text.device
    rows = np.stack([np.concatenate([b.videos for b in batches]), np.concatenate([b.captions for b in batches])])
    videos, captions = torch.from_numpy(rows).to(device)
    none = np.zeros(0, dtype=bool)
    unheard = torch.from_numpy(np.concatenate([none if b.unheard is None else b.unheard for b in batches])).to(device)
    end = 0
    for number, batch in enumerate(batches):
        begin, end = end, end + len(batch.videos)
        if number < start:
            continue
        v, c = videos[begin:end], captions[begin:end]
        same = None
        if batch.same is not None:
            same = torch.from_numpy(batch.same)
            same = same.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else same
        # `index_select` copies rows; indexing goes element by element in half precision and takes twice as long.
        taken = [part.index_select(0, v) for part in (data.visual, data.audio, data.audio_mask)]
        if batch.unheard is not None:
            taken[2] &= ~unheard[begin:end, None]
        yield (data.text.index_select(0, c).float(), taken[0].float(), taken[1].float(), taken[2]), same
