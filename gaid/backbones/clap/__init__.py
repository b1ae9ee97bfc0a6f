"""CLAP: sound at 48 kHz as vectors. `weights` finds it, `tower` runs it."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from gaid import devices
from gaid.backbones import hub
from gaid.backbones.clap.weights import DEFAULT, resolve_clap
from gaid.backbones.protocol import BackboneSpec, BackboneStatus, PublishedModel
from gaid.versions import not_installed


def find(kind: str, variant: str, random_weights: bool) -> Callable[[str, int], Any]:
    """What builds the tower from (device, seed), once its weights are at hand."""
    folder = resolve_clap(variant, random_weights)
    return lambda device, seed: _build(variant or DEFAULT, folder, devices.pick_device(device), seed)


@lru_cache(maxsize=2)
def _build(name: str, folder: Path | None, device: str, seed: int) -> Any:
    from gaid.backbones.clap.tower import ClapAudio

    return ClapAudio(name, folder, device=device, seed=seed)


def statuses() -> list[BackboneStatus]:
    """Whether the usual weights and transformers are at hand."""
    file = hub.cached_file(DEFAULT, hub.WEIGHTS)
    remedies = [SPEC.install] if not_installed(["transformers"]) else []
    remedies += [] if file else [f"hf download {DEFAULT}"]
    return [BackboneStatus(f"clap:{DEFAULT}", "audio", str(file or DEFAULT), ", then ".join(remedies))]


SPEC = BackboneSpec(
    name="clap",
    usage="clap:CHECKPOINT",
    kinds=("audio",),
    extra="clap",
    find=find,
    statuses=statuses,
    models=(PublishedModel(f"clap:{DEFAULT}", 153, 512, "Apache-2.0"),),
)
