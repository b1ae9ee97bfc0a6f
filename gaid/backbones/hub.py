"""Weights in the local cache of the Hugging Face hub.

Nothing is downloaded unless GAID_DOWNLOAD=1 allows it: a machine without a network, or a hundred workers, must not wait for
a hub. Weights that are not at hand are an error with the command that fetches them.
"""

import os
from pathlib import Path
from typing import Any

from gaid.errors import BackboneUnavailable
from gaid.files import sha256_of

# What a checkpoint in transformers' layout keeps its weights in.
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def find_checkpoint(
    family: str, name: str, example: str, further: tuple[str, ...] = (), preprocessing: str = "preprocessor_config.json"
) -> Path:
    """The folder of a checkpoint in transformers' layout: a local one, or that of a hub's name in the cache.

    `preprocessing` and `further`: files that are downloaded as well, where downloads are allowed; a folder may lack them.

    Raises BackboneUnavailable; `example` is a hub's name that exists.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file() or not any((folder / file).is_file() for file in WEIGHTS):
            raise BackboneUnavailable(f"{family}:{name}: the folder lacks config.json or {' or '.join(WEIGHTS)}")
        return folder.resolve()
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise BackboneUnavailable(f"{family}:{name}: no such folder, and not a hub's owner/name (such as {example})")
    file, config = cached_file(name, WEIGHTS), cached_file(name, ("config.json",))
    if file is None or config is None:
        if not may_download():
            raise not_at_hand(f"{family}:{name}", f"hf download {name}", f"{family}:FOLDER")
        for needed in ("config.json", preprocessing, *further):
            download(f"{family}:{name}", name, (needed,))
        file = download(f"{family}:{name}", name, WEIGHTS)
    return file.parent


def weights_in(folder: Path) -> Path:
    """The file of weights in a checkpoint's folder."""
    return next(folder / file for file in WEIGHTS if (folder / file).is_file())


def shown_name(name: str, folder: Path | None) -> str:
    """A checkpoint's name without the path of a local folder."""
    return folder.name if folder is not None and Path(name).expanduser().exists() else name


def weights_provenance(folder: Path | None, seed: int) -> dict[str, Any]:
    """What a store records of a checkpoint's weights: their file, its digest and the hub's revision; None: drawn from `seed`."""
    if folder is None:
        return {"weights": None, "sha256": None, "random_weights": True, "seed": seed}
    file = weights_in(folder)
    found: dict[str, Any] = {"weights": file.name, "sha256": sha256_of(file), "random_weights": False}
    return found | ({"revision": folder.name} if folder.parent.name == "snapshots" else {})


def cached_file(repository: str, names: tuple[str, ...]) -> Path | None:
    """The first of `names` that the local cache holds for a repository."""
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        found = try_to_load_from_cache(repository, name)
        if isinstance(found, str):  # else None (unknown) or a mark that the repository has no such file
            return Path(found)
    return None


def may_download() -> bool:
    """Whether the user allows downloads."""
    return os.environ.get("GAID_DOWNLOAD", "").lower() in ("1", "true", "yes")


def download(backbone: str, repository: str, names: tuple[str, ...]) -> Path:
    """The first of `names` that the hub has, in the local cache now. Raises BackboneUnavailable."""
    from huggingface_hub import hf_hub_download

    for name in names:
        try:
            return Path(hf_hub_download(repository, name, etag_timeout=5))
        except Exception as error:  # the hub's client raises its own, httpx's and the system's errors
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    raise BackboneUnavailable(f"{backbone}: downloading {' or '.join(names)} of {repository} failed: {reason}")


def not_at_hand(backbone: str, fetch: str, instead: str) -> BackboneUnavailable:
    """The error for weights that have to be fetched: by the command `fetch`, or name `instead`."""
    from huggingface_hub import constants

    return BackboneUnavailable(
        f"no weights at hand for {backbone} in {constants.HF_HUB_CACHE}: `{fetch}` where there is a network (or set "
        f"GAID_DOWNLOAD=1), else bring that folder here, or name {instead}, or pass --random-weights"
    )
