"""Small encoders that need nothing but numpy: statistics that anyone could write down, through fixed projections.

Nothing here is trained, and nothing has to be fetched. `tiny` is for the demo, for tests, and for seeing the whole pipeline at work in a
minute; on real films it knows colours, simple shapes, movements and the timbre of sounds, and of language only which words occur.

Statistics are put on a common scale by constants written here, so a clip's features depend on that clip alone. A random layer of
rectifiers, drawn once from a fixed seed, makes "red and round" or "high and ticking" readable by a linear map.
"""

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.backbones import tones
from gaid.backbones.protocol import BackboneSpec, BackboneStatus, Features, Frames, Kind, TextFeatures
from gaid.specs import AudioSpec, FrameSpec

VERSION = 1
"""Changes whenever the same input would give another vector."""

DIM = 256
NORM_PER_DIMENSION = 0.44
"""Root mean square of an embedding's entries: CLIP's embeddings have a norm of about 10 at 512."""

Array = NDArray[np.float32]


class TinyVisual:
    """Frames by the colour, form, place and movement of what stands out from the picture's border, and by edges.

    Movement is computed from neighbouring frames, so the frames of a clip are given in the order of time.
    """

    name = "tiny"
    dim = DIM
    thread_safe = True
    frame_spec = FrameSpec(size=64, resize="squash", interpolation="area")
    patch_shape = (4, DIM)

    def __init__(self) -> None:
        self._layer = _Layer("visual", _VISUAL_STATISTICS)
        self.provenance: dict[str, Any] = _provenance(self._layer.sha256, "64x64, squash") | {"interpolation": "area"}

    def encode_frames(self, frames: Frames) -> Features:
        """Frames (B, F, H, W, 3) as embeddings (B, F, dim)."""
        return np.stack([self._layer(_describe_frames(clip)) for clip in frames])

    def encode_patches(self, frames: Frames) -> tuple[Features, Features]:
        """Frames as embeddings (B, F, dim), and each quarter of a frame, described as a picture of its own, (B, F, 4, dim)."""
        half = frames.shape[2] // 2
        quarters = [
            self.encode_frames(frames[:, :, top : top + half, left : left + half])
            for top in (0, half)
            for left in (0, half)
        ]
        return self.encode_frames(frames), np.stack(quarters, axis=2)


class TinyAudio:
    """Sound by its spectrum, how that changes, how noisy it is, its rhythm, and whether pitch rises or falls."""

    name = "tiny"
    dim = DIM
    thread_safe = True
    audio_spec = AudioSpec(rate=16_000, shortest=0.3, longest=1.0)
    token_shape = (4, DIM)
    has_text = True
    clip_token_shape = None

    def __init__(self) -> None:
        self._layer = _Layer("audio", _AUDIO_STATISTICS)
        self.provenance: dict[str, Any] = _provenance(self._layer.sha256, "16000 Hz, 0.3 to 1 s")

    def encode_audio(self, windows: list[NDArray[np.float32]], mask: NDArray[np.bool_]) -> Features:
        """B clips' windows, each (F, samples), as embeddings (B, F, dim); zeros where `mask` (B, F) is False."""
        embedding = np.zeros((*mask.shape, self.dim), dtype=np.float32)
        for row, (clip, heard) in enumerate(zip(windows, mask, strict=True)):
            if heard.any():
                embedding[row, heard] = self._layer(_describe_sound(clip[heard]))
        return embedding

    def encode_audio_tokens(
        self, windows: list[NDArray[np.float32]], mask: NDArray[np.bool_]
    ) -> tuple[Features, Features]:
        """Windows as embeddings (B, F, dim), and each quarter of a window, described as a sound of its own, (B, F, 4, dim)."""
        count, dim = self.token_shape
        tokens = np.zeros((*mask.shape, count, dim), dtype=np.float32)
        for row, (clip, heard) in enumerate(zip(windows, mask, strict=True)):
            if heard.any():
                length = clip.shape[1] // count
                pieces = clip[heard, : count * length].reshape(count * int(heard.sum()), length)
                tokens[row, heard] = self._layer(_describe_sound(pieces)).reshape(-1, count, dim)
        return self.encode_audio(windows, mask), tokens

    def encode_text(self, texts: list[str]) -> Features:
        """Sentences (B, dim) as `TinyText` embeds them. As with pictures, which words go with which sounds is left to a head."""
        return TinyText().encode_text(texts).embedding


