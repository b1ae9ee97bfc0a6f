"""CLAP: sound at 48 kHz as vectors. Here its weights are found; `tower` runs it."""

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gaid import devices
from gaid.backbones import hub
from gaid.backbones.protocol import BackboneSpec, BackboneStatus
from gaid.errors import BackboneUnavailable, DependencyMissing

DEFAULT = "laion/clap-htsat-unfused"
FILES = ("model.safetensors", "pytorch_model.bin")


def find(kind: str, variant: str, random_weights: bool) -> Callable[[str, int], Any]:
    """What builds the tower from (device, seed), once its weights are at hand."""
    folder = resolve_clap(variant, random_weights)
    return lambda device, seed: _build(variant or DEFAULT, folder, devices.pick_device(device), seed)


@lru_cache(maxsize=2)
def _build(name: str, folder: Path | None, device: str, seed: int) -> Any:
    from gaid.backbones.clap.tower import ClapAudio

    return ClapAudio(name, folder, device=device, seed=seed)


def resolve_clap(name: str, random_weights: bool = False) -> Path | None:
    """The folder of a CLAP checkpoint (config, preprocessing and weights): a local one, or a hub name's in the cache.

    None for random weights. Raises BackboneUnavailable, or DependencyMissing where transformers is not installed.
    """
    if find_spec("transformers") is None:
        raise DependencyMissing(f"backbone clap needs transformers: {SPEC.install}")
    if random_weights:
        return None
    name = name or DEFAULT
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file() or not any((folder / file).is_file() for file in FILES):
            raise BackboneUnavailable(f"clap:{name}: the folder lacks config.json or {' or '.join(FILES)}")
        return folder.resolve()
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise BackboneUnavailable(f"clap:{name}: no such folder, and not a hub's owner/name (such as {DEFAULT})")
    file, config = hub.cached_file(name, FILES), hub.cached_file(name, ("config.json",))
    if file is None or config is None:
        if not hub.may_download():
            raise hub.not_at_hand(f"clap:{name}", f"hf download {name}", "clap:FOLDER")
        for needed in ("config.json", "preprocessor_config.json"):
            hub.download(f"clap:{name}", name, (needed,))
        file = hub.download(f"clap:{name}", name, FILES)
    return file.parent


def statuses() -> list[BackboneStatus]:
    """Whether the usual weights and transformers are at hand."""
    file = hub.cached_file(DEFAULT, FILES)
    remedies = [SPEC.install] if find_spec("transformers") is None else []
    remedies += [] if file else [f"hf download {DEFAULT}"]
    return [BackboneStatus(f"clap:{DEFAULT}", "audio", str(file or DEFAULT), ", then ".join(remedies))]


SPEC = BackboneSpec(name="clap", usage="clap:CHECKPOINT", kinds=("audio",), extra="clap", find=find, statuses=statuses)
