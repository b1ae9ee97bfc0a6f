"""AST, the audio spectrogram transformer: a clip's whole sound at 16 kHz as 10 vectors per second, or as the 1,213 tokens that
AVIGATE reads. Here its weights are found; `encoder` runs it, `fbank` makes its pictures.

`ast:CHECKPOINT` is a folder or a hub's name in transformers' layout.
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

DEFAULT = "MIT/ast-finetuned-audioset-10-10-0.4593"


def find(kind: str, variant: str, random_weights: bool) -> Callable[[str, int], Any]:
    """What builds the encoder from (device, seed), once its weights are at hand."""
    if not_installed(("transformers",)):
        raise DependencyMissing(f"backbone ast needs transformers: {SPEC.install}")
    name = variant or DEFAULT
    folder = None if random_weights else hub.find_checkpoint("ast", name, DEFAULT)
    return lambda device, seed: _build(name, folder, devices.pick_device(device), seed)


@lru_cache(maxsize=2)
def _build(name: str, folder: Path | None, device: str, seed: int) -> Any:
    from gaid.backbones.ast.encoder import load_ast

    return load_ast(name, folder, device, seed)


def statuses() -> list[BackboneStatus]:
    """Whether the usual weights and transformers are at hand."""
    file = hub.cached_file(DEFAULT, hub.WEIGHTS)
    remedies = [SPEC.install] if not_installed(("transformers",)) else []
    remedies += [] if file else [f"hf download {DEFAULT}"]
    return [BackboneStatus(f"ast:{DEFAULT}", "audio", str(file or DEFAULT), ", then ".join(remedies))]


SPEC = BackboneSpec(
    name="ast", usage="ast:CHECKPOINT", kinds=("audio",), extra="ast", find=find, statuses=statuses,
    models=(PublishedModel(f"ast:{DEFAULT}", 87, 768, "BSD-3-Clause"),),
)  # fmt: skip