class TinyText:
    """Texts as bags of words: a random vector for each word's stem, summed; words that carry no meaning are left out of the sum."""

    name = "tiny"
    dim = DIM

    def __init__(self) -> None:
        self.provenance: dict[str, Any] = _provenance(_word_vector("word").tobytes(), "words")

    def encode_text(self, texts: list[str]) -> TextFeatures:
        """Texts as vectors (B, dim) of one length, and a vector for each word."""
        embedding = np.zeros((len(texts), self.dim), dtype=np.float32)
        tokens = []
        for row, text in enumerate(texts):
            words = _split(text)
            tokens.append(np.stack([_word_vector(_stem(word)) for word in words]))
            meaningful = [vector for word, vector in zip(words, tokens[-1], strict=True) if word not in _STOP_WORDS]
            total = np.sum(meaningful or list(tokens[-1]), axis=0, dtype=np.float32)
            embedding[row] = total * (NORM_PER_DIMENSION * self.dim**0.5 / np.linalg.norm(total))
        return TextFeatures(embedding=embedding, tokens=tokens)

    def count_tokens(self, texts: list[str]) -> list[int]:
        """How many words each text has; an empty text has one, the empty word."""
        return [len(_split(text)) for text in texts]


class _Layer:
    """Statistics (.., n) to embeddings (.., dim): groups weighed alike, a random layer of rectifiers, centred."""

    def __init__(self, kind: str, groups: dict[str, tuple[int, float, float, float]]) -> None:
        self.groups = groups
        rng = np.random.default_rng(_seed(kind))
        count = sum(size for size, _, _, _ in groups.values())
        self.weight = rng.standard_normal((count, DIM)).astype(np.float32)
        self.bias = rng.standard_normal(DIM).astype(np.float32) * np.float32(0.5)
        self.sha256 = self.weight.tobytes() + self.bias.tobytes()

    def __call__(self, statistics: dict[str, Array]) -> Array:
        columns = []
        for name, (size, mean, spread, share) in self.groups.items():
            group = statistics[name]
            assert group.shape[-1] == size, (name, group.shape)
            columns.append((group - np.float32(mean)) * np.float32((share / size) ** 0.5 / spread))
        hidden = np.maximum(np.concatenate(columns, axis=1) @ self.weight + self.bias, 0) - np.float32(_CENTRE)
        return (hidden * np.float32(NORM_PER_DIMENSION / _SPREAD)).astype(np.float32)


_CENTRE, _SPREAD = 0.89, 1.2
"""Mean and spread of max(x, 0) for the layer's x, which is normal with variance 5 (four groups' worth and the bias)."""

# name -> (size, usual mean, usual spread, share of the variance)
_VISUAL_STATISTICS = {
    "colour": (18, 0.08, 0.20, 1.2),
    "form": (81, 0.5, 0.40, 1.5),
    "place": (2, 0.5, 0.12, 0.6),
    "extent": (3, 0.0, 1.0, 0.4),
    "movement": (3, 0.0, 0.10, 0.6),
    "edges": (6, 0.0, 1.0, 0.6),
}
_AUDIO_STATISTICS = {
    "spectrum": (48, 0.0, 1.0, 1.8),
    "change": (48, 0.0, 1.0, 0.8),
    "rhythm": (16, 0.0, 1.0, 0.8),
    "glide": (4, 0.0, 1.0, 0.5),
    "noise": (3, 0.0, 1.0, 0.6),
    "level": (1, 0.0, 1.0, 0.1),
}


