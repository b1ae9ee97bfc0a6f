"""Published checkpoints at random weights: the names and shapes of X-Pool, T-MASS, GAID, CLIP4Clip and AVIGATE, made small.

Names are those of the published modules: transformers' CLIPModel as `clip.` in the first three (its own class is used), and
OpenAI's layout in the others (as openai/CLIP's model.py names it), with AVIGATE's sound encoder within CLIP.
"""

import json
from pathlib import Path

import numpy as np
import torch

from tests.ast_maker import tower_weights

KINDS = ("gaid", "t-mass", "x-pool", "avigate", "clip4clip")
DIM, FRAMES = 64, 12
MODEL = "gaid-small-openai"
VISION = {"image_size": 32, "layers": 2, "width": 128, "patch_size": 16}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 3}


def register_small_clip(folder: Path) -> str:
    """Makes the small architecture known to open_clip; its name alone says nothing of QuickGELU, as ViT-B-32's does not."""
    import open_clip

    (folder / f"{MODEL}.json").write_text(json.dumps({"embed_dim": DIM, "vision_cfg": VISION, "text_cfg": TEXT}))
    open_clip.add_model_config(folder)
    return MODEL


def transformers_clip(dim=DIM, vision=VISION, text=TEXT, seed=0):
    """transformers' CLIPModel as X-Pool's family wraps it, its weights drawn wide enough for every one to tell."""
    from transformers import CLIPConfig, CLIPModel

    def tower(of, heads):
        return {
            "hidden_size": of["width"], "intermediate_size": 4 * of["width"], "num_hidden_layers": of["layers"],
            "num_attention_heads": heads, "projection_dim": dim,
        }  # fmt: skip

    config = CLIPConfig(
        text_config=tower(text, text["heads"]),
        vision_config=tower(vision, vision["width"] // 64)
        | {"image_size": vision["image_size"], "patch_size": vision["patch_size"]},
        projection_dim=dim,
    )
    torch.manual_seed(seed)
    model = CLIPModel(config).eval().requires_grad_(False)
    for name, value in model.named_parameters():
        if name != "logit_scale":
            value.add_(torch.randn_like(value), alpha=0.05)
    model.logit_scale.fill_(np.log(90.0))
    return model


def openai_clip(dim=DIM, vision=VISION, text=TEXT, seed=0):
    """OpenAI's layout, written out from its names and shapes."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator) * 0.05

    def tower(prefix, width, layers):
        return {
            f"{prefix}.resblocks.{number}.{name}": draw(*shape) + (1 if name.startswith("ln") and name[-1] == "t" else 0)
            for number in range(layers)
            for name, shape in {
                "attn.in_proj_weight": (3 * width, width), "attn.in_proj_bias": (3 * width,),
                "attn.out_proj.weight": (width, width), "attn.out_proj.bias": (width,),
                "ln_1.weight": (width,), "ln_1.bias": (width,), "ln_2.weight": (width,), "ln_2.bias": (width,),
                "mlp.c_fc.weight": (4 * width, width), "mlp.c_fc.bias": (4 * width,),
                "mlp.c_proj.weight": (width, 4 * width), "mlp.c_proj.bias": (width,),
            }.items()
        }  # fmt: skip

    wide, patch = vision["width"], vision["patch_size"]
    patches = (vision["image_size"] // patch) ** 2
    return {
        "positional_embedding": draw(text["context_length"], text["width"]),
        "text_projection": draw(text["width"], dim),
        "logit_scale": torch.tensor(np.log(90.0), dtype=torch.float32),
        "visual.class_embedding": draw(wide),
        "visual.positional_embedding": draw(patches + 1, wide),
        "visual.proj": draw(wide, dim),
        "visual.conv1.weight": draw(wide, 3, patch, patch),
        **{f"visual.{norm}.{kind}": draw(wide) + (kind == "weight")
           for norm in ("ln_pre", "ln_post") for kind in ("weight", "bias")},
        **tower("visual.transformer", wide, vision["layers"]),
        **tower("transformer", text["width"], text["layers"]),
        "token_embedding.weight": draw(text["vocab_size"], text["width"]),
        "ln_final.weight": 1 + draw(text["width"]),
        "ln_final.bias": draw(text["width"]),
    }  # fmt: skip


def clip_weights(layout="transformers", **options):
    """CLIP's weights as a checkpoint holds them, below `clip.`."""
    made = transformers_clip(**options).state_dict() if layout == "transformers" else openai_clip(**options)
    return {f"clip.{name}": value for name, value in made.items()}


def head_weights(kind, dim=DIM, frames=FRAMES, seed=1):
    """The weights of a published head, by their published names."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator) * 0.1

    if kind == "clip4clip":
        return {}
    if kind == "avigate":
        return _avigate(draw, dim)
    names = {f"pool_frames.cross_attn.{part}_proj": (dim, dim) for part in ("q", "k", "v", "out")}
    names["pool_frames.linear_proj"] = (dim, dim)
    if kind != "x-pool":
        names["stochastic.std_branch.linear_proj"] = (dim, frames)
    if kind == "gaid":
        names["gate_fc"] = (1, 3 * dim)
    found = {f"{name}.weight": torch.eye(*shape) + draw(*shape) for name, shape in names.items()}
    found |= {f"{name}.bias": draw(shape[0]) for name, shape in names.items()}
    for norm in ("layer_norm1", "layer_norm2", "layer_norm3"):
        found |= {f"pool_frames.{norm}.weight": 1 + draw(dim), f"pool_frames.{norm}.bias": draw(dim)}
    if kind != "x-pool":
        found["stochastic.std_branch.learnable_scalar"] = torch.zeros(1)
    if kind == "gaid":
        found["stochastic.alpha"] = torch.tensor(0.37)
    return found


def _avigate(draw, dim, layers=2, audio=48):
    def attention(name):
        return {f"{name}.in_proj_weight": (3 * dim, dim), f"{name}.in_proj_bias": (3 * dim,),
                f"{name}.out_proj.weight": (dim, dim), f"{name}.out_proj.bias": (dim,)}  # fmt: skip

    block = attention("attn") | attention("cross_attn")
    block |= {"mlp.c_fc.weight": (4 * dim, dim), "mlp.c_fc.bias": (4 * dim,),
              "mlp.c_proj.weight": (dim, 4 * dim), "mlp.c_proj.bias": (dim,)}  # fmt: skip
    block |= {f"ln_{number}.{kind}": (dim,) for number in (1, 2, 3) for kind in ("weight", "bias")}
    gated = block | {"ln_4.weight": (dim,), "ln_4.bias": (dim,)}
    gated |= {"cross_ff.cross_fc.weight": (4 * dim, dim), "cross_ff.cross_proj.weight": (dim, 4 * dim)}
    for gate, short in (("attn_gate", "ag"), ("ff_gate", "fg")):
        gated |= {f"{gate}.{short}_fc.weight": (dim // 2, 2 * dim), f"{gate}.{short}_proj.weight": (1, dim // 2)}
    found = {
        "query_tokens": draw(dim, 5),
        "query_position_embeddings.weight": draw(5, dim),
        "frame_position_embeddings.weight": draw(77, dim),
        # Sound's encoder and its projection lie within CLIP; AST has 768 numbers and twelve blocks.
        "clip.audio_projection": draw(audio, dim),
        **tower_weights(draw, audio),
    }
    for stack, names in (("transformer_Fusion", block), ("transformerClip", gated)):
        found |= {f"{stack}.resblocks.{n}.{name}": draw(*shape) for n in range(layers) for name, shape in names.items()}
    return found


LAYOUT = {
    "gaid": "transformers",
    "t-mass": "transformers",
    "x-pool": "transformers",
    "avigate": "openai",
    "clip4clip": "openai",
}


def published_weights(kind, layout=None, **options):
    """All weights of a published checkpoint."""
    return clip_weights(layout or LAYOUT[kind], **options) | head_weights(kind, options.get("dim", DIM))


def write_checkpoint(path, kind, weights=None):
    """The checkpoint as its authors' code saves it: X-Pool's family with the training's state around it."""
    weights = published_weights(kind) if weights is None else weights
    if kind in ("avigate", "clip4clip"):
        torch.save(weights, path)
    else:
        state = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-6}]}
        torch.save({"epoch": 4, "state_dict": weights, "optimizer": state}, path)
    return path
