"""CLIP: pictures, patches and texts in one space. `weights` finds it, `model` builds it, `towers` and `text` run it,
`published` converts checkpoints."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from gaid import devices
from gaid.backbones import hub
from gaid.backbones.clip.catalogue import PUBLISHED
from gaid.backbones.clip.weights import FILES, REPOSITORIES, ClipWeights, find_tokenizer, resolve_clip
from gaid.backbones.protocol import BackboneSpec, BackboneStatus

# Those of the repositories that `gaid doctor` reports.
SHOWN = ("ViT-B-32/openai", "ViT-B-16/openai")


def find(kind: str, variant: str, random_weights: bool) -> Callable[[str, int], Any]:
    """What builds a tower from (device, seed), once its weights are at hand."""
    weights = resolve_clip(variant, random_weights)
    if kind == "text":
        find_tokenizer(weights)
    return lambda device, seed: _build(kind, weights, devices.pick_device(device), seed)


@lru_cache(maxsize=4)
def _build(kind: str, weights: ClipWeights, device: str, seed: int) -> Any:
    from gaid.backbones.clip.text import ClipText
    from gaid.backbones.clip.towers import ClipVisual

    return (ClipVisual if kind == "visual" else ClipText)(weights, device=device, seed=seed)


def statuses() -> list[BackboneStatus]:
    """Whether the usual weights are at hand."""
    found = []
    for variant in SHOWN:
        file = hub.cached_file(REPOSITORIES[variant], FILES)
        remedy = "" if file else f"hf download {REPOSITORIES[variant]} {FILES[0]}"
        weights = str(file or REPOSITORIES[variant])
        found += [BackboneStatus(f"clip:{variant}", kind, weights, remedy) for kind in SPEC.kinds]
    return found


SPEC = BackboneSpec(
    name="clip",
    usage="clip:MODEL/WEIGHTS",
    kinds=("visual", "text"),
    find=find,
    statuses=statuses,
    models=PUBLISHED,
)
