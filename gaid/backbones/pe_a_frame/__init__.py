"""PE-A-Frame: a clip's whole sound at 48 kHz as 25 vectors per second, and sentences in the same space. Here its weights are
found; `encoder` runs it.

`pe-a-frame:CHECKPOINT` is a folder or a hub's name in transformers' layout (Vyas et al. 2025, arXiv 2512.19687).
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from gaid import devices
from gaid.backbones import hub
from gaid.backbones.protocol import BackboneSpec, BackboneStatus, PublishedModel
from gaid.errors import DependencyMissing
from gaid.versions import not_installed

DEFAULT = "facebook/pe-a-frame-base"


def find(kind: str, variant: str, random_weights: bool) -> Callable[[str, int], Any]:
    """What builds the encoder from (device, seed), once its weights are at hand."""
    if not_installed(("transformers",)):
        raise DependencyMissing(f"backbone pe-a-frame needs transformers: {SPEC.install}")
    name = variant or DEFAULT
    further = ("tokenizer.json", "tokenizer_config.json")
    folder = (
        None
        if random_weights
        else hub.find_checkpoint("pe-a-frame", name, DEFAULT, further, preprocessing="processor_config.json")
    )
    return lambda device, seed: _build(name, folder, devices.pick_device(device), seed)


@lru_cache(maxsize=2)
def _build(name: str, folder: Path | None, device: str, seed: int) -> Any:
    from gaid.backbones.pe_a_frame.encoder import PeAudioFrames

    return PeAudioFrames(name, folder, device, seed)


def statuses() -> list[BackboneStatus]:
    """Whether the usual weights and transformers are at hand."""
    file = hub.cached_file(DEFAULT, hub.WEIGHTS)
    remedies = [SPEC.install] if not_installed(("transformers",)) else []
    remedies += [] if file else [f"hf download {DEFAULT}"]
    return [BackboneStatus(f"pe-a-frame:{DEFAULT}", "audio", str(file or DEFAULT), ", then ".join(remedies))]


SPEC = BackboneSpec(
    name="pe-a-frame",
    usage="pe-a-frame:CHECKPOINT",
    kinds=("audio",),
    extra="pe-a-frame",
    find=find,
    statuses=statuses,
    models=(
        PublishedModel("pe-a-frame:facebook/pe-a-frame-small", 450, 1024, "Apache-2.0"),
        PublishedModel("pe-a-frame:facebook/pe-a-frame-base", 561, 1024, "Apache-2.0"),
        PublishedModel("pe-a-frame:facebook/pe-a-frame-large", 1457, 1024, "Apache-2.0"),
    ),
)
