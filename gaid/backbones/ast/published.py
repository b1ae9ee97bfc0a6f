"""AST as AVIGATE's checkpoints hold it (timm's names, below `clip.audio.`), turned into transformers' names. Tensors in, tensors
out; no files.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gaid.errors import CheckpointInvalid

# Mean and half the divisor of the pictures that AVIGATE feeds it with.
SCALE = (-5.118, 3.2527153)
_BINS, _ROWS, _STRIDE = 128, 1024, 10
# What AST has beside its encoder: classifiers that AVIGATE does not use.
_UNUSED = re.compile(r"(v\.head|v\.head_dist|mlp_head)\..*")
_WHOLE = {
    "v.cls_token": "embeddings.cls_token",
    "v.dist_token": "embeddings.distillation_token",
    "v.pos_embed": "embeddings.position_embeddings",
    "v.patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
    "v.patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
    "v.norm.weight": "layernorm.weight",
    "v.norm.bias": "layernorm.bias",
}
_BLOCK = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
_IN_BLOCK = re.compile(r"v\.blocks\.(\d+)\.(.+)\.(weight|bias)")


@dataclass(frozen=True)
class PublishedAst:
    """An AST under the names of a checkpoint of transformers, in float32, with its `config.json` and `preprocessor_config.json`.
    `unused`: the checkpoint's names that were not needed."""

    weights: dict[str, Tensor]
    config: dict[str, Any]
    preprocessor: dict[str, Any]
    unused: tuple[str, ...]

    @property
    def dim(self) -> int:
        return int(self.config["hidden_size"])


def convert_ast(weights: Mapping[str, Tensor]) -> PublishedAst:
    """The encoder in weights named as below `clip.audio.`. Raises CheckpointInvalid where some are missing, or are of another
    architecture than AVIGATE's."""
    unused = tuple(name for name in weights if _UNUSED.fullmatch(name))
    given = {name: value for name, value in weights.items() if name not in unused}
    found: dict[str, Tensor] = {}
    for name, value in given.items():
        found |= _renamed(name, value.float())
    layers = 1 + max((int(one[1]) for name in given if (one := _IN_BLOCK.fullmatch(name))), default=-1)
    wanted = [*_WHOLE.values(), *(name for layer in range(layers) for name in _names_of(layer))]
    lacking = [name for name in wanted if name not in found]
    if lacking or not layers:
        raise CheckpointInvalid(
            f"its audio tower (clip.audio.*) lacks {len(lacking)} tensors ({', '.join(lacking[:3])}, as transformers names them)"
        )
    config = _config(found, layers)
    return PublishedAst(found, config, _preprocessor(), unused)


def _renamed(name: str, value: Tensor) -> dict[str, Tensor]:
    if name in _WHOLE:
        return {_WHOLE[name]: value.contiguous()}
    block = _IN_BLOCK.fullmatch(name)
    if block is None or block[2] not in (*_BLOCK, "attn.qkv"):
        raise CheckpointInvalid(f"its audio tower has {name}, which is no part of AST")
    at = f"encoder.layer.{block[1]}"
    if block[2] in _BLOCK:
        return {f"{at}.{_BLOCK[block[2]]}.{block[3]}": value.contiguous()}
    if value.shape[0] % 3:
        raise CheckpointInvalid(f"its audio tower's {name} has shape {tuple(value.shape)}, expected three equal parts")
    parts = zip(("query", "key", "value"), value.chunk(3), strict=True)
    return {f"{at}.attention.attention.{part}.{block[3]}": one.contiguous() for part, one in parts}


def _names_of(layer: int) -> list[str]:
    inner = [*_BLOCK.values(), *(f"attention.attention.{part}" for part in ("query", "key", "value"))]
    return [f"encoder.layer.{layer}.{name}.{kind}" for name in inner for kind in ("weight", "bias")]


def _config(found: Mapping[str, Tensor], layers: int) -> dict[str, Any]:
    """The architecture as the shapes show it; AVIGATE's pictures and strides, and DeiT's norms and heads of 64."""
    dim, _, patch, _ = found["embeddings.patch_embeddings.projection.weight"].shape
    times, pitches = ((size - patch) // _STRIDE + 1 for size in (_ROWS, _BINS))
    positions = found["embeddings.position_embeddings"].shape[1]
    if positions != 2 + times * pitches:
        raise CheckpointInvalid(
            f"its audio tower has {positions} positions, expected {2 + times * pitches}: patches of {patch} at a stride of "
            f"{_STRIDE} over {_ROWS} rows of {_BINS}"
        )
    return {
        "architectures": ["ASTModel"],
        "model_type": "audio-spectrogram-transformer",
        "hidden_size": dim,
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, dim // 64),
        "intermediate_size": found["encoder.layer.0.intermediate.dense.weight"].shape[0],
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "layer_norm_eps": 1e-6,
        "patch_size": patch,
        "qkv_bias": True,
        "frequency_stride": _STRIDE,
        "time_stride": _STRIDE,
        "max_length": _ROWS,
        "num_mel_bins": _BINS,
    }


def _preprocessor() -> dict[str, Any]:
    return {
        "feature_extractor_type": "ASTFeatureExtractor",
        "sampling_rate": 16_000,
        "num_mel_bins": _BINS,
        "max_length": _ROWS,
        "do_normalize": True,
        "mean": SCALE[0],
        "std": SCALE[1],
    }
