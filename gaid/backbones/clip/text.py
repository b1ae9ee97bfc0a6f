"""CLIP's text tower: texts and their tokens, in the space of the pictures (`towers`). `model` builds and loads it.

Where a text's vector is taken from, and what the tower attends to, differ from one family to the next: `_end_of` and
`_whole_context` have the rules.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer, get_clean_fn
from open_clip.transformer import TextTransformer
from torch import Tensor

from gaid.backbones.clip.model import load_model, shown_name, weights_provenance
from gaid.backbones.clip.weights import ClipWeights, find_tokenizer
from gaid.backbones.hashed_words import hashed_words
from gaid.backbones.inference import inferring, quietly, to_numpy
from gaid.backbones.protocol import Features, TextFeatures
from gaid.errors import BackboneUnavailable, OptionInvalid

TEXTS_AT_ONCE = 512
# Texts whose tokens are counted when a store is planned and needed again when they are encoded: 0.1 GB.
TEXTS_REMEMBERED = 2**18
PLAIN = re.compile("[ -%'-~]*")
# For random weights, in place of a tokeniser of a hub: words begin after the numbers of padding and end.
SPECIAL = 4

Tokenize = Callable[[list[str]], Tensor]  # texts as (B, context length), padded


class ClipText:
    """The text tower: one embedding per text, and one per token.

    A text's tokens are those of the tokeniser with its start and its end, without padding. The embedding is the end token's
    vector, or the vector of the context's last place (SigLIP).
    """

    def __init__(self, weights: ClipWeights, device: str = "cpu", seed: int = 0) -> None:
        model = load_model(weights, device, seed)
        self._device = device
        self._tower = getattr(model, "text", model)
        self._pool = getattr(self._tower, "pool_type", getattr(self._tower, "text_pool_type", None))
        if not _is_supported(self._tower, self._pool):
            raise foreign_text(weights.model)
        # Without a causal mask a tower attends to the padding as well, as in its training.
        self._whole_context = self._tower.attn_mask is None or self._pool == "last"
        self._tokenize, self._padding = _tokenizer(weights, self._pool, self._eos)
        self._context = int(self._tower.context_length)
        self.name = f"clip:{shown_name(weights)}"
        self.dim = int(self._project(self._tower.ln_final.weight[None].detach()).shape[-1])
        self.provenance: dict[str, Any] = weights_provenance(self.name, self.dim, weights, seed) | {
            "context_length": self._context,
            "tokens": "without padding" if self._pool == "last" else "with start and end",
        }

    def encode_text(self, texts: list[str]) -> TextFeatures:
        """Embeddings (B, dim) as the tower gives them (not normalised), and each text's tokens (n_i, dim)."""
        ids = self.tokenize(texts)
        lengths = self._lengths(ids)
        # On a CPU a text is encoded by itself: its features never depend on its neighbours. Where the mask is causal, at its
        # own length, which is cheaper: what is cut off was never attended to.
        step = 1 if self._device == "cpu" else TEXTS_AT_ONCE
        embeddings: list[Features] = []
        tokens: list[Features] = []
        for start in range(0, len(texts), step):
            block = lengths[start : start + step]
            reach = self._context if self._whole_context else max(block)
            features = to_numpy(self._encode(ids[start : start + step, :reach]))
            tokens += [row[:length] for row, length in zip(features, block, strict=True)]
            embeddings += [
                row[-1 if self._pool == "last" else length - 1] for row, length in zip(features, block, strict=True)
            ]
        embedding = np.stack(embeddings) if texts else np.empty((0, self.dim), dtype=np.float32)
        return TextFeatures(embedding=embedding, tokens=tokens)

    def count_tokens(self, texts: list[str]) -> list[int]:
        """How many tokens each text has, start and end counted, cut to the context's length."""
        if not isinstance(self._tokenize, SimpleTokenizer):
            return self._lengths(self.tokenize(texts))
        end, longest = self._tokenize.eot_token_id, self._tokenize.context_length
        ids = ([*self._tokenize.encode(text), end] for text in texts)
        return [min(one.index(end) + 2, longest) for one in ids]

    def first_blocks(self, count: int) -> tuple[list[dict[str, Features]], Features]:
        """The weights of the first blocks of its transformer by CLIP's names (at most `count`), and its positions
        (length, width), for heads that start as them."""
        blocks = list(self._tower.transformer.resblocks)[:count]
        weights = [{name: to_numpy(value) for name, value in block.state_dict().items()} for block in blocks]
        return weights, to_numpy(self._tower.positional_embedding)

    def tokenize(self, texts: list[str]) -> Tensor:
        """The texts' tokens as numbers (B, context length), padded."""
        return self._tokenize(texts) if texts else torch.zeros((0, self._context), dtype=torch.long)

    def _lengths(self, ids: Tensor) -> list[int]:
        """Tokens of each text, up to its end: the highest number for CLIP's own tokeniser, else a number of its own; SigLIP's
        have padding after them and no end that counts."""
        if self._pool == "last":
            return (ids != self._padding).sum(dim=1).clamp(min=1).tolist()
        ends = ids.argmax(dim=1) if self._pool == "argmax" else (ids == self._eos).int().argmax(dim=1)
        return (ends + 1).tolist()

    @property
    def _eos(self) -> int:
        return int(getattr(self._tower, "eos_id", getattr(self._tower, "text_eos_id", 0)) or 0)

    def _encode(self, ids: Tensor) -> Tensor:
        tower, length = self._tower, ids.shape[1]
        with inferring(self._device, half_weights=True):
            hidden = tower.token_embedding(ids.to(self._device)) + tower.positional_embedding[:length]
            mask = None if tower.attn_mask is None else tower.attn_mask[:length, :length]
            return self._project(tower.ln_final(tower.transformer(hidden, attn_mask=mask)))

    def _project(self, hidden: Tensor) -> Tensor:
        projection = self._tower.text_projection
        if projection is None:
            return hidden
        return projection(hidden) if isinstance(projection, torch.nn.Linear) else hidden @ projection


