"""Weights in the local cache of the Hugging Face hub.

Nothing is downloaded unless GAID_DOWNLOAD=1 allows it: a machine without a network, or a hundred workers, must not wait for
a hub. Weights that are not at hand are an error with the command that fetches them.
"""

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from gaid.errors import BackboneUnavailable
from gaid.files import sha256_of

# What a checkpoint in transformers' layout keeps its weights in.
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
VOCABULARY = "tokenizer.json"  # and its tokens


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


def weights_provenance(folder: Path | None, seed: int, files: Sequence[Path] = ()) -> dict[str, Any]:
    """What a store records of a checkpoint's weights: their file, its digest and the hub's revision; None: drawn from `seed`.

    `files` where there are several: the digest is then that of the lines `DIGEST  NAME`, as sha256sum prints them.
    """
    if folder is None:
        return {"weights": None, "sha256": None, "random_weights": True, "seed": seed}
    files = files or (weights_in(folder),)
    names = [file.relative_to(folder).as_posix() for file in files]
    digests = [sha256_of(file) for file in files]
    lines = "".join(f"{digest}  {name}\n" for digest, name in zip(digests, names, strict=True))
    found: dict[str, Any] = {
        "weights": ", ".join(names),
        "sha256": digests[0] if len(digests) == 1 else sha256(lines.encode()).hexdigest(),
        "random_weights": False,
    }
    return found | ({"revision": folder.name} if folder.parent.name == "snapshots" else {})


def all_weights_in(folder: Path) -> list[Path]:
    """Every file of weights in a folder and those within it, by name; of a folder that has both formats, the safetensors."""
    found: list[Path] = []
    for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        if not {"onnx", "openvino"} & set(place.relative_to(folder).parts):  # the same weights for other programs
            found += list(place.glob("*.safetensors")) or list(place.glob("pytorch_model*.bin"))
    return sorted(found)


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
            reason = _reason(error)
    raise BackboneUnavailable(f"{backbone}: downloading {' or '.join(names)} of {repository} failed: {reason}")


def download_folder(backbone: str, repository: str, only: Sequence[str] | None = None) -> Path:
    """A repository's folder in the local cache: the files that fit a pattern of `only`, or all but those for other programs.

    Raises BackboneUnavailable.
    """
    from huggingface_hub import snapshot_download

    others = ["onnx/*", "openvino/*", "*.onnx", "*.msgpack", "*.h5", "*.gguf"]
    patterns = None if only is None else list(only)
    try:
        return Path(snapshot_download(repository, allow_patterns=patterns, ignore_patterns=others, etag_timeout=5))
    except Exception as error:  # as in `download`
        raise BackboneUnavailable(f"{backbone}: downloading {repository} failed: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def not_at_hand(backbone: str, fetch: str, instead: str) -> BackboneUnavailable:
    """The error for weights that have to be fetched: by the command `fetch`, or name `instead`."""
    from huggingface_hub import constants

    return BackboneUnavailable(
        f"no weights at hand for {backbone} in {constants.HF_HUB_CACHE}: `{fetch}` where there is a network (or set "
        f"GAID_DOWNLOAD=1), else bring that folder here, or name {instead}, or pass --random-weights"
    )
