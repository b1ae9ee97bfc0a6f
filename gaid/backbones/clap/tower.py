"""CLAP's audio tower through transformers: sound at 48 kHz as vectors of 512.

Only unfused checkpoints: a fused one takes three random parts of any sound longer than 10 s, and may treat a random sound
of a batch so, which makes its vectors depend on chance and on the batch (LAION-AI/CLAP#90). Windows here are at most 10 s
long, shorter ones are repeated and padded as in training, and each is encoded independently. The text tower is `text`.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import ClapAudioModelWithProjection, ClapConfig, ClapFeatureExtractor

from gaid.backbones import hub
from gaid.backbones.clap.text import ClapText, has_text
from gaid.backbones.inference import check_complete, inferring, loading, quietly, seeded, to_device, to_numpy
from gaid.backbones.protocol import Features
from gaid.errors import OptionInvalid
from gaid.files import sha256_of
from gaid.specs import AudioSpec

# CLAP was trained on 5 to 10 s. Below about 2 s, a repeated snippet sounds mostly of its own repetition.
SHORTEST_WINDOW = 2.0
WINDOWS_AT_ONCE = 128  # on a GPU
MELS_AT_ONCE = 32  # windows of 10 s whose spectra, in double precision, are held at once: 0.4 GB


class ClapAudio:
    """The audio tower and its projection: one embedding per window, not normalised."""

    thread_safe = True

    def __init__(self, name: str, folder: Path | None, device: str = "cpu", seed: int = 0) -> None:
        self._device = device
        self._origin = name, folder, device, seed
        self.has_text = has_text(folder)
        self._model, self._extractor = _load(name, folder, seed)
        self._model = self._model.to(device).eval().requires_grad_(False)
        self._mel = ClapMel(self._extractor, device)
        self.name = f"clap:{name}" if folder is None or not Path(name).exists() else f"clap:{folder.name}"
        self.dim = int(self._model.config.projection_dim)
        self.audio_spec = AudioSpec(
            rate=self._extractor.sampling_rate,
            shortest=SHORTEST_WINDOW,
            longest=float(self._extractor.max_length_s),
        )
        config = self._model.config
        side = config.spec_size // config.patch_stride[0] // 2 ** (len(config.depths) - 1)
        self.clip_token_shape = None
        self.token_shape = (side * side, int(config.patch_embeds_hidden_size) * 2 ** (len(config.depths) - 1))
        file = None if folder is None else hub.weights_in(folder)
        self.provenance: dict[str, Any] = {
            "name": self.name,
            "weights": None if file is None else file.name,
            "sha256": None if file is None else sha256_of(file),
            "dim": self.dim,
            "input": {"rate": self.audio_spec.rate, "shortest": SHORTEST_WINDOW, "longest": self.audio_spec.longest},
            "mel": {"bins": self._extractor.feature_size, "hop": self._extractor.hop_length, "padding": "repeatpad"},
            "random_weights": file is None,
        } | ({"seed": seed} if file is None else {})

    def encode_audio(self, windows: list[NDArray[np.float32]], mask: NDArray[np.bool_]) -> Features:
        """B clips' windows, each (F, samples) at `audio_spec.rate`, as (B, F, dim); zeros where `mask` is False."""
        features = np.zeros((*mask.shape, self.dim), dtype=np.float32)
        for place, embedding, _ in list(self._encoded(windows, mask)):  # all are asked for before one is waited for
            features[place] = to_numpy(embedding)
        return features

    def encode_audio_tokens(
        self, windows: list[NDArray[np.float32]], mask: NDArray[np.bool_]
    ) -> tuple[Features, Features]:
        """Embeddings as `encode_audio` gives them, and what the tower pools into each: its last hidden state, every place of
        its map a token (HTSAT: 64 of 768 per window), not projected."""
        features = np.zeros((*mask.shape, self.dim), dtype=np.float32)
        tokens = np.zeros((*mask.shape, *self.token_shape), dtype=np.float32)
        for place, embedding, hidden in list(self._encoded(windows, mask)):
            features[place] = to_numpy(embedding)
            tokens[place] = to_numpy(hidden.flatten(2).transpose(1, 2))
        return features, tokens

    def encode_text(self, texts: list[str]) -> Features:
        """Sentences as (B, dim), by the text tower and its projection."""
        return self._text(texts)

    @cached_property
    def _text(self) -> ClapText:
        return ClapText(*self._origin)

    def _encoded(
        self, windows: list[NDArray[np.float32]], mask: NDArray[np.bool_]
    ) -> Iterator[tuple[tuple[NDArray[np.int64], ...], Tensor, Tensor]]:
        """Batches of windows: the places (rows, frames) of those that are heard, their embeddings, the last hidden state."""
        rows, frames = np.nonzero(mask)
        if self._device == "cpu":  # each clip is a batch of its own, so its features never depend on its neighbours
            for row, (clip, heard) in enumerate(zip(windows, mask, strict=True)):
                if heard.any():
                    yield (rows[rows == row], frames[rows == row]), *self._encode(self._mel(clip[heard]))
        elif len(rows):
            filled = [self._mel.fill(clip[heard]) for clip, heard in zip(windows, mask, strict=True) if heard.any()]
            sound = torch.cat(filled)
            for start in range(0, len(sound), WINDOWS_AT_ONCE):
                some = slice(start, start + WINDOWS_AT_ONCE)
                mels = [self._mel.of_filled(few) for few in sound[some].split(MELS_AT_ONCE)]
                yield (rows[some], frames[some]), *self._encode(torch.cat(mels))

    def _encode(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        with inferring(self._device):
            found = self._model(input_features=mel.to(self._device))
            return found.audio_embeds, found.last_hidden_state


class ClapMel:
    """Windows as CLAP's log-mel pictures, many at once, on the device that runs the tower; the numbers are
    ClapFeatureExtractor's (a test holds the two together), which works through one sound after the other on the CPU.

    In double precision on either device: even on GPUs with slow double precision it is several times faster than the tower.
    """

    def __init__(self, extractor: ClapFeatureExtractor, device: str = "cpu") -> None:
        self.samples = int(extractor.nb_max_samples)
        self._device = device
        self._size, self._hop = extractor.fft_window_size, extractor.hop_length
        self._window = torch.hann_window(self._size, dtype=torch.float64).to(device)
        bank = torch.from_numpy(np.asarray(extractor.mel_filters_slaney)).double()  # the unfused models' bank
        self._filters = bank.to(device)

    def __call__(self, windows: NDArray[np.float32]) -> Tensor:
        """Windows (n, samples) as (n, 1, time, bins) in dB."""
        with torch.inference_mode():
            return self.of_filled(self.fill(windows))

    def fill(self, windows: NDArray[np.float32]) -> Tensor:
        """Windows (n, samples) on the device, as long as the tower wants them: what is short is repeated as often as it fits,
        then come zeros (`repeatpad`)."""
        sound = to_device(windows, self._device)
        length = sound.shape[1]
        if length >= self.samples:
            return sound[:, : self.samples]
        repeated = sound.repeat(1, self.samples // length)
        return torch.nn.functional.pad(repeated, (0, self.samples - repeated.shape[1]))

    @torch.inference_mode()
    def of_filled(self, sound: Tensor) -> Tensor:
        """Windows (n, samples) as `fill` gives them as (n, 1, time, bins) in dB."""
        spectrum = torch.stft(
            sound.double(), self._size, self._hop, window=self._window, center=True, pad_mode="reflect", return_complex=True
        )  # fmt: skip
        power = spectrum.abs().square().transpose(1, 2) @ self._filters
        return (10 * power.clamp(min=1e-10).log10()).float()[:, None]


def _load(name: str, folder: Path | None, seed: int) -> tuple[Any, ClapFeatureExtractor]:
    if folder is None:
        if name.endswith("-fused"):
            raise _fused(name)
        with seeded(seed), quietly():  # transformers' defaults are the architecture of laion/clap-htsat-unfused
            defaults: Any = ClapConfig().audio_config
            return ClapAudioModelWithProjection(defaults), ClapFeatureExtractor()
    with loading(f"clap:{name}", folder, "a CLAP"):
        config: Any = ClapConfig.from_pretrained(folder, local_files_only=True).audio_config
        if config.enable_fusion:
            raise _fused(name)
        loaded: Any = ClapAudioModelWithProjection.from_pretrained(
            folder, config=config, local_files_only=True, output_loading_info=True, dtype=torch.float32
        )
        has_preprocessing = (folder / "preprocessor_config.json").is_file()
        extractor = ClapFeatureExtractor.from_pretrained(folder) if has_preprocessing else ClapFeatureExtractor()
    model, found = loaded
    check_complete(f"clap:{name}", folder, found["missing_keys"], "audio tower")
    return model, extractor


def _fused(name: str) -> OptionInvalid:
    return OptionInvalid(
        f"clap:{name} is a fused checkpoint: it takes random parts of long sounds, so its vectors cannot be reproduced; "
        "use clap:laion/clap-htsat-unfused"
    )
