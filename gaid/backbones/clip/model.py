"""A CLIP's whole model through open_clip: the architecture, its weights and its preprocessing, shared by its two towers.

`weights` has found the file; `towers` and `text` run the towers.
"""

from functools import lru_cache
from typing import Any

import open_clip
import torch
from open_clip.transformer import VisionTransformer

from gaid.backbones.clip.weights import ClipWeights
from gaid.backbones.inference import quietly, seeded
from gaid.errors import BackboneUnavailable
from gaid.files import sha256_of


@lru_cache(maxsize=2)
def load_model(weights: ClipWeights, device: str, seed: int) -> Any:
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
            f"clip:{shown_name(weights)}: open_clip cannot build it here: {_first_line(error)}"
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
    return model.to(device, precision_on(device)).eval().requires_grad_(False)


def precision_on(device: str) -> torch.dtype:
    """The towers' precision: float16 on a GPU, as CLIP's authors use there (docs/performance.md)."""
    return torch.float16 if device.startswith("cuda") else torch.float32


def shown_name(weights: ClipWeights) -> str:
    chosen = weights.tag or (weights.file.name if weights.file else "")
    return f"{weights.model}/{chosen}" if chosen else weights.model


@lru_cache(maxsize=2)
def _digest(weights: ClipWeights) -> str | None:
    return None if weights.file is None else sha256_of(weights.file)


def weights_provenance(name: str, dim: int, weights: ClipWeights, seed: int) -> dict[str, Any]:
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
