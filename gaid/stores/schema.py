"""The arrays of a store, their types and shapes, and the plan that fixes them before extraction (docs/format.md)."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import DataInvalid

SCHEMA_VERSION = 2
# A state's place is its number in `videos/audio_state`.
AUDIO_STATES = ("sound", "silent", "no track", "failed")
# Attributes that decide what the features are; all others say where they came from.
IDENTITY_ATTRS = ("backbones", "sampling")
# Arrays of text are kept as UTF-8 bytes, one after the other, and where each begins: the same in zarr and HDF5.
TEXTS = ("videos/id", "captions/id", "captions/text")
_AT_ONCE = 10_000  # of a million texts


@dataclass(frozen=True)
class ArraySpec:
    """One array: `rows` names what its first axis counts (videos, captions, tokens, bytes ...)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    rows: str
    fill: float | int | bool = 0


@dataclass(frozen=True)
class StorePlan:
    """Everything that is known of a store before the first clip is decoded.

    `caption_video`: the row of each caption's video, -1 in a part of a library (`library`). `token_offsets` (C + 1): where
    each caption's tokens begin. `splits`: protocol -> part -> rows of captions. `attrs`: where the features come from;
    `backbones` and `sampling` in it belong to the fingerprint. `patches` and `audio_tokens`: (number, dim) of a frame's tokens,
    where they are kept; `audio_clip_tokens`: of a clip's. `audio_text`: captions are kept in the sound's own text space as
    well. `shard_rows`: clips in one unit of work; `chunk_rows`: clips read at once. `schema`: that of the store, an older one
    where a store of it is resumed or converted.

    Raises DataInvalid for plans that contradict themselves.
    """

    video_ids: Sequence[str]
    caption_ids: Sequence[str]
    caption_texts: Sequence[str]
    caption_video: Sequence[int]
    token_offsets: Sequence[int]
    splits: Mapping[str, Mapping[str, Sequence[int]]]
    default_protocol: str
    frames: int
    visual_dim: int
    audio_dim: int
    text_dim: int
    patches: tuple[int, int] | None = None
    audio_tokens: tuple[int, int] | None = None
    audio_text: bool = False
    audio_clip_tokens: tuple[int, int] | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)
    shard_rows: int = 200
    chunk_rows: int = 50
    schema: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        videos, captions = len(self.video_ids), len(self.caption_ids)
        faults = []
        if len(set(self.video_ids)) != videos:
            faults.append("a video id occurs twice")
        if len(self.caption_texts) != captions or len(self.caption_video) != captions:
            faults.append(
                f"{captions} caption ids, {len(self.caption_texts)} texts, {len(self.caption_video)} videos of them"
            )
        if len(self.token_offsets) != captions + 1:
            faults.append(
                f"{len(self.token_offsets)} token offsets for {captions} captions; expected one more than captions"
            )
        if any(not -1 <= row < videos for row in self.caption_video):
            faults.append("a caption of a video that is not there")
        for protocol, parts in self.splits.items():
            for part, rows in parts.items():
                if "/" in protocol or "/" in part:
                    faults.append(f"a slash in the name of the split {protocol} {part}")
                if any(not 0 <= row < captions for row in rows):
                    faults.append(f"the split {protocol} {part} names a caption that is not there")
        if min(self.shard_rows, self.chunk_rows, self.frames) < 1 or self.shard_rows % self.chunk_rows:
            faults.append("shard_rows, chunk_rows and frames are at least 1, and shards are whole chunks")
        if self.audio_text and self.schema < 2:
            faults.append("captions in the sound's text space need schema 2")
        if faults:
            raise DataInvalid("a store can't hold this: " + "; ".join(faults))

    def as_of(self, schema: int) -> "StorePlan":
        """This plan, or what of it a store of an older schema can hold."""
        return replace(self, schema=schema, audio_text=False) if schema < self.schema else self

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the contents, each part as itself or, where long, as its digest."""
        return {
            "schema": self.schema,
            "videos": digest_list(self.video_ids),
            "captions": digest_json(
                [list(self.caption_ids), list(self.caption_texts), [int(v) for v in self.caption_video]]
            ),
            "tokens": digest_json([int(offset) for offset in self.token_offsets]),
            "splits": digest_json(
                {p: {q: [int(r) for r in rows] for q, rows in of.items()} for p, of in self.splits.items()}
            ),
            "frames": self.frames,
            "visual_dim": self.visual_dim,
            "audio_dim": self.audio_dim,
            "text_dim": self.text_dim,
            "patches": list(self.patches) if self.patches else None,
            **self._later,
            "shard_rows": self.shard_rows,
            "chunk_rows": self.chunk_rows,
            **{name: self.attrs.get(name) for name in IDENTITY_ATTRS},
        }

    @property
    def fingerprint(self) -> str:
        """sha256 of the identity: equal for stores that hold the same."""
        return digest_json(self.identity)

    @property
    def layout(self) -> dict[str, Any]:
        """The numbers that array shapes follow from."""
        return {
            "videos": len(self.video_ids),
            "captions": len(self.caption_ids),
            "tokens": int(self.token_offsets[-1]),
            "frames": self.frames,
            "visual_dim": self.visual_dim,
            "audio_dim": self.audio_dim,
            "text_dim": self.text_dim,
            "patches": list(self.patches) if self.patches else None,
            **self._later,
            "shard_rows": self.shard_rows,
            "chunk_rows": self.chunk_rows,
            "default_protocol": self.default_protocol,
        }

    @property
    def _later(self) -> dict[str, Any]:
        """Parts that were added to the schema later, named only where they are used: other stores keep their fingerprint."""
        shapes = {"audio_tokens": self.audio_tokens, "audio_clip_tokens": self.audio_clip_tokens}
        return {
            **{name: list(shape) for name, shape in shapes.items() if shape},
            **({"audio_text": True} if self.audio_text else {}),
        }

    def small_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that are complete from the start: ids, texts, the video of each caption, splits."""
        arrays: dict[str, NDArray[Any]] = {}
        for name, texts in zip(TEXTS, (self.video_ids, self.caption_ids, self.caption_texts), strict=True):
            arrays[f"{name}_bytes"], arrays[f"{name}_offsets"] = encode_texts(texts)
        arrays["captions/video"] = np.asarray(self.caption_video, np.int32)
        arrays["captions/token_offsets"] = np.asarray(self.token_offsets, np.int64)
        for protocol, parts in self.splits.items():
            for part, rows in parts.items():
                arrays[f"splits/{protocol}/{part}"] = np.asarray(rows, np.int64)
        return arrays


