"""A small store with planted features, written by the project's own writer, and heads that behave in known ways."""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, dropout, normalize

from gaid.heads import HeadBase, LossParts
from gaid.stores import StorePlan, StoreWriter, open_store

FRAMES, VISUAL, AUDIO, TEXT = 3, 10, 6, 8
SIZES = {"train": 40, "val": 16, "test": 12}
SMALL = ("epochs=4", "head.dim=8", "batch_size=16", "lr=0.01", "threads=1")
BACKBONES = {"visual": {"name": "eye", "dim": VISUAL}, "audio": {"name": "ear", "dim": AUDIO}, "text": {"name": "word"}}


class Noisy(HeadBase):
    """A head whose training draws dropout and noise, so that a forgotten random state shows."""

    def __init__(self, visual_dim, audio_dim, text_dim, dim, frames, rate=0.3):
        super().__init__(rate=rate)
        self.text, self.visual = nn.Linear(text_dim, dim), nn.Linear(visual_dim, dim)
        self.audio, self.norm = nn.Linear(audio_dim, dim), nn.LayerNorm(dim)
        self.register_buffer("seen", torch.zeros(()))

    def score(self, text, visual, audio, audio_mask=None, **_):
        videos = self.norm((self.visual(visual.float()) + self.audio(audio.float())).mean(1))
        return normalize(self.text(text.float()), dim=-1) @ normalize(videos, dim=-1).T

    def loss(self, text, visual, audio, audio_mask, same=None):
        self.seen += len(text)
        text = dropout(text, self.config["rate"], self.training) + 0.01 * torch.randn_like(text)
        logits = 10 * self.score(text, visual, audio)
        if same is not None:
            logits = logits.masked_fill(same, -torch.inf)
        pairs = torch.arange(len(text))
        total = (cross_entropy(logits, pairs) + cross_entropy(logits.T, pairs)) / 2
        return LossParts(total, {"score": float(total.detach())})


class Contrary(HeadBase):
    """A head that finds everything before it is trained and whose loss leads it away from there."""

    def __init__(self, **sizes):
        super().__init__(**sizes)
        self.weight = nn.Parameter(torch.ones(()))
        self.register_buffer("back", torch.from_numpy(np.linalg.pinv(planted_maps()[0])).float())

    def score(self, text, visual, audio, audio_mask=None, **_):
        return self.weight * normalize(text.float(), dim=-1) @ normalize(visual.float().mean(1) @ self.back, dim=-1).T

    def loss(self, text, *inputs, same=None):
        return self.weight.sum()


def planted_maps():
    """What carries a hidden vector to what is seen and what is heard."""
    rng = np.random.default_rng(99)
    return rng.normal(size=(TEXT, VISUAL)), rng.normal(size=(TEXT, AUDIO))


def write_store(path: Path, seed: int = 0, parts: dict[str, int] = SIZES, backbones: dict = BACKBONES, shards=None,
                patches: int | None = None, audio_tokens: int | None = None,
                audio_clip_tokens: int | None = None,
                more_splits: dict[str, dict[str, range]] | None = None):  # fmt: skip
    """A store in which a caption's embedding is its video's hidden vector, seen and heard through fixed maps.

    With `patches`, so many patch tokens a frame as well: each is the frame's embedding. With `audio_tokens`, so many tokens
    of each frame's sound: each is its embedding, and a number more. With `audio_clip_tokens`, so many tokens of a clip's: each
    is the mean of its frames' embeddings, its own number, and a 1. `more_splits`: further split protocols, each part as
    the rows of its videos.
    """
    rng, (to_seen, to_heard) = np.random.default_rng(seed), planted_maps()
    videos = sum(parts.values())
    hidden = rng.normal(size=(videos, TEXT))
    owner = np.concatenate([np.arange(videos), rng.integers(0, videos, videos)])
    texts = [f"video {v} in words {n}" for n, v in enumerate(owner)]
    starts = np.cumsum([0, *parts.values()])
    splits = {
        name: np.flatnonzero((owner >= a) & (owner < b)).tolist()
        for name, a, b in zip(parts, starts[:-1], starts[1:], strict=True)
    }
    others = {
        protocol: {part: np.flatnonzero(np.isin(owner, rows)).tolist() for part, rows in of.items()}
        for protocol, of in (more_splits or {}).items()
    }
    plan = StorePlan(
        video_ids=[f"clip{v:03d}" for v in range(videos)],
        caption_ids=[f"caption{n}" for n in range(len(owner))],
        caption_texts=texts,
        caption_video=owner.tolist(),
        token_offsets=list(range(len(owner) + 1)),
        splits={"main": splits, **others},
        default_protocol="main",
        frames=FRAMES,
        visual_dim=VISUAL,
        audio_dim=AUDIO,
        text_dim=TEXT,
        patches=(patches, VISUAL) if patches else None,
        audio_tokens=(audio_tokens, AUDIO + 1) if audio_tokens else None,
        audio_clip_tokens=(audio_clip_tokens, AUDIO + 2) if audio_clip_tokens else None,
        attrs={"dataset": {"name": "planted"}, "backbones": backbones, "sampling": {"seed": seed}},
        shard_rows=20,
        chunk_rows=20,
    )
    noise = rng.normal(size=(videos, FRAMES, TEXT))
    seen = ((hidden[:, None] + 0.5 * noise) @ to_seen).astype(np.float16)
    heard = ((hidden[:, None] + 0.9 * noise) @ to_heard).astype(np.float16)
    tokens = np.repeat(
        np.pad(heard, ((0, 0), (0, 0), (0, 1)), constant_values=1)[:, :, None], audio_tokens or 1, axis=2
    )
    count = audio_clip_tokens or 1
    numbers = np.broadcast_to(np.arange(count)[None, :, None], (videos, count, 1))
    means = np.broadcast_to(heard.mean(axis=1)[:, None], (videos, count, AUDIO))
    of_clips = np.concatenate([means, numbers, np.ones_like(numbers)], axis=2).astype(np.float16)
    with StoreWriter.open(path, plan) as writer:
        for number in writer.pending_shards if shards is None else shards:
            rows = writer.shard_slice(number)
            count = rows.stop - rows.start
            writer.write_shard(
                number,
                {
                    "visual": seen[rows],
                    "audio": heard[rows],
                    "audio_mask": np.ones((count, FRAMES), bool),
                    "audio_state": np.zeros(count, np.uint8),
                    "valid": np.ones(count, bool),
                    "short": np.zeros(count, bool),
                    "time": np.tile(np.arange(FRAMES, dtype=np.float32), (count, 1)),
                    "duration": np.full(count, 3, np.float32),
                    **({"patches": np.repeat(seen[rows][:, :, None], patches, axis=2)} if patches else {}),
                    **({"audio_tokens": tokens[rows]} if audio_tokens else {}),
                    **({"audio_clip_tokens": of_clips[rows]} if audio_clip_tokens else {}),
                },
                [],
            )
        words = (hidden[owner] + 0.1 * rng.normal(size=(len(owner), TEXT))).astype(np.float16)
        writer.write_captions(words, words)
        if shards is None:
            writer.finish()
    return path


def score(head, store, part):
    """(scores, video of each caption) of a part of the store at `store`."""
    split = open_store(store).split(part)
    tensors = (torch.from_numpy(a) for a in (split.text, split.visual, split.audio, split.audio_mask))
    with torch.inference_mode():
        return head.score(*tensors).numpy(), split.caption_video
