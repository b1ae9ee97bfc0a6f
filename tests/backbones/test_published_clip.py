"""CLIP out of published checkpoints: both layouts see and read as the published modules do, and nothing is guessed."""

import numpy as np
import open_clip
import pytest
import torch
from torch.nn import functional

from gaid.backbones.clip.published import convert_clip
from gaid.errors import CheckpointInvalid
from tests.checkpoint_maker import DIM, MODEL, TEXT, VISION, openai_clip, register_small_clip, transformers_clip

TEXTS = ["A dog barks at a red car.", "two people talk", "", "rain " * 200]


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory):
    return register_small_clip(tmp_path_factory.mktemp("open_clip"))


@pytest.fixture(scope="module")
def theirs():
    return transformers_clip()


@pytest.fixture(scope="module")
def pictures():
    return torch.randn((3, 3, VISION["image_size"], VISION["image_size"]), generator=torch.Generator().manual_seed(2))


def built(clip):
    model = open_clip.create_model(clip.model, force_quick_gelu=clip.config["quick_gelu"]).eval()
    model.load_state_dict(clip.weights, strict=True)
    return model


@torch.inference_mode()
def test_pictures_and_texts_are_what_transformers_makes_of_them(theirs, pictures):
    clip = convert_clip(theirs.state_dict())
    assert (clip.model, clip.layout, clip.dim) == (MODEL, "transformers", DIM)
    ours = built(clip)
    ids = open_clip.get_tokenizer(MODEL)(TEXTS)
    # The public way, pooled at the end token and projected; written out since its return type differs between versions.
    expected = theirs.visual_projection(theirs.vision_model(pictures).pooler_output)
    read = theirs.text_projection(theirs.text_model(ids).pooler_output)
    torch.testing.assert_close(ours.encode_image(pictures), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.encode_text(ids), read, atol=1e-5, rtol=1e-5)
    assert expected.std(0).min() > 0.01  # pictures differ, so agreement says something
    assert clip.logit_scale == pytest.approx(90.0)


@torch.inference_mode()
def test_without_quick_gelu_it_would_be_another_model(theirs, pictures):
    clip = convert_clip(theirs.state_dict())
    plain = open_clip.create_model(clip.model).eval()
    plain.load_state_dict(clip.weights)
    assert (plain.encode_image(pictures) - built(clip).encode_image(pictures)).abs().max() > 1e-3


def openai_forward(weights, x, tower, causal, heads):
    """The transformer of openai/CLIP's model.py by its names: pre-norm, packed q, k, v, QuickGELU."""
    layers = len(
        {name.split(".resblocks.")[1].split(".")[0] for name in weights if name.startswith(f"{tower}.resblocks")}
    )
    length, width = x.shape[1:]
    mask = torch.full((length, length), -torch.inf).triu(1) if causal else None
    for number in range(layers):
        part = {n.removeprefix(f"{tower}.resblocks.{number}."): v for n, v in weights.items()
                if n.startswith(f"{tower}.resblocks.{number}.")}  # fmt: skip
        inner = functional.layer_norm(x, (width,), part["ln_1.weight"], part["ln_1.bias"])
        packed = functional.linear(inner, part["attn.in_proj_weight"], part["attn.in_proj_bias"])
        q, k, v = (piece.unflatten(-1, (heads, -1)).transpose(1, 2) for piece in packed.chunk(3, dim=-1))
        logits = q @ k.transpose(-1, -2) / (width / heads) ** 0.5
        attended = (logits if mask is None else logits + mask).softmax(-1) @ v
        joined = attended.transpose(1, 2).flatten(-2)
        x = x + functional.linear(joined, part["attn.out_proj.weight"], part["attn.out_proj.bias"])
        inner = functional.layer_norm(x, (width,), part["ln_2.weight"], part["ln_2.bias"])
        inner = functional.linear(inner, part["mlp.c_fc.weight"], part["mlp.c_fc.bias"])
        inner = inner * torch.sigmoid(1.702 * inner)
        x = x + functional.linear(inner, part["mlp.c_proj.weight"], part["mlp.c_proj.bias"])
    return x


