"""CLIP through open_clip: frames, patches and texts in one space.

`weights` has found the file; here the architecture, its weights and its preprocessing are put together.
Frames come at the size that `frame_spec` asks for (`gaid.media.decode` resizes), and are only normalised here.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

import numpy as np
import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer, get_clean_fn
from open_clip.transformer import TextTransformer, VisionTransformer
from torch import Tensor

from gaid.backbones.clip.weights import ClipWeights
from gaid.backbones.inference import frames_to_tensor, inferring, is_still, quietly, seeded, to_numpy
from gaid.backbones.protocol import Features, Frames, TextFeatures
from gaid.errors import BackboneUnavailable, OptionInvalid
from gaid.files import sha256_of
from gaid.specs import FrameSpec

FRAMES_AT_ONCE = 128  # on a GPU: some are copied there while those before are encoded
TEXTS_AT_ONCE = 512
TEXTS_REMEMBERED = (
    2**18
)  # whose tokens are counted when a store is planned and needed again when they are encoded: 0.1 GB
PLAIN = re.compile("[ -%'-~]*")


class ClipVisual:
    """The image tower: one embedding per frame (not normalised), and its patches."""

    thread_safe = True

    def __init__(self, weights: ClipWeights, device: str = "cpu", seed: int = 0) -> None:
        self._model = _model(weights, device, seed)
        self._device = device
        preprocessing = self._model.visual.preprocess_cfg
        size = preprocessing["size"] if isinstance(preprocessing["size"], int) else preprocessing["size"][0]
        ways = {"shortest": "crop", "squash": "squash"}
        if preprocessing["resize_mode"] not in ways:
            raise OptionInvalid(
                f"clip:{_name(weights)} needs pictures resized by {preprocessing['resize_mode']!r}; known: {', '.join(ways)}"
            )
        self.name = f"clip:{_name(weights)}"
        self.frame_spec = FrameSpec(size, cast(Any, ways[preprocessing["resize_mode"]]), preprocessing["interpolation"])
        self._mean, self._std = list(preprocessing["mean"]), list(preprocessing["std"])
        self.patch_shape = _patch_shape(self._model.visual)
        # Some towers state their width only in their output, so one black picture is encoded.
        self.dim = int(self._encode(np.zeros((1, size, size, 3), dtype=np.uint8))[0].shape[-1])
        self.provenance: dict[str, Any] = _provenance(self.name, self.dim, weights, seed) | {
            "input": {"size": size, "resize": self.frame_spec.resize},
            "mean": self._mean,
            "std": self._std,
            "interpolation": self.frame_spec.interpolation,
        }

    def encode_frames(self, frames: Frames) -> Features:
        """Frames (B, F, H, W, 3) as embeddings (B, F, dim)."""
        return self._run(frames)[0]

    def encode_patches(self, frames: Frames) -> tuple[Features, Features]:
        """Embeddings (B, F, dim) and patches (B, F, P, dim): the tower's last tokens, normed and projected as its own
        class token is, so that they lie in the space of the texts."""
        if self.patch_shape is None:
            raise OptionInvalid(f"backbone {self.name!r} is not a ViT with a class token, so it has no patches")
        pooled, patches = self._run(frames, patches=True)
        return pooled, patches

    def _run(self, frames: Frames, patches: bool = False) -> tuple[Features, Features]:
        clips, per_clip = frames.shape[:2]
        batches = list(self._batches(frames))
        # All of a GPU's work is given to it before anything is waited for.
        encoded = [self._encode(batch, patches) for batch, _ in batches]

        def joined(which: int) -> Features:
            parts = [
                to_numpy(one[which]).repeat(times, axis=0) for one, (_, times) in zip(encoded, batches, strict=True)
            ]
            return np.concatenate(parts).reshape(clips, per_clip, *parts[0].shape[1:])

        return joined(0), joined(1) if patches else np.empty((0,), dtype=np.float32)

    def _batches(self, frames: Frames) -> Iterator[tuple[Frames, int]]:
        """What is encoded at once, and how often each result is repeated. On a CPU each clip is a batch of its own, so its
        features never depend on its neighbours."""
        if self._device == "cpu":
            for clip in frames:
                yield (clip[:1], len(clip)) if is_still(clip) else (clip, 1)
            return
        flat = frames.reshape(-1, *frames.shape[2:])
        for start in range(0, len(flat), FRAMES_AT_ONCE):
            yield flat[start : start + FRAMES_AT_ONCE], 1

    def _encode(self, frames: Frames, patches: bool = False) -> tuple[Tensor, Tensor]:
        visual = self._model.visual
        with inferring(self._device, half_weights=True):
            pixels = frames_to_tensor(frames, self._mean, self._std, self._device)
            found = visual(pixels.to(_precision(self._device)))
            if not isinstance(found, tuple):
                return found, found
            pooled, tokens = found
            if not patches:
                return pooled, tokens
            if visual.final_ln_after_pool:
                tokens = visual.ln_post(tokens)
            return pooled, tokens if visual.proj is None else tokens @ visual.proj


class ClipText:
    """The text tower: one embedding per text, and one per token.

    A text's tokens are those of the tokeniser with its start and its end: the end token's vector is the embedding itself
    (CLIP pools there), and padding, which CLIP never attends to, is left out.
    """

    def __init__(self, weights: ClipWeights, device: str = "cpu", seed: int = 0) -> None:
        model = _model(weights, device, seed)
        self._device = device
        self._tower = getattr(model, "text", model)
        self._tokenizer = _tokenizer(weights.model)
        pool = getattr(self._tower, "pool_type", getattr(self._tower, "text_pool_type", None))
        native = isinstance(self._tower, TextTransformer | open_clip.CLIP)
        if not (
            native
            and pool == "argmax"
            and getattr(self._tower, "cls_emb", None) is None
            and self._tower.attn_mask is not None
        ):
            raise _foreign_text(weights.model)
        self.name = f"clip:{_name(weights)}"
        self.dim = int(self._project(self._tower.ln_final.weight[None].detach()).shape[-1])
        self.provenance: dict[str, Any] = _provenance(self.name, self.dim, weights, seed) | {
            "context_length": self._tokenizer.context_length,
            "tokens": "with start and end",
        }

    def encode_text(self, texts: list[str]) -> TextFeatures:
        """Embeddings (B, dim) as the tower gives them (not normalised), and each text's tokens (n_i, dim)."""
        ids = self._tokenizer(texts) if texts else torch.zeros((0, 1), dtype=torch.long)
        lengths = (ids.argmax(dim=1) + 1).tolist()  # the end has the highest number
        # On a CPU a text is encoded by itself at its own length: cheaper than padding to 77, and its features never
        # depend on its neighbours. The mask is causal, so what is cut off was never attended to.
        step = 1 if self._device == "cpu" else TEXTS_AT_ONCE
        tokens: list[Features] = []
        for start in range(0, len(texts), step):
            block = lengths[start : start + step]
            features = to_numpy(self._encode(ids[start : start + step, : max(block)]))
            tokens += [row[:length] for row, length in zip(features, block, strict=True)]
        embedding = np.stack([row[-1] for row in tokens]) if tokens else np.empty((0, self.dim), dtype=np.float32)
        return TextFeatures(embedding=embedding, tokens=tokens)

    def count_tokens(self, texts: list[str]) -> list[int]:
        """How many tokens each text has, start and end counted, cut to the context's length."""
        end, longest = self._tokenizer.eot_token_id, self._tokenizer.context_length
        ids = ([*self._tokenizer.encode(text), end] for text in texts)
        return [min(one.index(end) + 2, longest) for one in ids]

    def first_blocks(self, count: int) -> tuple[list[dict[str, Features]], Features]:
        """The weights of the first blocks of its transformer by CLIP's names (at most `count`), and its positions
        (length, width), for heads that start as them."""
        blocks = list(self._tower.transformer.resblocks)[:count]
        weights = [{name: to_numpy(value) for name, value in block.state_dict().items()} for block in blocks]
        return weights, to_numpy(self._tower.positional_embedding)

    def _encode(self, ids: Tensor) -> Tensor:
        tower, length = self._tower, ids.shape[1]
        with inferring(self._device, half_weights=True):
            hidden = tower.token_embedding(ids.to(self._device)) + tower.positional_embedding[:length]
            hidden = tower.transformer(hidden, attn_mask=tower.attn_mask[:length, :length])
            return self._project(tower.ln_final(hidden))

    def _project(self, hidden: Tensor) -> Tensor:
        projection = self._tower.text_projection
        if projection is None:
            return hidden
        return projection(hidden) if isinstance(projection, torch.nn.Linear) else hidden @ projection


