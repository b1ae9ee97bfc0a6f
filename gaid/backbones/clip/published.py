"""CLIP as published checkpoints hold it, turned into open_clip's names and shapes. Tensors in, tensors out; no files.

Two layouts are distinguished by their names: transformers' `CLIPModel` (X-Pool, T-MASS, GAID) and OpenAI's own (CLIP4Clip,
AVIGATE), which is open_clip's too. Either is OpenAI's CLIP, so its activation is QuickGELU, whatever the weights are.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gaid.errors import CheckpointInvalid

# What a checkpoint holds beside CLIP's weights: indices, and sizes that follow from the shapes.
_UNUSED = re.compile(r"(.*\.)?position_ids|input_resolution|context_length|vocab_size")
_BLOCK = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_TOWERS = {
    "vision_model.encoder.layers": "visual.transformer.resblocks",
    "text_model.encoder.layers": "transformer.resblocks",
}
_WHOLE = {
    "logit_scale": "logit_scale",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",  # spelled so in transformers
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
}
# Linear layers there, plain matrices that multiply from the right here.
_TRANSPOSED = {"text_projection.weight": "text_projection", "visual_projection.weight": "visual.proj"}
# Tried first, since several of open_clip's configurations may have the same shapes.
_USUAL = ("ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336")
_VISION = {"image_size", "layers", "width", "patch_size", "head_width"}
_TEXT = {"context_length", "vocab_size", "width", "heads", "layers"}


@dataclass(frozen=True)
class PublishedClip:
    """A CLIP under open_clip's names, in float32.

    `model` is open_clip's name of the architecture, `config` its model configuration, derived from the shapes, `layout` how
    the checkpoint named it (`transformers` or `openai`), `unused` the checkpoint's names that were not needed.
    """

    model: str
    config: dict[str, Any]
    weights: dict[str, Tensor]
    layout: str
    unused: tuple[str, ...]

    @property
    def dim(self) -> int:
        """Size of its embeddings."""
        return int(self.config["embed_dim"])

    @property
    def logit_scale(self) -> float:
        """What it multiplies cosines by: at most 100, to which training clamps it."""
        return min(100.0, float(self.weights["logit_scale"].exp()))

    @property
    def open_clip_config(self) -> dict[str, Any]:
        """What open_clip keeps in an `open_clip_config.json` beside the weights: architecture, activation, preprocessing."""
        from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

        preprocessing = {
            "mean": list(OPENAI_DATASET_MEAN),
            "std": list(OPENAI_DATASET_STD),
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        }
        return {"model_cfg": self.config, "preprocess_cfg": preprocessing}


def convert_clip(given: Mapping[str, Tensor]) -> PublishedClip:
    """CLIP's weights in either layout as open_clip's; `given` has CLIP's own names, without the prefix `clip.`.

    Raises CheckpointInvalid where weights are missing, of the wrong shape or of no CLIP, or where open_clip has no such
    architecture.
    """
    unused = tuple(name for name in given if _UNUSED.fullmatch(name))
    wanted = {name: value.float() for name, value in given.items() if name not in unused}
    layout = "transformers" if any(name.startswith(("vision_model.", "text_model.")) for name in wanted) else "openai"
    weights = _of_transformers(wanted) if layout == "transformers" else wanted
    config = _config_of(weights)
    model = _model_of(config)
    _check(weights, config, model)
    return PublishedClip(model, config, {name: value.contiguous() for name, value in weights.items()}, layout, unused)


def _of_transformers(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    strange = []
    for name, value in given.items():
        tower, number, inner, kind = _block_of(name)
        if name in _WHOLE:
            found[_WHOLE[name]] = value
        elif name in _TRANSPOSED:
            found[_TRANSPOSED[name]] = value.t()
        elif tower and inner in _BLOCK:
            found[f"{tower}.{number}.{_BLOCK[inner]}.{kind}"] = value
        elif tower and inner == "self_attn.q_proj":
            parts = [name.replace("q_proj", f"{part}_proj") for part in "qkv"]
            lacking = [part for part in parts if part not in given]
            if lacking:
                raise CheckpointInvalid(f"CLIP's weights are not all there: {', '.join(lacking)}")
            found[f"{tower}.{number}.attn.in_proj_{kind}"] = torch.cat([given[part] for part in parts])
        elif not (tower and inner in ("self_attn.k_proj", "self_attn.v_proj")):
            strange.append(name)
    if strange:
        raise CheckpointInvalid(f"names that belong to no CLIP of transformers: {', '.join(sorted(strange)[:5])}")
    return found


def _block_of(name: str) -> tuple[str, str, str, str]:
    """(open_clip's tower, number, inner name, weight or bias) of a transformer block's weight; empty for another."""
    for theirs, ours in _TOWERS.items():
        match = re.fullmatch(rf"{re.escape(theirs)}\.(\d+)\.(.+)\.(weight|bias)", name)
        if match:
            return ours, match[1], match[2], match[3]
    return "", "", "", ""


def _config_of(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """open_clip's configuration, derived from the shapes."""
    needed = ("visual.conv1.weight", "visual.positional_embedding", "visual.proj", "token_embedding.weight",
              "positional_embedding", "text_projection", "logit_scale")  # fmt: skip
    lacking = [name for name in needed if name not in weights]
    if lacking:
        more = "; a ResNet's CLIP is not taken" if "visual.layer1.0.conv1.weight" in weights else ""
        raise CheckpointInvalid(f"CLIP's weights are not all there: {', '.join(lacking)} (open_clip's names){more}")
    patches = weights["visual.conv1.weight"]
    if patches.ndim != 4 or "visual.conv2.weight" in weights:
        raise CheckpointInvalid(
            "its CLIP reads patches of several frames (CLIP4Clip's linear_patch 3d); only 2d is taken"
        )
    grid = round((len(weights["visual.positional_embedding"]) - 1) ** 0.5)
    vocabulary, width = weights["token_embedding.weight"].shape
    return {
        "embed_dim": weights["text_projection"].shape[1],
        "quick_gelu": True,
        "vision_cfg": {
            "image_size": grid * patches.shape[-1],
            "layers": _layers(weights, "visual.transformer"),
            "width": patches.shape[0],
            "patch_size": patches.shape[-1],
        },
        "text_cfg": {
            "context_length": len(weights["positional_embedding"]),
            "vocab_size": vocabulary,
            "width": width,
            "heads": max(1, width // 64),
            "layers": _layers(weights, "transformer"),
        },
    }


def _layers(weights: Mapping[str, Tensor], tower: str) -> int:
    return len(
        {name.split(".resblocks.")[1].split(".")[0] for name in weights if name.startswith(f"{tower}.resblocks.")}
    )


def _model_of(config: Mapping[str, Any]) -> str:
    """open_clip's name of the architecture. Heads of attention leave no trace in the shapes: 64 numbers each, as OpenAI's."""
    import open_clip

    def plain(name: str) -> bool:
        one = open_clip.get_model_config(name) or {}
        vision, text = one.get("vision_cfg", {}), one.get("text_cfg", {})
        return (
            set(one) <= {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg"}
            and set(vision) <= _VISION
            and set(text) <= _TEXT
            and vision.get("head_width", 64) == 64
            and {**vision, "head_width": 64} == {**config["vision_cfg"], "head_width": 64}
            and text == config["text_cfg"]
            and one["embed_dim"] == config["embed_dim"]
        )

    names = open_clip.list_models()
    for name in (*_USUAL, *(other for other in names if not other.endswith("-quickgelu"))):
        if name in names and plain(name):
            return name
    vision, text = config["vision_cfg"], config["text_cfg"]
    raise CheckpointInvalid(
        f"its CLIP is of no architecture that open_clip has: pictures of {vision['image_size']} in patches of "
        f"{vision['patch_size']}, {vision['layers']} layers of {vision['width']}, texts {text['layers']} layers of "
        f"{text['width']}, embeddings of {config['embed_dim']}; known are {', '.join(_USUAL)}"
    )


def _check(weights: Mapping[str, Tensor], config: Mapping[str, Any], model: str) -> None:
    """Raises CheckpointInvalid unless the names and shapes are those of open_clip's model to the last one."""
    from open_clip.model import CLIP

    with torch.device("meta"):
        expected = CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"], quick_gelu=True).state_dict()
    lacking, strange = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    if lacking:
        raise CheckpointInvalid(f"its CLIP lacks weights of {model}: {', '.join(lacking[:5])} (open_clip's names)")
    if strange:
        raise CheckpointInvalid(f"names that belong to no CLIP of OpenAI's: {', '.join(strange[:5])}")
    for name, value in expected.items():
        if weights[name].shape != value.shape:
            raise CheckpointInvalid(
                f"its CLIP's {name} has shape {tuple(weights[name].shape)}, {model} has {tuple(value.shape)}"
            )
