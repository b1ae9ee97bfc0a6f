"""Where the weights of a CLAP are. No torch is imported and no model is built here."""

from pathlib import Path

from gaid.backbones import hub
from gaid.errors import DependencyMissing
from gaid.versions import not_installed

DEFAULT = "laion/clap-htsat-unfused"


def resolve_clap(name: str, random_weights: bool = False) -> Path | None:
    """The folder of a CLAP checkpoint (config, preprocessing and weights): a local one, or a hub name's in the cache.

    None for random weights. Raises BackboneUnavailable, or DependencyMissing where transformers is not installed.
    """
    if not_installed(["transformers"]):
        raise DependencyMissing("backbone clap needs transformers: pip install 'gaid[clap]'")
    if random_weights:
        return None
    return hub.find_checkpoint("clap", name or DEFAULT, DEFAULT, ("tokenizer.json",))