@lru_cache(maxsize=2)
def _model(weights: ClipWeights, device: str, seed: int) -> Any:
    """The whole model, shared by its two towers. open_clip never looks for a file or tag itself: for a bare file it would
    silently take its defaults for the activation and the preprocessing."""
    preprocessing = dict(weights.preprocessing)
    if weights.tag:
        known = open_clip.get_pretrained_cfg(weights.model, weights.tag)
        preprocessing = {key: known[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in known}
    try:
        with seeded(seed), quietly():
            model = open_clip.create_model(
                weights.model,
                force_quick_gelu=weights.quick_gelu,
                force_preprocess_cfg=preprocessing,
                pretrained_text=False,
            )
    except Exception as error:  # a tower whose configuration is on a hub, whose client has its own errors
        raise BackboneUnavailable(
            f"clip:{_name(weights)}: open_clip cannot build it here: {_first_line(error)}"
        ) from error
    if weights.file is not None:
        try:
            open_clip.load_checkpoint(model, str(weights.file), strict=True, weights_only=True)
        except Exception as error:  # damaged, another model's, or a pickle that would run code
            raise BackboneUnavailable(
                f"{weights.file} does not load as {weights.model}: {_first_line(error)}; take {weights.model}'s "
                f"weights as safetensors (a TorchScript archive or a pickle of code is refused)"
            ) from error
    if isinstance(model.visual, VisionTransformer):
        model.visual.output_tokens = True
    return model.to(device, _precision(device)).eval().requires_grad_(False)


def _precision(device: str) -> torch.dtype:
    """The towers' precision: float16 on a GPU, as CLIP's authors use there (docs/performance.md)."""
    return torch.float16 if device.startswith("cuda") else torch.float32


def _tokenizer(model: str) -> SimpleTokenizer:
    """open_clip's own tokeniser with the vocabulary that it ships; those that need a hub are refused."""
    config = open_clip.get_model_config(model)["text_cfg"]
    if config.get("hf_tokenizer_name") or config.get("hf_model_name"):
        raise _foreign_text(model)
    tokenizer = open_clip.get_tokenizer(model)
    if not isinstance(tokenizer, SimpleTokenizer):
        raise _foreign_text(model)
    if tokenizer.clean_fn is get_clean_fn("lower"):
        tokenizer.clean_fn = _clean_quickly
    tokenizer.encode = lru_cache(maxsize=TEXTS_REMEMBERED)(tokenizer.encode)
    return tokenizer


def _clean_quickly(text: str) -> str:
    """What the tokeniser does to a text first. Half of its time goes into mending characters and entities of HTML, of which
    printable ASCII without an ampersand has none."""
    return " ".join(text.split()).lower() if PLAIN.fullmatch(text) else get_clean_fn("lower")(text)


def _foreign_text(model: str) -> OptionInvalid:
    return OptionInvalid(
        f"clip:{model}: its text tower is not CLIP's own; use --text clip:ViT-B-32/openai, or another CLIP"
    )


def _patch_shape(visual: Any) -> tuple[int, int] | None:
    if not isinstance(visual, VisionTransformer) or visual.attn_pool is not None or visual.pool_type != "tok":
        return None
    dim = visual.output_dim if visual.proj is None else visual.proj.shape[1]
    return visual.grid_size[0] * visual.grid_size[1], int(dim)


def _name(weights: ClipWeights) -> str:
    chosen = weights.tag or (weights.file.name if weights.file else "")
    return f"{weights.model}/{chosen}" if chosen else weights.model


@lru_cache(maxsize=2)
def _digest(weights: ClipWeights) -> str | None:
    return None if weights.file is None else sha256_of(weights.file)


def _provenance(name: str, dim: int, weights: ClipWeights, seed: int) -> dict[str, Any]:
    shared = {
        "name": name,
        "weights": weights.tag or (weights.file.name if weights.file else None),
        "sha256": _digest(weights),
        "dim": dim,
        "quick_gelu": weights.quick_gelu,
        "random_weights": weights.file is None,
    }
    return shared | {"seed": seed} if weights.file is None else shared


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
