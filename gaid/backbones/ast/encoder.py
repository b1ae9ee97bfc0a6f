"""AST through transformers, always in float32.

`encode_steps` makes a mel picture of a piece of up to 10.24 s, a row every 10 ms, as AST was trained, and gives the mean over the
frequencies of each tenth of a second, after the last norm.

`encode_clip` gives the tokens that AVIGATE's published code makes of a whole sound: the rows' distance is a 1,024th of the
sound, so that any length fills the picture; the class token is the mean of AST's two, taken BEFORE the last norm.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import ASTConfig, ASTModel

from gaid.backbones import hub
from gaid.backbones.ast.fbank import RATE, WINDOW, fbank
from gaid.backbones.inference import check_complete, loading, quietly, seeded, to_device, to_numpy
from gaid.backbones.protocol import Features
from gaid.errors import OptionInvalid
from gaid.files import sha256_of
from gaid.specs import AudioSpec

STEP = 160  # samples from row to row of a piece: 10 ms
AT_ONCE = 16  # pictures, on a GPU
AUDIOSET = (-4.2677393, 4.5689974)  # mean and half the divisor of pictures, where a checkpoint does not say
_NAMED = re.compile(r"ast-finetuned-audioset-(\d+)-\1-")  # the stride of its patches


class AstAudio:
    """The encoder with its pictures. `clip_token_shape`: (tokens, dim) of a clip, (1213, 768) of the published architecture."""

    thread_safe = True
    token_shape = None
    has_text = False

    def __init__(
        self, name: str, model: Any, scale: tuple[float, float], provenance: dict[str, Any], device: str
    ) -> None:
        config = model.config
        self.name, self.dim = name, int(config.hidden_size)
        self._rows, self._bins, self._scale = int(config.max_length), int(config.num_mel_bins), scale
        self._times = (self._rows - config.patch_size) // config.time_stride + 1
        pitches = (self._bins - config.patch_size) // config.frequency_stride + 1
        self.clip_token_shape = (1 + pitches * self._times, self.dim)
        # A clip's tokens need a row of their own for each of the picture's rows; a shorter sound counts as none.
        self.audio_spec = AudioSpec(RATE, shortest=self._rows / RATE, longest=self._rows * STEP / RATE, whole=True)
        self.steps_per_second = RATE / STEP / config.time_stride
        # transformers' model gives its tokens after the norm, and AVIGATE needs them before it.
        self._norm, model.layernorm = model.layernorm, nn.Identity()
        self._model, self._device = model, device
        self.provenance: dict[str, Any] = {
            "name": name,
            **provenance,
            "dim": self.dim,
            "input": {"rate": RATE, "whole": True, "piece": self.audio_spec.longest},
            "mel": {"bins": self._bins, "mean": scale[0], "std": scale[1]},
        }

    def encode_steps(self, pieces: list[NDArray[np.float32]]) -> list[Features]:
        """Pieces (samples,) of up to 10.24 s as steps (S, dim), ten per second."""
        pictures = [self._picture(np.pad(piece, (0, max(0, WINDOW - len(piece)))), STEP) for piece in pieces]
        found = []
        for tokens, piece in zip(self._tokens(pictures), pieces, strict=True):
            steps = tokens[1:].reshape(-1, self._times, self.dim).mean(axis=0)
            found.append(steps[: max(1, -(-int(len(piece) * self.steps_per_second) // RATE))])
        return found

    def encode_clip(self, sounds: Sequence[NDArray[np.float32] | None]) -> Features:
        """Whole sounds (samples,), or None where a clip has none, as tokens (B, N, dim). No sound is a picture of zeros.

        The published code subtracts the mean of the sound first, which changes nothing: each window loses its own mean.
        """
        nothing = np.zeros((self._rows, self._bins), np.float32)
        pictures = [
            nothing if sound is None or len(sound) < self._rows else self._picture(sound, len(sound) // self._rows)
            for sound in sounds
        ]
        return np.stack(self._tokens(pictures))

    def _picture(self, sound: NDArray[np.float32], shift: int) -> Features:
        """The normalised picture (rows, bins). Missing rows are 0 BEFORE it is normalised."""
        found = fbank(sound, shift, self._bins)[: self._rows]
        mean, std = self._scale
        fitted = np.pad(found, ((0, self._rows - len(found)), (0, 0)))
        return ((fitted - mean) / (2 * std)).astype(np.float32)

    def _tokens(self, pictures: list[Features]) -> list[Features]:
        """Tokens (N, dim) of pictures after the norm: the class token and the patches, pitch by pitch.

        On a CPU a picture is a batch of its own, so that its bytes do not depend on its neighbours.
        """
        step = 1 if self._device == "cpu" else AT_ONCE
        found: list[Features] = []
        for at in range(0, len(pictures), step):
            with torch.inference_mode():
                raw = self._model(to_device(np.stack(pictures[at : at + step]), self._device)).last_hidden_state
                joined = torch.cat([raw[:, :2].mean(1, keepdim=True), raw[:, 2:]], dim=1)
                found += list(to_numpy(self._norm(joined)))
        return found


def load_ast(name: str, folder: Path | None, device: str, seed: int) -> AstAudio:
    """The encoder of a checkpoint's folder; None: the architecture that the name says, at random weights."""
    model, scale = (_random(name, seed), AUDIOSET) if folder is None else (_load(name, folder), _scale(folder))
    file = None if folder is None else hub.weights_in(folder)
    provenance = {
        "weights": None if file is None else file.name,
        "sha256": None if file is None else sha256_of(file),
        "random_weights": file is None,
    } | ({"seed": seed} if file is None else {})
    shown = f"ast:{folder.name}" if folder is not None and Path(name).expanduser().exists() else f"ast:{name}"
    return AstAudio(shown, model.to(device).eval().requires_grad_(False), scale, provenance, device)


def _random(name: str, seed: int) -> Any:
    found = _NAMED.search(name)
    if found is None:
        raise OptionInvalid(
            f"ast:{name}: no architecture is known for random weights; known: MIT/ast-finetuned-audioset-N-N-..., such as "
            "N = 10"
        )
    stride = int(found[1])
    with seeded(seed), quietly():
        return ASTModel(ASTConfig(frequency_stride=stride, time_stride=stride))


def _load(name: str, folder: Path) -> Any:
    with loading(f"ast:{name}", folder, "an AST"):
        loaded: Any = ASTModel.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, dtype=torch.float32
        )
    model, found = loaded
    check_complete(f"ast:{name}", folder, found["missing_keys"], "encoder")
    return model


def _scale(folder: Path) -> tuple[float, float]:
    """Mean and standard deviation of the pictures' numbers, as the checkpoint's `preprocessor_config.json` has them."""
    file = folder / "preprocessor_config.json"
    with loading(f"ast:{folder.name}", folder, "an AST"):
        told = json.loads(file.read_text()) if file.is_file() else {}
        return float(told.get("mean", AUDIOSET[0])), float(told.get("std", AUDIOSET[1]))
