"""PE-A-Frame through transformers' `PeAudioFrameLevelModel`: sound as 25 steps per second, and sentences in their space.

Sound goes in whole (`AudioSpec.whole`), each piece in a pass of its own: in a batch, the codec's convolutions would let the
padding of a short sound change its last steps. Always float32.

A sentence's vector is the first token's, after the last layer of the text model and before that model's own last norm, as
Meta's code takes it (a middle layer of a deeper ModernBERT, which never met a norm there); the head brings a norm of its own.
transformers' `hidden_states[-1]` has meant both in its versions, so the norm is taken out of the model here.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoTokenizer, PeAudioConfig, PeAudioFeatureExtractor, PeAudioFrameLevelModel

from gaid.backbones import hub
from gaid.backbones.hashed_words import hashed_words
from gaid.backbones.inference import check_complete, check_texts_differ, loading, quietly, seeded, to_device, to_numpy
from gaid.backbones.protocol import Features
from gaid.errors import BackboneUnavailable, OptionInvalid
from gaid.specs import AudioSpec

LONGEST = 30.0  # bounds the codec's memory: about 1.5 GB for 30 s
CONTEXT = 512  # tokens of a sentence, as in Meta's code
# Width, feed-forward width, layers and heads of the audio encoder, for random weights of the real architecture. The default
# configuration of transformers has the other parts.
SIZES = {"base": (1024, 2752, 16, 8), "large": (1792, 4800, 28, 14)}

Tokenize = Callable[[str], Tensor]  # a sentence as (1, tokens)


class PeAudioFrames:
    """The audio encoder and its head, one embedding per step (not normalised), and the text side."""

    thread_safe = True
    token_shape = None
    has_text = True

    def __init__(self, name: str, folder: Path | None, device: str = "cpu", seed: int = 0) -> None:
        model, self._extractor, self._tokenize = _random(name, seed) if folder is None else _load(name, folder)
        self._model = model.to(device).eval().requires_grad_(False)
        self._device = device
        self.name = f"pe-a-frame:{hub.shown_name(name, folder)}"
        self.dim = int(model.config.text_config.hidden_size)
        rate, self._hop = self._extractor.sampling_rate, self._extractor.hop_length
        self.steps_per_second = rate / self._hop
        self.audio_spec = AudioSpec(rate=rate, shortest=1 / self.steps_per_second, longest=LONGEST, whole=True)
        self.provenance: dict[str, Any] = {
            "name": self.name,
            **hub.weights_provenance(folder, seed),
            "dim": self.dim,
            "input": {"rate": rate, "whole": True, "piece": LONGEST},
            "text": {"context_length": CONTEXT, "pooling": "first token, before the last norm"},
        }
        if folder is not None:
            check_texts_differ(self.name, self.encode_text)

    @torch.inference_mode()
    def encode_steps(self, pieces: list[NDArray[np.float32]]) -> list[Features]:
        """Pieces (samples,) as steps (ceil(samples / hop), dim); the last one is filled up by reflection, as in training."""
        return [self._steps(piece) for piece in pieces]

    def _steps(self, piece: NDArray[np.float32]) -> Features:
        missing = -len(piece) % self._hop
        padded = np.pad(piece, (0, missing), "reflect") if missing else piece
        encoded = self._model.audio_encoder(to_device(padded, self._device)[None, None])
        return to_numpy(self._model.audio_head(encoded.last_hidden_state))[0]

    @torch.inference_mode()
    def encode_text(self, texts: list[str]) -> Features:
        """Sentences as (B, dim), each in a pass of its own."""
        found = np.empty((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            hidden = self._model.text_model(self._tokenize(text).to(self._device)).last_hidden_state
            found[row] = to_numpy(self._model.text_audio_head(hidden[:, 0]))[0]
        return found


def random_config(name: str) -> PeAudioConfig:
    """The architecture that a checkpoint's name says. Raises OptionInvalid where it is not known."""
    size = name.rpartition("pe-a-frame-")[2]
    if size not in SIZES:
        raise OptionInvalid(f"pe-a-frame:{name}: no size is known for random weights; known: {', '.join(SIZES)}")
    width, feed_forward, layers, heads = SIZES[size]
    return PeAudioConfig(
        audio_config={
            "hidden_size": width, "intermediate_size": feed_forward, "num_hidden_layers": layers,
            "num_attention_heads": heads,
        }
    )  # fmt: skip


def _random(name: str, seed: int) -> tuple[Any, PeAudioFeatureExtractor, Tokenize]:
    """The model, and in place of its tokeniser, which comes with the weights, a number for each word."""
    config = random_config(name)
    with seeded(seed), quietly():
        model = _without_last_norm(PeAudioFrameLevelModel(config))
    texts: Any = config.text_config

    def tokenize(text: str) -> Tensor:
        words = hashed_words(text, texts.vocab_size)[: CONTEXT - 2]
        return torch.tensor([[texts.cls_token_id, *words, texts.sep_token_id]])

    return model, PeAudioFeatureExtractor(), tokenize


def _load(name: str, folder: Path) -> tuple[Any, PeAudioFeatureExtractor, Tokenize]:
    with loading(f"pe-a-frame:{name}", folder, "a PE-A-Frame"):
        loaded: Any = PeAudioFrameLevelModel.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, dtype=torch.float32
        )
        kept = any((folder / file).is_file() for file in ("processor_config.json", "preprocessor_config.json"))
        extractor = PeAudioFeatureExtractor.from_pretrained(folder) if kept else PeAudioFeatureExtractor()
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model, found = loaded
    check_complete(f"pe-a-frame:{name}", folder, found["missing_keys"], "model")
    if extractor.hop_length != model.config.audio_config.dac_config.hop_length:
        raise BackboneUnavailable(
            f"pe-a-frame:{name}: {folder} has a hop of {extractor.hop_length} samples for its sound and "
            f"{model.config.audio_config.dac_config.hop_length} in its codec"
        )

    def tokenize(text: str) -> Tensor:
        found: Tensor = tokenizer(text, truncation=True, max_length=CONTEXT, return_tensors="pt")["input_ids"]
        return found

    return _without_last_norm(model), extractor, tokenize


def _without_last_norm(model: Any) -> Any:
    model.text_model.final_norm = torch.nn.Identity()
    return model
