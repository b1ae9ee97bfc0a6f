"""Where the weights of a CLAP are. No torch is imported and no model is built here."""

from importlib.util import find_spec
from pathlib import Path

from gaid.backbones import hub
from gaid.errors import BackboneUnavailable, DependencyMissing

DEFAULT = "laion/clap-htsat-unfused"
FILES = ("model.safetensors", "pytorch_model.bin")


def resolve_clap(name: str, random_weights: bool = False) -> Path | None:
    """The folder of a CLAP checkpoint (config, preprocessing and weights): a local one, or a hub name's in the cache.

    None for random weights. Raises BackboneUnavailable, or DependencyMissing where transformers is not installed.
    """
    if find_spec("transformers") is None:
        raise DependencyMissing("backbone clap needs transformers: pip install 'gaid[clap]'")
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