@torch.inference_mode()
def test_openais_layout_sees_and_reads_as_its_names_say(pictures):
    weights = openai_clip()
    clip = convert_clip({**weights, "input_resolution": torch.tensor(32), "vocab_size": torch.tensor(49408)})
    assert (clip.model, clip.layout, clip.unused) == (MODEL, "openai", ("input_resolution", "vocab_size"))
    ours = built(clip)

    def norm(x, name):
        return functional.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])

    x = (
        functional.conv2d(pictures, weights["visual.conv1.weight"], stride=VISION["patch_size"])
        .flatten(2)
        .transpose(1, 2)
    )
    x = (
        torch.cat([weights["visual.class_embedding"].expand(len(x), 1, -1), x], 1)
        + weights["visual.positional_embedding"]
    )
    x = openai_forward(weights, norm(x, "visual.ln_pre"), "visual.transformer", False, VISION["width"] // 64)
    expected = norm(x[:, 0], "visual.ln_post") @ weights["visual.proj"]
    torch.testing.assert_close(ours.encode_image(pictures), expected, atol=1e-5, rtol=1e-5)

    ids = open_clip.get_tokenizer(MODEL)(TEXTS)
    x = weights["token_embedding.weight"][ids] + weights["positional_embedding"]
    x = norm(openai_forward(weights, x, "transformer", True, TEXT["heads"]), "ln_final")
    read = x[torch.arange(len(ids)), ids.argmax(-1)] @ weights["text_projection"]
    torch.testing.assert_close(ours.encode_text(ids), read, atol=1e-5, rtol=1e-5)


def test_half_precision_becomes_single_without_a_change(theirs):
    half = {name: value.half() for name, value in theirs.state_dict().items()}
    clip = convert_clip({**half, "text_model.embeddings.position_ids": torch.arange(77)[None]})
    assert clip.unused == ("text_model.embeddings.position_ids",)
    assert {value.dtype for value in clip.weights.values()} == {torch.float32}
    expected = half["visual_projection.weight"].float().t()
    assert torch.equal(clip.weights["visual.proj"], expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "dim", "wide", "layers", "patch", "size", "words"),
    [
        ("ViT-B-32", 512, 768, 12, 32, 224, 512),
        ("ViT-B-16", 512, 768, 12, 16, 224, 512),
        ("ViT-L-14", 768, 1024, 24, 14, 224, 768),
        ("ViT-L-14-336", 768, 1024, 24, 14, 336, 768),
    ],
)
def test_openais_architectures_are_known_by_their_shapes(model, dim, wide, layers, patch, size, words):
    from transformers import CLIPConfig, CLIPModel

    config = CLIPConfig(
        text_config={"hidden_size": words, "intermediate_size": 4 * words, "num_attention_heads": words // 64},
        vision_config={"hidden_size": wide, "intermediate_size": 4 * wide, "num_hidden_layers": layers,
                       "num_attention_heads": wide // 64, "image_size": size, "patch_size": patch},
        projection_dim=dim,
    )  # fmt: skip
    with torch.device("meta"):  # shapes without their gigabytes
        weights = CLIPModel(config).state_dict()
    clip = convert_clip({name: value for name, value in weights.items() if not name.endswith("position_ids")})
    assert (clip.model, clip.dim) == (model, dim)
    assert clip.open_clip_config["model_cfg"]["quick_gelu"] is True
    assert clip.open_clip_config["preprocess_cfg"]["mean"] == list(open_clip.OPENAI_DATASET_MEAN)


def without(weights, name):
    return {n: v for n, v in weights.items() if n != name}


def test_what_is_missing_strange_or_of_another_shape_is_named(theirs):
    weights = theirs.state_dict()
    block = "vision_model.encoder.layers.1"
    with pytest.raises(
        CheckpointInvalid, match=r"not all there: vision_model\.encoder\.layers\.1\.self_attn\.k_proj\.bias"
    ):
        convert_clip(without(weights, f"{block}.self_attn.k_proj.bias"))
    with pytest.raises(
        CheckpointInvalid, match=r"lacks weights of gaid-small-openai: visual\.transformer.*mlp\.c_fc\.weight"
    ):
        convert_clip(without(weights, f"{block}.mlp.fc1.weight"))
    with pytest.raises(CheckpointInvalid, match="not all there: text_projection"):
        convert_clip(without(weights, "text_projection.weight"))
    with pytest.raises(CheckpointInvalid, match="no CLIP of transformers: adapter"):
        convert_clip({**weights, "adapter": torch.zeros(2)})
    with pytest.raises(CheckpointInvalid, match=r"no CLIP of OpenAI's: prompt\.weight"):
        convert_clip({**openai_clip(), "prompt.weight": torch.zeros(2)})
    with pytest.raises(
        CheckpointInvalid, match=r"visual\.ln_pre\.bias has shape \(3,\), gaid-small-openai has \(128,\)"
    ):
        convert_clip({**openai_clip(), "visual.ln_pre.bias": torch.zeros(3)})
    with pytest.raises(CheckpointInvalid, match="linear_patch 3d"):
        convert_clip({**openai_clip(), "visual.conv2.weight": torch.zeros(2)})


def test_an_architecture_that_open_clip_has_not_is_told_with_its_sizes():
    with pytest.raises(CheckpointInvalid, match=r"5 layers of 128.*known are ViT-B-32, ViT-B-16"):
        convert_clip(openai_clip(vision={**VISION, "layers": 5}))


@pytest.mark.slow
def test_towers_of_the_project_load_what_was_written(theirs, tmp_path, monkeypatch):
    """The file and its configuration through `clip:MODEL/FOLDER`, as extraction takes them."""
    import json

    from safetensors.torch import save_file

    from gaid.backbones import load_text, load_visual

    clip = convert_clip(theirs.state_dict())
    save_file(clip.weights, tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text(json.dumps(clip.open_clip_config))
    visual, text = load_visual(f"clip:{MODEL}/{tmp_path}"), load_text(f"clip:{MODEL}/{tmp_path}")
    frames = np.random.default_rng(0).integers(0, 256, (1, 2, 32, 32, 3), dtype=np.uint8)
    scaled = torch.from_numpy(frames[0]).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))
    with torch.inference_mode():
        seen = theirs.visual_projection(theirs.vision_model((scaled - mean) / std).pooler_output)
        read = theirs.text_projection(theirs.text_model(open_clip.get_tokenizer(MODEL)(TEXTS)).pooler_output)
    np.testing.assert_allclose(visual.encode_frames(frames)[0], seen, atol=1e-5)
    np.testing.assert_allclose(text.encode_text(TEXTS).embedding, read, atol=1e-5)
    assert visual.provenance["quick_gelu"] is True
    assert visual.provenance["interpolation"] == "bicubic"