def _is_supported(tower: Any, pool: str | None) -> bool:
    return (
        isinstance(tower, TextTransformer | open_clip.CLIP)
        and pool in ("argmax", "eos", "last")
        and getattr(tower, "cls_emb", None) is None
        and not getattr(tower, "use_pad_mask", False)
    )


def _tokenizer(weights: ClipWeights, pool: str | None, eos: int) -> tuple[Tokenize, int]:
    """What cuts a model's texts, and the number of its padding: open_clip's own tokeniser with the vocabulary that it ships, or
    one in the hub's form; for random weights a stand-in for the latter."""
    config = open_clip.get_model_config(weights.model)["text_cfg"]
    length = int(config.get("context_length", 77))
    in_hub = bool(config.get("hf_tokenizer_name"))
    if config.get("hf_model_name") or in_hub == (pool == "argmax"):  # argmax needs the end to have the highest number
        raise foreign_text(weights.model)
    if not in_hub:
        return _own_tokenizer(weights.model), 0
    folder = find_tokenizer(weights)
    if folder is None:
        return _stand_in(length, eos or 1, int(config["vocab_size"])), 0
    try:
        with quietly():
            of_hub = HFTokenizer(str(folder), context_length=length, **config.get("tokenizer_kwargs", {}))
    except Exception as error:  # tokenizers and transformers have their own
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BackboneUnavailable(
            f"clip:{shown_name(weights)}: {folder} does not load as a tokeniser: {line}"
        ) from error
    return of_hub, int(of_hub.tokenizer.pad_token_id or 0)


def _own_tokenizer(model: str) -> SimpleTokenizer:
    tokenizer = open_clip.get_tokenizer(model)
    if not isinstance(tokenizer, SimpleTokenizer):
        raise foreign_text(model)
    if tokenizer.clean_fn is get_clean_fn("lower"):
        tokenizer.clean_fn = _clean_quickly
    tokenizer.encode = lru_cache(maxsize=TEXTS_REMEMBERED)(tokenizer.encode)
    return tokenizer


def _clean_quickly(text: str) -> str:
    """What the tokeniser does to a text first. Half of its time goes into mending characters and entities of HTML, of which
    printable ASCII without an ampersand has none."""
    return " ".join(text.split()).lower() if PLAIN.fullmatch(text) else get_clean_fn("lower")(text)


def _stand_in(length: int, eos: int, vocabulary: int) -> Tokenize:
    def tokenize(texts: list[str]) -> Tensor:
        ids = torch.zeros((len(texts), length), dtype=torch.long)
        for row, text in enumerate(texts):
            words = hashed_words(text, vocabulary - SPECIAL)[: length - 1]
            numbers = [*(SPECIAL + word for word in words), eos]
            ids[row, : len(numbers)] = torch.tensor(numbers)
        return ids

    return tokenize


def foreign_text(model: str) -> OptionInvalid:
    """The error for a text tower that is none of CLIP's."""
    return OptionInvalid(
        f"clip:{model}: its text tower is not CLIP's own; use --text clip:ViT-B-32/openai, or another CLIP"
    )
