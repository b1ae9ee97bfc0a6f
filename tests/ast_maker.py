"""An AST small enough for every test, and AVIGATE's way from a sound to its tokens written out in numpy and plain torch."""

import math
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

RATE = 16_000
MEAN, STD = -5.118, 3.2527153  # of AVIGATE's pictures


def save_ast(folder: Path, seed: int = 5) -> Path:
    """A classifier's checkpoint, as hubs have them, of width 16 with 2 layers, whose numbers are far from those of a fresh one.
    Its tokens are as many as the published one's."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    config = ASTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ASTForAudioClassification(config)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.3 * torch.randn(weight.shape))
    model.save_pretrained(folder)
    ASTFeatureExtractor(mean=MEAN, std=STD).save_pretrained(folder)
    return folder


def sound_of(seconds: float, seed: int = 1) -> np.ndarray:
    """Tones that change, louder toward the end, over a little noise."""
    times = np.arange(round(seconds * RATE)) / RATE
    rng = np.random.default_rng(seed)
    pitch = 200 * seed + 300 * np.sin(2 * np.pi * 0.3 * times)
    loud = 0.02 + 0.4 * times / max(seconds, 1)
    return (loud * np.sin(2 * np.pi * pitch * times) + 0.003 * rng.standard_normal(len(times))).astype(np.float32)


def kaldi_rows(sound: np.ndarray, shift: int) -> np.ndarray:
    """Kaldi's 128 log-mel numbers of each 25 ms (rows, 128): by a matrix of cosines and sines, triangle by triangle."""
    rows = 1 + (len(sound) - 400) // shift
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)
    angles = 2 * np.pi * np.outer(np.arange(400), np.arange(257)) / 512
    mel_of = [1127 * math.log(1 + hertz / 700) for hertz in np.arange(257) * RATE / 512]
    low, high = 1127 * math.log(1 + 20 / 700), 1127 * math.log(1 + 8000 / 700)
    width = (high - low) / 129
    triangles = np.zeros((257, 128))
    for band in range(128):
        middle = low + (band + 1) * width
        for place in range(256):
            triangles[place, band] = max(0.0, 1 - abs(mel_of[place] - middle) / width)
    shaped = np.empty((rows, 400))
    for row in range(rows):
        window = sound[row * shift : row * shift + 400].astype(np.float64)
        window = window - window.mean()
        emphasised = window.copy()
        emphasised[1:] -= 0.97 * window[:-1]
        emphasised[0] -= 0.97 * window[0]
        shaped[row] = emphasised * hann
    power = (shaped @ np.cos(angles)) ** 2 + (shaped @ np.sin(angles)) ** 2
    return np.log(np.maximum(power @ triangles, 1.1920929e-07))


def published_picture(sound: np.ndarray) -> np.ndarray:
    """A clip's whole sound (channels, samples) or (samples,) in 1,024 rows, its rows' distance a 1,024th of its length, from the
    first channel; one mean of all channels is taken away before. Missing rows are 0, THEN all is normalised."""
    sound = np.atleast_2d(sound)
    sound = (sound - sound.mean())[0]
    rows = kaldi_rows(sound, max(1, len(sound) // 1024))[:1024]
    return (np.pad(rows, ((0, 1024 - len(rows)), (0, 0))) + 5.118) / (2 * 3.2527153)


def tower_weights(draw, dim: int, layers: int = 2) -> dict[str, torch.Tensor]:
    """AVIGATE's audio encoder by its published names (timm's DeiT with AST's patches), with the classifiers that it does not use."""
    block = {
        "norm1.weight": (dim,), "norm1.bias": (dim,), "norm2.weight": (dim,), "norm2.bias": (dim,),
        "attn.qkv.weight": (3 * dim, dim), "attn.qkv.bias": (3 * dim,),
        "attn.proj.weight": (dim, dim), "attn.proj.bias": (dim,),
        "mlp.fc1.weight": (2 * dim, dim), "mlp.fc1.bias": (2 * dim,),
        "mlp.fc2.weight": (dim, 2 * dim), "mlp.fc2.bias": (dim,),
    }  # fmt: skip
    shapes = {
        "cls_token": (1, 1, dim), "dist_token": (1, 1, dim), "pos_embed": (1, 1214, dim),
        "patch_embed.proj.weight": (dim, 1, 16, 16), "patch_embed.proj.bias": (dim,),
        "norm.weight": (dim,), "norm.bias": (dim,), "head.weight": (3, dim), "head.bias": (3,),
        "head_dist.weight": (3, dim), "head_dist.bias": (3,),
        **{f"blocks.{layer}.{name}": shape for layer in range(layers) for name, shape in block.items()},
    }  # fmt: skip
    return {f"clip.audio.v.{name}": draw(*shape) for name, shape in shapes.items()}


def tower_tokens(weights: dict[str, torch.Tensor], picture: np.ndarray, heads: int) -> torch.Tensor:
    """The 1,213 tokens (1213, D) that the published encoder gives for a picture (1024, 128)."""
    w = {name.removeprefix("clip.audio.v."): value for name, value in weights.items() if "clip.audio.v." in name}

    def linear(x, name):
        return functional.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(x, name):
        return functional.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-6)

    image = torch.from_numpy(picture).float().T[None, None]
    patches = functional.conv2d(image, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=10)
    x = torch.cat([w["cls_token"][0], w["dist_token"][0], patches[0].flatten(1).T]) + w["pos_embed"][0]
    for layer in range(sum(name.endswith("norm1.weight") for name in w)):
        at = f"blocks.{layer}"
        q, k, v = linear(norm(x, f"{at}.norm1"), f"{at}.attn.qkv").chunk(3, dim=-1)
        q, k, v = (one.unflatten(1, (heads, -1)).transpose(0, 1) for one in (q, k, v))
        attention = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(q.shape[-1]), dim=-1)
        x = x + linear((attention @ v).transpose(0, 1).flatten(1), f"{at}.attn.proj")
        x = x + linear(functional.gelu(linear(norm(x, f"{at}.norm2"), f"{at}.mlp.fc1")), f"{at}.mlp.fc2")
    return norm(torch.cat([(x[:1] + x[1:2]) / 2, x[2:]]), "norm")
