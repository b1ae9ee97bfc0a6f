"""A library of simulated clips as a store on the disk, and sentences about them. Any clip can be made by itself, from its number.

Clips belong to topics, of which some are common and most are rare. A clip's embeddings follow from 64 numbers of its own near its
topic's; all pictures, all sounds and all sentences share a mean direction, as encoders' do. Half of the numbers are heard.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaid.source_files import Source
from gaid.stores import StorePlan, StoreWriter

LATENT, POOL = 64, 4096
CAPTIONS = 2000
BLOCK = 1000


@dataclass(frozen=True)
class Simulation:
    """`clips` clips of `frames` frames, with embeddings of `dim` numbers for pictures, sounds and sentences."""

    clips: int
    frames: int
    dim: int
    seed: int = 0
    _parts: dict[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        for name in ("picture", "sound"):
            self._parts[name] = rng.normal(size=(LATENT, self.dim)).astype(np.float32) / LATENT**0.5
            self._parts[f"mean {name}"] = rng.normal(size=self.dim).astype(np.float32)
            self._parts[f"mean text of {name}"] = rng.normal(size=self.dim).astype(np.float32)
        self._parts["topics"] = rng.normal(size=(max(20, self.clips // 200), LATENT)).astype(np.float32)
        self._parts["noise"] = rng.normal(size=(POOL, self.frames, self.dim)).astype(np.float32)

    def latents(self, start: int, stop: int) -> NDArray[np.float32]:
        """What clips are about, (stop - start, LATENT); `start` is a multiple of BLOCK."""
        topics, blocks = self._parts["topics"], []
        for first in range(start, stop, BLOCK):
            rng = np.random.default_rng([self.seed, first])
            # The square makes low numbers likelier: some topics are common.
            of_clip = topics[(rng.random(BLOCK) ** 2 * len(topics)).astype(np.int64)]
            blocks.append(of_clip + 0.7 * rng.normal(size=(BLOCK, LATENT)).astype(np.float32))
        return np.concatenate(blocks)[: stop - start]

    def frames_of(self, sense: str, start: int, stop: int) -> NDArray[np.float16]:
        """Embeddings of the clips' frames (stop - start, frames, dim)."""
        latents = self.latents(start, stop)
        if sense == "sound":
            latents[:, : LATENT // 2] = 0
        rows = np.arange(start, stop) * (1 if sense == "picture" else 31) + (0 if sense == "picture" else 7)
        clip = latents @ self._parts[sense] + self._parts[f"mean {sense}"]
        noise = self._parts["noise"]
        # A part of the noise is the clip's, so that its mean over frames does not vanish.
        own = 0.5 * noise[(rows * 7 + 3) % POOL, 0] + clip
        return (own[:, None] + 0.6 * noise[rows % POOL]).astype(np.float16)

    def heard(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Which frames have sound: four clips of five, all their frames."""
        return np.repeat((np.arange(start, stop) % 5 > 0)[:, None], self.frames, axis=1)

    def sentences(self, rows: NDArray[np.int64], seed: int) -> dict[str, NDArray[np.float16]]:
        """A sentence about each of these clips, in the space of pictures (`text`) and in that of sounds (`audio_text`)."""
        rng = np.random.default_rng([self.seed, 1, seed])
        latents = np.concatenate([self.latents(row // BLOCK * BLOCK, row + 1)[-1:] for row in rows.tolist()])
        latents = latents + 0.3 * rng.normal(size=latents.shape).astype(np.float32)
        found = {}
        for name, sense in (("text", "picture"), ("audio_text", "sound")):
            about = latents @ self._parts[sense] + self._parts[f"mean text of {sense}"]
            found[name] = (about + 0.4 * rng.normal(size=(len(rows), self.dim))).astype(np.float16)
        return found

    def write(self, path: Path, captions: int = CAPTIONS, shard_rows: int = 200, recorded: bool = True) -> Path:
        """The store. Captions are of clips that are spread over it; a tenth of them is the validation part."""
        captions = min(captions, self.clips)
        owners = np.linspace(0, self.clips - 1, captions).astype(np.int64)
        parts = {"val": list(range(0, captions, 10)), "train": [row for row in range(captions) if row % 10]}
        plan = StorePlan(
            [f"folder {row // 1000:04d}/clip {row:07d}" for row in range(self.clips)], [f"c{row}" for row in range(captions)],
            [f"a sentence {row}" for row in range(captions)], owners.tolist(), [0] * (captions + 1), {"all": parts}, "all",
            self.frames, self.dim, self.dim, self.dim, audio_text=True,
            attrs={"backbones": {kind: {"name": "heard" if kind == "audio" else "seen", "dim": self.dim}
                                 for kind in ("visual", "audio", "text")}, "dataset": {"name": "simulated"}},
            shard_rows=shard_rows, chunk_rows=min(50, shard_rows),
        )  # fmt: skip
        with StoreWriter.open(path, plan) as writer:
            about = self.sentences(owners, seed=0)
            writer.write_captions(about["text"], np.empty((0, self.dim), np.float16), about["audio_text"])
            for block in range(0, self.clips, BLOCK):
                self._write(writer, block, min(self.clips, block + BLOCK), shard_rows, recorded)
            writer.finish()
        return path

    def _write(self, writer: StoreWriter, start: int, stop: int, shard_rows: int, recorded: bool) -> None:
        mask = self.heard(start, stop)
        arrays = {
            "visual": self.frames_of("picture", start, stop),
            "audio": self.frames_of("sound", start, stop) * mask[..., None],
            "audio_mask": mask,
            "audio_state": np.where(mask.any(1), 0, 2).astype(np.uint8),
            "valid": np.ones(stop - start, bool),
            "time": np.broadcast_to(np.arange(self.frames, dtype=np.float32), mask.shape),
            "duration": np.full(stop - start, self.frames, np.float32),
        }
        sources: Sequence[Source] = [Source(row, row, f"sha256:{row:064d}") for row in range(start, stop)]
        for first in range(start, stop, shard_rows):
            some = slice(first - start, min(stop, first + shard_rows) - start)
            of_shard = [[one] for one in sources[some]] if recorded else None
            writer.write_shard(
                first // shard_rows, {name: values[some] for name, values in arrays.items()}, [], of_shard
            )
