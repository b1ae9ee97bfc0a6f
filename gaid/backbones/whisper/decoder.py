"""A Whisper's words through transformers, token by token: the most likely one that the published rules of times allow.

The rules: a window begins with a time within its first second; times come in pairs, but for one before the end; a time is not
before the one before it; and a time comes where all times together are more likely than any word.
"""

import json
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache, WhisperFeatureExtractor, WhisperForConditionalGeneration

from gaid.backbones import hub
from gaid.backbones.inference import check_complete, loading, to_device
from gaid.backbones.protocol import Features
from gaid.backbones.whisper.transcriber import INITIAL, LONGEST, Decoded, Vocabulary, WhisperTranscriber

NEVER = -float("inf")
# transformers gave it another name in 5.24.
CACHE = "cache" if "cache" in signature(WhisperForConditionalGeneration.forward).parameters else "past_key_values"


def load_transcriber(name: str, folder: Path, device: str) -> WhisperTranscriber:
    """The Whisper of a checkpoint's folder. Raises BackboneUnavailable for anything else."""
    shown = f"whisper:{hub.shown_name(name, folder)}"
    with loading(f"whisper:{name}", folder, "a Whisper"):
        loaded: Any = WhisperForConditionalGeneration.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, dtype=torch.float32
        )
        model, found = loaded
        bins = int(model.config.num_mel_bins)
    lacking = [key for key in found["missing_keys"] if key != "proj_out.weight"]  # which is the embedding of tokens
    check_complete(f"whisper:{name}", folder, lacking, "model")
    vocabulary = Vocabulary(f"whisper:{name}", folder)
    extractor = WhisperFeatureExtractor(feature_size=bins)
    decoder = Decoder(model.to(device).eval().requires_grad_(False), vocabulary, _settings(folder), device)
    provenance = hub.weights_provenance(folder, 0)
    return WhisperTranscriber(shown, decoder, extractor, vocabulary, provenance, device == "cpu")


def _settings(folder: Path) -> dict[str, Any]:
    """The checkpoint's own settings of generation; none where it has none."""
    file = folder / "generation_config.json"
    found: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return found


def _empty_cache() -> Any:
    return EncoderDecoderCache(DynamicCache(), DynamicCache())


class Decoder:
    """Greedy decoding of a window."""

    def __init__(self, model: Any, vocabulary: Vocabulary, settings: dict[str, Any], device: str) -> None:
        self.model, self.vocabulary, self.device = model, vocabulary, device
        size = int(model.config.vocab_size)
        self._never = [int(token) for token in settings.get("suppress_tokens") or [] if 0 <= token < size]
        # A model of English alone says so, or has a token less than those of all languages.
        multilingual = settings.get("is_multilingual", size >= 51865)
        self._languages = sorted(vocabulary.languages().values()) if multilingual else []

    @torch.inference_mode()
    def __call__(self, mel: Features) -> Decoded:
        heard = self.model.model.encoder(to_device(mel[None], self.device))
        asked = [self.vocabulary.start]
        first = self._ask(heard, asked, _empty_cache())
        silence = self.vocabulary.no_speech
        no_speech = 0.0 if silence is None else float(first.softmax(0)[silence])
        if self._languages and self.vocabulary.transcribe is not None:
            language = max(self._languages, key=lambda token: float(first[token]))
            asked += [language, self.vocabulary.transcribe]
        tokens: list[int] = []
        total, kept = 0.0, _empty_cache()
        logits = self._ask(heard, asked, kept)
        while True:
            chances = self._allowed(logits, tokens).log_softmax(0)
            token = int(chances.argmax())
            total += float(chances[token])
            if token == self.vocabulary.end:
                return Decoded(tokens, total / (len(tokens) + 1), no_speech)
            tokens.append(token)
            if len(tokens) == LONGEST:
                return Decoded(tokens, total / len(tokens), no_speech)
            logits = self._ask(heard, [token], kept)

    def _ask(self, heard: Any, tokens: list[int], kept: Any) -> Tensor:
        """Logits (vocabulary,) of what follows the tokens; `kept` holds what the decoder keeps of those before, and then of
        these."""
        given = torch.tensor([tokens], device=self.device)
        out = self.model(encoder_outputs=heard, decoder_input_ids=given, use_cache=True, **{CACHE: kept})
        logits: Tensor = out.logits[0, -1].float()
        return logits

    def _allowed(self, logits: Tensor, tokens: list[int]) -> Tensor:
        """Logits with those of tokens that the rules exclude at minus infinity."""
        found, begin, end = logits.clone(), self.vocabulary.first_time, self.vocabulary.end
        # Marks lie between the end and the times; none of them is a word.
        found[end + 1 : begin] = NEVER
        found[self._never] = NEVER
        times = [token for token in tokens if token >= begin]
        if not tokens:
            found[:begin] = NEVER
            found[begin + INITIAL + 1 :] = NEVER
            return found
        after_time = tokens[-1] >= begin
        half = after_time and len(tokens) > 1 and tokens[-2] < begin  # the end of a segment, whose successor begins now
        if half:
            found[:end] = NEVER
        elif after_time:
            found[begin:] = NEVER
        if times:
            found[begin : times[-1] + (0 if half else 1)] = NEVER
        chances = found.log_softmax(0)
        if chances[begin:].logsumexp(0) > chances[:begin].max():
            found[:begin] = NEVER
        return found
