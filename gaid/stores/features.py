"""What the features of a store look like on a sample of its clips: how far they differ, and whether captions fit their clips.

An encoder that is fed or read wrongly gives numbers like any other, and training hides the mistake. Two things reveal it: the
vectors of different clips are nearly the same (`FeatureSummary`), or a caption is no nearer to its own clip than to others
(`Pairing`). The bounds, and the figures of encoders that work, are in docs/features.md. The sample is the same at every call,
and at most a few chunks of an array are in memory.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.stores.gallery import valid_rows
from gaid.stores.reader import StoreReader

SAMPLE = 512
"""Clips that are looked at."""
FEWEST = 16
"""Fewer vectors than this are not judged."""
MOST_COSINE, LEAST_RANK, MOST_EQUAL, LEAST_NEARER = 0.99, 8.0, 0.5, 0.7
_READ_BYTES = 256 * 2**20
# Patches and tokens may well be equal: a white ground, an encoder that reads each word by itself.
_WHOLE = ("text", "text for sound", "visual", "audio")
_REMEDY = "check the encoder's input and weights (docs/features.md)"

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class FeatureSummary:
    """One kind of feature, with one vector for each of `vectors` clips.

    `norm`: 5th, 50th and 95th percentile of the lengths. `cosine`: the mean over all pairs. `rank`: the effective rank of the
    centred unit vectors (exp of the entropy of their singular values), at most `most_rank`. `equal`: the share of vectors that
    another clip has as well.
    """

    kind: str
    vectors: int
    norm: tuple[float, float, float]
    cosine: float
    rank: float
    most_rank: int
    equal: float

    @property
    def warning(self) -> str:
        """One line where the vectors look collapsed; else empty."""
        found = []
        if self.equal > MOST_EQUAL and self.kind in _WHOLE:
            found.append(f"{self.equal:.0%} of the vectors are equal to another clip's")
        if self.cosine > MOST_COSINE:
            found.append(f"the mean cosine between clips is {self.cosine:.3f}")
        if self.rank < min(LEAST_RANK, self.most_rank / 8):
            found.append(f"the effective rank is {self.rank:.1f} of {self.most_rank}")
        if self.vectors < FEWEST or not found:
            return ""
        return f"{self.kind}: the features look collapsed: {', '.join(found)}; {_REMEDY}"


@dataclass(frozen=True)
class Pairing:
    """How near captions are to their own clips, where one model encoded both; a clip is the mean of its frames' directions.

    `own` and `other`: mean cosine of a caption with its own clip and with other clips. `nearer`: the share of (caption, other
    clip) in which the own clip is nearer; 0.5 is chance.
    """

    kind: str
    captions: int
    own: float
    other: float
    nearer: float

    @property
    def warning(self) -> str:
        """One line where captions are hardly nearer to their own clips than chance; else empty."""
        if self.kind != "visual" or self.captions < FEWEST or self.nearer > LEAST_NEARER:
            return ""  # a caption need not mention the sound
        return (
            f"{self.kind} and text: captions do not fit their clips: their own clip is nearer than another in "
            f"{self.nearer:.0%} of the cases (chance: 50 %); {_REMEDY}"
        )


@dataclass(frozen=True)
class FeatureReport:
    """The features of a store: a summary per kind, and a pairing per kind that shares a space with text."""

    summaries: list[FeatureSummary]
    pairings: list[Pairing]

    @property
    def warnings(self) -> list[str]:
        """A line for each kind that looks wrong."""
        lines = [*(one.warning for one in self.summaries), *(one.warning for one in self.pairings)]
        return [line for line in lines if line]

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {**asdict(self), "warnings": self.warnings}


def examine_features(store: StoreReader) -> FeatureReport:
    """Looks at the features of a store. Kinds that are not extracted yet, or for fewer than two clips, are left out."""
    found = _Sampled(store)
    vectors = {
        "text": found.texts("captions/embedding"),
        "text tokens": found.text_tokens(),
        "text for sound": found.texts("captions/audio_embedding"),
        "visual": found.frames("videos/visual"),
        "patches": found.frames("videos/patches"),
        "audio": found.frames("videos/audio"),
        "audio tokens": found.frames("videos/audio_tokens"),
    }
    summaries = [_summarise(kind, some) for kind, some in vectors.items() if len(some) > 1]
    pairings = [found.pairing("visual", "captions/embedding")] if store.shares_space("visual") else []
    if store.hears_without_training:
        pairings.append(found.pairing("audio", "captions/audio_embedding"))
    return FeatureReport(summaries, [one for one in pairings if one is not None])


class _Sampled:
    """The clips with features and those with sound, the sample of both, and each clip's first caption, as rows."""

    def __init__(self, store: StoreReader) -> None:
        self.store = store
        self.valid = valid_rows(store)
        self.mask = store.whole("videos/audio_mask")
        self.heard = self.valid[self.mask[self.valid].any(1)]
        self.clips, self.sounding = (
            _spread(self.valid, store["videos/visual"]),
            _spread(self.heard, store["videos/audio"]),
        )
        done = "captions" not in store.missing_shards
        owners, first = np.unique(store.whole("captions/video"), return_index=True)
        self.caption_of: dict[int, int] = dict(zip(owners.tolist(), first.tolist(), strict=True)) if done else {}

    def frames(self, name: str) -> Vectors:
        """One vector of each clip: of another frame, and patch or token, from clip to clip; of audio, of frames with sound."""
        if name not in self.store.names():
            return np.empty((0, 0), np.float32)
        heard = name.startswith("videos/audio")
        rows = _spread(self.heard if heard else self.valid, self.store[name])
        found = []
        for row, values in self._clips(name, rows):
            places = np.flatnonzero(self.mask[row]) if heard else np.arange(len(values))
            vector = values[places[row % len(places)]]
            if vector.ndim > 1:
                vector = vector[(7 * row) % len(vector)]
            found.append(vector.astype(np.float32))  # a copy: a view would keep the chunk in memory
        return np.asarray(found, np.float32)

    def texts(self, name: str) -> Vectors:
        """The vectors of the clips' first captions, each wording once."""
        if name not in self.store.names():
            return np.empty((0, 0), np.float32)
        rows = np.sort([self.caption_of[row] for row in self.clips.tolist() if row in self.caption_of]).astype(np.int64)
        words = self.store.texts("captions/text") if len(rows) else []
        rows = np.sort(list({words[row]: row for row in rows[::-1].tolist()}.values())).astype(np.int64)
        return self.store.rows(name, rows).astype(np.float32)

    def text_tokens(self) -> Vectors:
        """The middle token of each of these captions."""
        offsets = self.store.whole("captions/token_offsets")
        rows = [self.caption_of[row] for row in self.clips.tolist() if row in self.caption_of]
        middle = [(offsets[row] + offsets[row + 1]) // 2 for row in rows if offsets[row] < offsets[row + 1]]
        chosen = _spread(np.sort(middle).astype(np.int64), self.store["captions/tokens"])
        return self.store.rows("captions/tokens", chosen).astype(np.float32)

    def pairing(self, kind: str, name: str) -> Pairing | None:
        """How near the clips' first captions, as the array `name` has them, are to them; None for fewer than two clips."""
        clips = self.clips if kind == "visual" else self.sounding
        clips = np.asarray([row for row in clips.tolist() if row in self.caption_of], np.int64)
        if len(clips) < 2:
            return None
        captions = np.asarray([self.caption_of[row] for row in clips.tolist()], np.int64)
        order = np.argsort(captions)
        text = np.empty((len(clips), self.store[name].shape[1]), np.float32)
        text[order] = self.store.rows(name, captions[order])
        means = []
        for row, values in self._clips(f"videos/{kind}", clips):
            means.append(_unit(values.astype(np.float32)[slice(None) if kind == "visual" else self.mask[row]]).mean(0))
        cosines = _unit(text) @ _unit(np.asarray(means, np.float32)).T
        own, others = np.diag(cosines)[:, None], cosines[~np.eye(len(clips), dtype=bool)].reshape(len(clips), -1)
        nearer = np.mean((own > others) + 0.5 * (own == others))
        return Pairing(kind, len(clips), float(own.mean()), float(others.mean()), float(nearer))

    def _clips(self, name: str, rows: Rows) -> Iterator[tuple[int, NDArray[np.float16]]]:
        """The clips of some rows one by one, with what an array has of each; a chunk at a time is in memory."""
        chunk = self.store[name].rows_per_chunk
        for block in np.split(rows, np.flatnonzero(np.diff(rows // chunk)) + 1):
            yield from zip(block.tolist(), self.store.rows(name, block), strict=True)


def _spread(rows: Rows, array: Any) -> Rows:
    """At most SAMPLE of some ascending rows, evenly chosen, in as many chunks of the array as may be read."""
    chunk_bytes = array.rows_per_chunk * max(1, array[:0].dtype.itemsize * int(np.prod(array.shape[1:])))
    chunks = np.unique(rows // array.rows_per_chunk)
    most = max(4, _READ_BYTES // chunk_bytes)
    rows = rows[np.isin(rows // array.rows_per_chunk, _even(chunks, most))]
    return _even(rows, SAMPLE)


def _even(values: Rows, most: int) -> Rows:
    """At most that many of some values, the first and the last among them."""
    if len(values) <= most:
        return values
    return values[np.linspace(0, len(values) - 1, most).round().astype(np.int64)]


def _unit(vectors: Vectors) -> Vectors:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32(1e-12))


def _summarise(kind: str, vectors: Vectors) -> FeatureSummary:
    count = len(vectors)
    unit = _unit(vectors)
    total = unit.sum(0, dtype=np.float64)
    lengths = (unit.astype(np.float64) ** 2).sum()
    strengths = np.linalg.svd(unit - unit.mean(0), compute_uv=False)
    shares = strengths[strengths > 1e-3]  # what is less is rounding: the store has half precision
    shares = shares / shares.sum()
    _, times = np.unique(vectors, axis=0, return_counts=True)
    low, middle, high = np.percentile(np.linalg.norm(vectors, axis=1), (5, 50, 95)).tolist()
    return FeatureSummary(
        kind,
        count,
        (low, middle, high),
        cosine=float((total @ total - lengths) / (count * (count - 1))),
        rank=float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0,
        most_rank=min(count - 1, vectors.shape[1]),
        equal=float(times[times > 1].sum() / count),
    )
