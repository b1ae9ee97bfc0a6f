"""Reads the file of a published checkpoint without running any of its code. Its contents are checked by `checkpoint`."""

import argparse
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaid.errors import CheckpointInvalid, DataMissing

if TYPE_CHECKING:
    from torch import Tensor

_WRAPPERS = ("module.", "_orig_mod.")
# Keys under which training loops keep the weights beside their own state; the first one that exists counts.
_HOLDERS = ("state_dict", "model_state_dict", "model", "module")


@dataclass(frozen=True)
class PublishedFile:
    """A checkpoint's weights by name, without `module.` and `_orig_mod.` (parallel training, torch.compile).

    `others`: what else is in the file, as `name (what it is)`; `epoch`: where it is recorded.
    """

    weights: dict[str, "Tensor"]
    others: tuple[str, ...]
    epoch: int | None


def read_published(path: Path) -> PublishedFile:
    """The weights in a checkpoint of torch (.pth, .pt, .bin) or of safetensors.

    Only tensors, plain types and an argparse.Namespace (many loops keep their arguments in one; it only holds values) are
    unpickled. Raises DataMissing and CheckpointInvalid.
    """
    import torch

    if not path.is_file():
        what = "is a folder; name the checkpoint in it" if path.is_dir() else "no such file"
        raise DataMissing(f"{path}: {what}")
    content = _load(path)
    holder: Any = content
    if isinstance(content, Mapping) and not _has_weights(content):
        holder = next((content[name] for name in _HOLDERS if _has_weights(content.get(name))), None)
    if not _has_weights(holder):
        keys = ", ".join(str(key) for key in list(content)[:5]) if isinstance(content, Mapping) else ""
        raise CheckpointInvalid(
            f"{path}: holds no weights by name, but {type(content).__name__}{f' of {keys}' if keys else ''}; expected a "
            f"state dict, alone or under {_HOLDERS[0]!r}"
        )
    weights = {str(name): value for name, value in holder.items() if isinstance(value, torch.Tensor)}
    _check_finite(path, weights)
    beside = {**({} if holder is content else content), **{k: v for k, v in holder.items() if k not in weights}}
    others = tuple(f"{name} ({_kind(value)})" for name, value in beside.items() if value is not holder)
    epoch = content.get("epoch")
    return PublishedFile(
        {_plain_name(name): value for name, value in weights.items()},
        others,
        epoch if isinstance(epoch, int) else None,
    )


def _plain_name(name: str) -> str:
    """A weight's name without the prefixes of parallel training and torch.compile, in any order."""
    while name.startswith(_WRAPPERS):
        name = name.partition(".")[2]
    return name.replace("._orig_mod.", ".")


def _check_finite(path: Path, weights: Mapping[str, "Tensor"]) -> None:
    """Raises CheckpointInvalid for weights that are not finite. Attention masks hold -inf and are not weights."""
    import torch

    numbers = {name: value for name, value in weights.items() if value.is_floating_point() and "mask" not in name}
    bad = [name for name, value in numbers.items() if not torch.isfinite(value).all()]
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise CheckpointInvalid(
            f"{path}: weights that are not finite (NaN or infinite): {', '.join(bad[:3])}{more}; its training diverged, or the "
            "file is damaged: import another checkpoint"
        )


def _load(path: Path) -> Any:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals([argparse.Namespace]):
            # With a mapped file the optimiser's state, twice the size of the weights, is not read.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # pickle, zip, torch and safetensors each raise errors of their own for a damaged file
        raise CheckpointInvalid(_reason(path, error, isinstance(error, SafetensorError))) from error


def _reason(path: Path, error: Exception, safe: bool) -> str:
    text = str(error)
    foreign = re.search(r"GLOBAL ([\w.]+)", text) or re.search(r"Unsupported (?:class|global) ([\w.]+)", text)
    if foreign and not safe:
        keep = f"torch.save(torch.load({path.name!r}, weights_only=False)['state_dict'], 'weights.pth')"
        return (
            f"{path}: holds a {foreign[1]}, and reading that would run code; if you trust the file, save its weights "
            f'alone, python -c "import torch; {keep}", and import weights.pth'
        )
    if "TorchScript" in text:
        return f"{path}: a TorchScript archive, which is code; give a state dict"
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return f"{path}: not a checkpoint that torch can read, or a damaged one ({first[:120]})"


def _has_weights(value: Any) -> bool:
    import torch

    return isinstance(value, Mapping) and any(
        isinstance(inner, torch.Tensor) and "." in str(name) for name, inner in value.items()
    )


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{len(value)} entries"
    return repr(value) if isinstance(value, bool | int | float) else type(value).__name__