def video_arrays(layout: Mapping[str, Any]) -> dict[str, ArraySpec]:
    """The arrays that shards fill, by name."""
    videos, frames = layout["videos"], layout["frames"]
    nan = float("nan")
    specs = [
        ArraySpec("videos/visual", "float16", (videos, frames, layout["visual_dim"]), "videos", nan),
        ArraySpec("videos/audio", "float16", (videos, frames, layout["audio_dim"]), "videos", nan),
        ArraySpec("videos/audio_mask", "bool", (videos, frames), "videos", False),
        ArraySpec("videos/audio_state", "uint8", (videos,), "videos", AUDIO_STATES.index("failed")),
        ArraySpec("videos/valid", "bool", (videos,), "videos", False),
        ArraySpec("videos/short", "bool", (videos,), "videos", False),
        ArraySpec("videos/time", "float32", (videos, frames), "videos", nan),
        ArraySpec("videos/duration", "float32", (videos,), "videos", nan),
    ]
    if layout["patches"]:
        specs.append(ArraySpec("videos/patches", "float16", (videos, frames, *layout["patches"]), "videos", nan))
    tokens = layout.get("audio_tokens")  # layouts written before audio tokens existed do not name them
    if tokens:
        specs.append(ArraySpec("videos/audio_tokens", "float16", (videos, frames, *tokens), "videos", nan))
    of_clip = layout.get("audio_clip_tokens")
    if of_clip:
        specs.append(ArraySpec("videos/audio_clip_tokens", "float16", (videos, *of_clip), "videos", nan))
    return {spec.name: spec for spec in specs}


def caption_arrays(layout: Mapping[str, Any]) -> dict[str, ArraySpec]:
    """The arrays that the encoded captions fill, by name."""
    nan = float("nan")
    captions, dim = layout["captions"], layout["text_dim"]
    specs = [
        ArraySpec("captions/embedding", "float16", (captions, dim), "captions", nan),
        ArraySpec("captions/tokens", "float16", (layout["tokens"], dim), "tokens", nan),
    ]
    if layout.get("audio_text"):  # schema 2
        specs.append(ArraySpec("captions/audio_embedding", "float16", (captions, layout["audio_dim"]), "captions", nan))
    return {spec.name: spec for spec in specs}


def to_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: one spelling per value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def digest_json(value: Any) -> str:
    """sha256 of a value's JSON (`to_json`)."""
    return hashlib.sha256(to_json(value)).hexdigest()


def digest_list(values: Iterable[Any], separators: tuple[str, str] = (",", ":")) -> str:
    """`digest_json` of a list, without its JSON in memory at once."""
    digest, between, rest = hashlib.sha256(b"["), "", iter(values)
    while some := list(islice(rest, _AT_ONCE)):
        text = json.dumps(some, sort_keys=True, separators=separators)
        digest.update(f"{between}{text[1:-1]}".encode())
        between = separators[0]
    digest.update(b"]")
    return digest.hexdigest()


def number_rows(digest: str, count: int) -> NDArray[np.uint64]:
    """(count) numbers of rows that follow from a digest in hex; two rows of a million share one once in 37 million stores."""
    start = np.uint64(int(digest[:16], 16))
    with np.errstate(over="ignore"):
        return start ^ (np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def encode_texts(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Texts as UTF-8 bytes, one after the other, and where each begins (one more than texts)."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def decode_texts(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> list[str]:
    """The texts again."""
    return list(iter_texts(data, offsets))


def iter_texts(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Iterator[str]:
    """The same one by one."""
    for start in range(0, len(offsets) - 1, _AT_ONCE):
        ends = offsets[start : start + _AT_ONCE + 1]
        raw = data[int(ends[0]) : int(ends[-1])].tobytes()
        for begin, end in pairwise((ends - ends[0]).tolist()):
            yield raw[begin:end].decode("utf-8", "surrogatepass")