def _describe_frames(frames: NDArray[np.uint8]) -> dict[str, Array]:
    """Statistics of the frames (F, H, W, 3) of one clip, by group, (F, n) each."""
    # Channels first: numpy is slow in sums and maxima over a last axis of three.
    pixels = np.ascontiguousarray(frames.transpose(3, 0, 1, 2)).astype(np.float32) / np.float32(255)
    _, _, height, width = pixels.shape
    border = np.concatenate([pixels[:, :, 0], pixels[:, :, -1], pixels[..., 0], pixels[..., -1]], axis=2)
    ground = np.median(border, axis=2)
    mask = np.clip((np.abs(pixels - ground[..., None, None]).max(0) - np.float32(0.12)) / np.float32(0.2), 0, 1)
    mass = mask.sum((1, 2)) + np.float32(1e-3)
    x, y = (np.arange(n, dtype=np.float32) / np.float32(n - 1) for n in (width, height))
    across, down = mask.sum(1) / mass[:, None], mask.sum(2) / mass[:, None]
    place = np.stack([across @ x, down @ y], axis=1)
    spread = np.sqrt(
        np.stack([(across * (x - place[:, :1]) ** 2).sum(1), (down * (y - place[:, 1:]) ** 2).sum(1)], axis=1) + 1e-4
    )
    colour = _colours(pixels, mask, mass)
    area = np.log(mass / (height * width) + np.float32(0.01))
    edges = _edges(pixels)
    return {
        "colour": colour,
        "form": _form(mask, place, spread),
        "place": place,
        "extent": np.stack([area + 2.3, (spread[:, 0] - 0.15) / 0.1, (spread[:, 1] - 0.15) / 0.1], axis=1),
        "movement": _movement(place, area, colour, edges),
        "edges": edges,
    }


def _colours(pixels: Array, mask: Array, mass: Array) -> Array:
    """How much of what stands out has each of sixteen hues, and how bright and how colourful it is: (F, 18)."""
    red, green, blue = pixels
    hue = np.arctan2(np.float32(3**0.5) * (green - blue), 2 * red - green - blue) * np.float32(8 / np.pi) % 16
    chroma = (pixels.max(0) - pixels.min(0)) * mask
    low = np.floor(hue)
    part = hue - low
    count = pixels.shape[1]
    frame = np.arange(count)[:, None, None] * 16
    bins = np.zeros(count * 16)
    for offset, weight in ((0, (1 - part) * chroma), (1, part * chroma)):
        index = frame + (low.astype(np.int64) + offset) % 16
        bins += np.bincount(index.ravel(), weight.ravel(), minlength=bins.size)
    hues = bins.reshape(-1, 16) / (chroma.sum((1, 2)) + 1e-3)[:, None]
    bright = (pixels.mean(0) * mask).sum((1, 2)) / mass
    return np.concatenate([hues, bright[:, None], chroma.sum((1, 2))[:, None] / mass[:, None]], axis=1).astype(
        np.float32
    )


def _form(mask: Array, place: Array, spread: Array) -> Array:
    """What stands out, on a 9x9 grid laid around its centre and stretched to its width and height: (F, 81)."""
    height, width = mask.shape[1:]
    steps = np.linspace(-2, 2, 9, dtype=np.float32)
    x = (place[:, :1] + spread[:, :1] * steps) * (width - 1)
    y = (place[:, 1:] + spread[:, 1:] * steps) * (height - 1)
    x, y = np.clip(x, 0, width - 1.001), np.clip(y, 0, height - 1.001)
    left, top = x.astype(np.int64), y.astype(np.int64)
    right_part, low_part = (x - left)[:, None, :], (y - top)[:, :, None]
    frame = np.arange(len(mask))[:, None, None]

    def at(row: NDArray[np.int64], column: NDArray[np.int64]) -> Array:
        return mask[frame, row[:, :, None], column[:, None, :]]

    upper = at(top, left) * (1 - right_part) + at(top, left + 1) * right_part
    lower = at(top + 1, left) * (1 - right_part) + at(top + 1, left + 1) * right_part
    return (upper * (1 - low_part) + lower * low_part).reshape(len(mask), 81)


