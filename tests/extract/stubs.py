"""Small backbones whose behaviour a test can choose. Named to `extract` as tests.extract.stubs:StubVisual and so on."""

import signal
from typing import Any, ClassVar

import numpy as np

from gaid.backbones.protocol import TextFeatures
from gaid.specs import AudioSpec, FrameSpec

VISUAL, AUDIO, TEXT = (f"tests.extract.stubs:Stub{kind}" for kind in ("Visual", "Audio", "Text"))
AUDIO_TOKENS = "tests.extract.stubs:StubAudioTokens"
AUDIO_TEXT = "tests.extract.stubs:StubAudioText"
CLIP = "tests.extract.stubs:StubClip"
NAMES = {"visual": VISUAL, "audio": AUDIO, "text": TEXT}


class StubVisual:
    """Mean colours of the frame's quarters. `shout` and `spoil` are set by tests and apply to the n-th clips encoded."""

    name = "stub"
    dim = 12
    frame_spec = FrameSpec(32, "squash", "bilinear")
    patch_shape = (4, 3)
    version: ClassVar[int] = 1
    calls: ClassVar[list[int]] = []
    shout: ClassVar[dict[int, int]] = {}  # call -> how many times SIGINT is raised in it
    spoil: ClassVar[dict[int, float]] = {}  # call -> a value among its features

    @property
    def provenance(self) -> dict[str, Any]:
        return {"name": self.name, "weights": f"v{self.version}", "dim": self.dim, "random_weights": False}

    @classmethod
    def reset(cls) -> None:
        cls.version = 1
        cls.calls, cls.shout, cls.spoil = [], {}, {}

    def encode_patches(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        call = len(self.calls)
        self.calls.append(len(frames))
        for _ in range(self.shout.get(call, 0)):
            signal.raise_signal(signal.SIGINT)
        batch, count = frames.shape[:2]
        patches = frames.reshape(batch, count, 2, 16, 2, 16, 3).mean(axis=(3, 5), dtype=np.float32)
        patches = patches.reshape(batch, count, 4, 3) / np.float32(255)
        if call in self.spoil:
            patches[0, 0, 0, 0] = self.spoil[call]
        return patches.reshape(batch, count, 12), patches

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        return self.encode_patches(frames)[0]


class StubAudio:
    """Loudness of the window's quarters, and a constant that a silent window must not keep."""

    name = "stub"
    dim = 5
    audio_spec = AudioSpec(8000, 0.1, 10.0)
    provenance: ClassVar[dict[str, Any]] = {"name": "stub", "weights": "none", "dim": 5}

    def encode_audio(self, windows: list[np.ndarray], mask: np.ndarray) -> np.ndarray:
        loud = [
            np.stack([np.abs(part).mean(axis=1) for part in np.array_split(window, 4, axis=1)], axis=1)
            for window in windows
        ]
        return np.concatenate([np.stack(loud), np.ones((*mask.shape, 1))], axis=2).astype(np.float32)


class StubAudioText(StubAudio):
    """The same, with a text side: how often each vowel occurs in a sentence."""

    has_text = True

    def encode_text(self, texts: list[str]) -> np.ndarray:
        return np.array([[text.count(vowel) for vowel in "aeiou"] for text in texts], np.float32).reshape(-1, 5)


class StubAudioTokens(StubAudio):
    """The same, with each quarter's loudness as a token too. `spoil` is a value among the tokens of the n-th clips encoded."""

    token_shape = (4, 1)
    calls: ClassVar[list[int]] = []
    spoil: ClassVar[dict[int, float]] = {}

    def encode_audio_tokens(self, windows: list[np.ndarray], mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        embedding = self.encode_audio(windows, mask)
        tokens = embedding[..., :4, None].copy()
        tokens[~mask] = 7  # what extraction must not keep
        if len(self.calls) in self.spoil:
            tokens[mask] = self.spoil[len(self.calls)]
        self.calls.append(len(windows))
        return embedding, tokens


class StubSteps:
    """Hears the whole sound: ten steps per second, each the time of its middle within its piece and a 1; published, four
    steps of 100 to 103."""

    name = "stub steps"
    dim = 2
    audio_spec = AudioSpec(16000, 0.02, 3.0, whole=True)
    steps_per_second = 10.0
    provenance: ClassVar[dict[str, Any]] = {"name": "stub steps", "weights": "none", "dim": 2}

    def encode_steps(self, pieces: list[np.ndarray]) -> list[np.ndarray]:
        counts = [-(-len(piece) // 1600) for piece in pieces]
        return [np.stack([(np.arange(n) + 0.5) / 10, np.ones(n)], axis=1).astype(np.float32) for n in counts]

    def encode_published(self, sounds: list[np.ndarray]) -> list[np.ndarray]:
        return [np.stack([np.arange(100, 104), np.ones(4)], axis=1).astype(np.float32) for _ in sounds]


class StubLoudness(StubSteps):
    """Hears the whole sound: how loud it is in each step, and a 1. Its name is the one by which it is loaded again."""

    name = "tests.extract.stubs:StubLoudness"
    provenance: ClassVar[dict[str, Any]] = {"name": name, "weights": "none", "dim": 2}

    def encode_steps(self, pieces: list[np.ndarray]) -> list[np.ndarray]:
        found = []
        for piece in pieces:
            parts = np.pad(piece, (0, -len(piece) % 1600)).reshape(-1, 1600)
            found.append(np.stack([np.abs(parts).mean(axis=1), np.ones(len(parts))], axis=1).astype(np.float32))
        return found

    def encode_published(self, sounds: list[np.ndarray]) -> list[np.ndarray]:
        return self.encode_steps(sounds)


class StubClip(StubLoudness):
    """The same, and a clip as one: three tokens of how long its sound is and how loud each third; -1 twice where it has none."""

    name = "tests.extract.stubs:StubClip"
    clip_token_shape = (3, 2)
    provenance: ClassVar[dict[str, Any]] = {"name": name, "weights": "none", "dim": 2}

    def encode_clip(self, sounds: list[np.ndarray | None]) -> np.ndarray:
        found = []
        for sound in sounds:
            if sound is None:
                found.append(np.full((3, 2), -1))
                continue
            thirds = np.array_split(sound, 3)
            found.append(np.array([[len(sound) / 16000, np.abs(part).mean()] for part in thirds]))
        return np.stack(found).astype(np.float32)


class StubText:
    """A word is its letters' counts, a text the mean of its words."""

    name = "stub"
    dim = 12
    provenance: ClassVar[dict[str, Any]] = {"name": "stub", "weights": "none", "dim": 12}
    extra: ClassVar[int] = 0  # tokens that are given but were not counted

    def count_tokens(self, texts: list[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def encode_text(self, texts: list[str]) -> TextFeatures:
        tokens = [
            np.array([[word.count(letter) for letter in "aeioubcdfgst"] for word in text.split()], np.float32)
            for text in texts
        ]
        embedding = np.stack([of_text.mean(axis=0) for of_text in tokens])
        return TextFeatures(embedding, [np.repeat(of_text, 1 + self.extra, axis=0) for of_text in tokens])


def run(world: Any, out: Any, **options: Any) -> Any:
    """Extracts with the stubs, in silence, decoding in this process unless told otherwise."""
    from gaid.extract import extract

    return extract(world, out=out, **{"progress": False, "workers": 0, **NAMES, **options})
