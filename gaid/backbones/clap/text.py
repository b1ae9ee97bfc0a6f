"""CLAP's text tower through transformers: sentences as vectors in the space of its sounds.

A folder has a text side where its tokenizer lies beside the weights. The tower is loaded when the first sentence comes, since
most of what runs the audio tower (a worker of an extraction) encodes none.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import ClapConfig, ClapTextModelWithProjection

from gaid.backbones.hashed_words import hashed_words
from gaid.backbones.inference import check_complete, check_texts_differ, inferring, loading, quietly, seeded, to_numpy
from gaid.backbones.protocol import Features

TOKENIZER = "tokenizer.json"
CONTEXT = 77  # tokens of a caption in CLAP's training, the special ones at both ends counted


class ClapText:
    """The text tower and its projection: one embedding per sentence, not normalised. Each sentence is encoded by itself, so
    that its vector does not depend on its neighbours."""

    def __init__(self, name: str, folder: Path | None, device: str, seed: int) -> None:
        self._device = device
        self._model, self._tokens = _load(name, folder, seed)
        self._model = self._model.to(device).eval().requires_grad_(False)
        if folder is not None:  # some published checkpoints have a text tower that was never trained
            check_texts_differ(f"clap:{name}", self)

    def __call__(self, texts: list[str]) -> Features:
        """Sentences as (B, dim)."""
        found = np.empty((len(texts), int(self._model.config.projection_dim)), np.float32)
        for row, text in enumerate(texts):
            with inferring(self._device):
                ids = torch.tensor([self._tokens(text)], device=self._device)
                found[row] = to_numpy(self._model(input_ids=ids, attention_mask=torch.ones_like(ids)).text_embeds)[0]
        return found


def has_text(folder: Path | None) -> bool:
    """Whether a checkpoint can encode sentences; one with random weights can."""
    return folder is None or (folder / TOKENIZER).is_file()


def _load(name: str, folder: Path | None, seed: int) -> tuple[Any, Any]:
    """The tower, and what turns a sentence into its tokens' numbers."""
    if folder is None:
        with seeded(seed), quietly():
            defaults: Any = ClapConfig().text_config
            return ClapTextModelWithProjection(defaults), _HashedWords(defaults)
    from tokenizers import Tokenizer

    with loading(f"clap:{name}", folder, "a CLAP"):
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        config: Any = ClapConfig.from_pretrained(folder, local_files_only=True).text_config
        loaded: Any = ClapTextModelWithProjection.from_pretrained(
            folder, config=config, local_files_only=True, output_loading_info=True, dtype=torch.float32
        )
    tokenizer.no_padding()
    tokenizer.enable_truncation(CONTEXT)
    model, found = loaded
    check_complete(f"clap:{name}", folder, found["missing_keys"], "text tower")
    return model, lambda text: tokenizer.encode(text).ids


class _HashedWords:
    """The tokenizer of a tower with random weights, which has no vocabulary."""

    def __init__(self, config: Any) -> None:
        self._config = config

    def __call__(self, text: str) -> list[int]:
        first, last, usable = self._config.bos_token_id, self._config.eos_token_id, self._config.vocab_size - 4
        words = [4 + word for word in hashed_words(text, usable)]
        return [first, *words[: CONTEXT - 2], last]