def _edges(pixels: Array) -> Array:
    """How much edge there is across, down, and how much of it is fine; how scattered; the picture's contrast: (F, 6)."""
    grey = pixels.mean(0)
    across, down = np.abs(np.diff(grey, axis=2)), np.abs(np.diff(grey, axis=1))
    coarse = grey.reshape(len(grey), grey.shape[1] // 4, 4, grey.shape[2] // 4, 4).mean((2, 4))
    return np.stack(
        [
            np.log(across.mean((1, 2)) + 0.003) + 3.7,
            np.log(down.mean((1, 2)) + 0.003) + 3.7,
            np.log((across > 0.05).mean((1, 2)) + 0.01) + 2.0,
            np.log(np.abs(np.diff(coarse, axis=2)).mean((1, 2)) + 0.01) + 3.0,
            (grey.std((1, 2)) - 0.15) / 0.06,
            (pixels.std((2, 3)).mean(0) - 0.2) / 0.08,
        ],
        axis=1,
    ).astype(np.float32)


def _movement(place: Array, area: Array, colour: Array, edges: Array) -> Array:
    """Change of place and size from the frame before and to the one after, where these show the same thing: (F, 3)."""
    if len(place) < 2:
        return np.zeros((len(place), 3), dtype=np.float32)
    state = np.concatenate([place, area[:, None] * np.float32(0.4)], axis=1)
    alike = np.minimum(colour[1:, :16], colour[:-1, :16]).sum(1) - np.abs(np.diff(edges[:, :3], axis=0)).sum(1) * 0.2
    alike = np.clip((alike - 0.4) / 0.2, 0, 1)[:, None]
    step = np.diff(state, axis=0) * alike
    nothing = np.zeros((1, 3), dtype=np.float32)
    before, after = np.concatenate([nothing, step]), np.concatenate([step, nothing])
    known = np.concatenate([nothing[:, :1], alike]) + np.concatenate([alike, nothing[:, :1]])
    return ((before + after) / np.maximum(known, 1)).astype(np.float32)


_BANDS, _WINDOW, _HOP, _RATE = 48, 512, 160, 16_000


@lru_cache(maxsize=1)
def _filters() -> Array:
    """Triangles on the mel scale from 50 to 7,800 Hz: (bins, bands)."""
    low, high = 2595 * np.log10(1 + np.array([50, 7800]) / 700)
    mel = np.linspace(low, high, _BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    frequency = np.fft.rfftfreq(_WINDOW, 1 / _RATE)[:, None]
    rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    filters = np.maximum(np.minimum(rising, falling), 0)
    # The lowest bands are narrower than a bin: each takes the nearest one.
    filters[np.abs(frequency - edges[1:-1]).argmin(0), np.arange(_BANDS)] += 1e-3
    return (filters / filters.sum(0)).astype(np.float32)


def _describe_sound(windows: NDArray[np.float32]) -> dict[str, Array]:
    """Statistics of the windows (F, samples) of one clip, by group, (F, n) each."""
    short = _WINDOW + _HOP - windows.shape[1]
    if short > 0:  # change needs at least two moments
        windows = np.pad(windows, ((0, 0), (0, short)))
    pieces = np.lib.stride_tricks.sliding_window_view(windows, _WINDOW, axis=1)[:, ::_HOP]
    power = np.abs(np.fft.rfft(pieces * np.hanning(_WINDOW).astype(np.float32))) ** 2
    power = power.astype(np.float32)
    mel = power @ _filters()
    loudest = mel.max((1, 2))[:, None, None] + np.float32(1e-9)
    heard = np.log10(mel / loudest + np.float32(1e-5)) + np.float32(3)
    mean = heard.mean(1)
    flat = np.exp(np.log(power[:, :, 4:224] + 1e-9).mean(-1)) / (power[:, :, 4:224].mean(-1) + 1e-9)
    flat = np.log10(flat + 1e-4)
    return {
        "spectrum": mean - mean.mean(1, keepdims=True),
        "change": (heard.std(1) - np.float32(0.5)) / np.float32(0.4),
        "rhythm": _rhythm(mel),
        "glide": _glide(mel),
        "noise": np.stack([flat.mean(1) + 1.7, (flat.std(1) - 0.4) / 0.3, mean.std(1) * 2 - 1.5], axis=1).astype(
            np.float32
        ),
        "level": np.log10(loudest[:, 0]) * np.float32(0.5),
    }


def _rhythm(mel: Array) -> Array:
    """How strongly the loudness beats, at sixteen rates from 3 to 40 a second: (F, 16)."""
    loudness = np.log10(mel.sum(-1) / (mel.sum(-1).max(1, keepdims=True) + 1e-9) + 1e-3)
    loudness = loudness - loudness.mean(1, keepdims=True)
    rates = np.geomspace(3, 40, 16)
    time = np.arange(loudness.shape[1]) * (_HOP / _RATE)
    waves = np.exp(-2j * np.pi * time[:, None] * rates) * np.hanning(len(time) + 2)[1:-1, None]
    strength = np.abs(loudness @ waves) / len(time)
    return ((strength - 0.08) / 0.1).astype(np.float32)


def _glide(mel: Array) -> Array:
    """Whether energy moves to the band above (positive) or below from one moment to the next, in four regions: (F, 4)."""
    share = np.sqrt(mel / (mel.sum(-1, keepdims=True) + 1e-9))
    now, then = share[:, :-1], share[:, 1:]
    up, down = now[:, :, :-1] * then[:, :, 1:], now[:, :, 1:] * then[:, :, :-1]
    drift = (up - down).mean(1)
    return np.stack([part.sum(1) for part in np.array_split(drift, 4, axis=1)], axis=1).astype(np.float32) * 12


_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can for from goes has have he her his i in into is it its of on or our she that the their then "
        "there they this to we while with you your later",
    )
)
_ENDINGS = ("ingly", "edly", "wards", "ing", "ies", "ers", "ed", "es", "er", "ly", "s")


def _split(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower()) or [""]


def _stem(word: str) -> str:
    """A word without its ending, roughly, so that "moves" and "moving" are one."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 3 and (word[-1] == "e" or word[-1] == word[-2]) else word


@lru_cache(maxsize=65_536)
def _word_vector(stem: str) -> Array:
    vector = np.random.default_rng(_seed(f"word {stem}")).standard_normal(DIM)
    return (vector * NORM_PER_DIMENSION).astype(np.float32)


def _seed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"gaid tiny {VERSION} {name}".encode()).digest()[:8], "big")


def _provenance(weights: bytes, fed: str) -> dict[str, Any]:
    return {
        "name": "tiny",
        "version": VERSION,
        "weights": f"none (fixed projections, version {VERSION})",
        "sha256": hashlib.sha256(weights).hexdigest(),
        "dim": DIM,
        "input": fed,
        "mean": None,
        "std": None,
        "random_weights": False,
    }


def find(kind: str, variant: str, random_weights: bool) -> Callable[[str, int], Any]:
    """What builds an encoder; it is the same on every device and from every seed."""
    return lambda device, seed: _build(kind)


@lru_cache(maxsize=4)
def _build(kind: str) -> Any:
    return {"visual": TinyVisual, "audio": TinyAudio, "text": TinyText, "speech": tones.TinySpeech}[kind]()


def statuses() -> list[BackboneStatus]:
    """Always at hand."""
    return [BackboneStatus("tiny", kind, "none needed", "") for kind in SPEC.kinds]


KINDS: tuple[Kind, ...] = ("visual", "audio", "text", "speech")
SPEC = BackboneSpec("tiny", "tiny", KINDS, find, statuses, licences={"tiny": "Apache-2.0"})
