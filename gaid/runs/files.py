"""What files of a run folder hold: JSON, and checkpoints. How a file gets to its place whole is `gaid.files`.

A checkpoint's description is also in its header, so that weights and description can't come apart. Nothing is ever
unpickled.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaid.errors import RunInvalid
from gaid.files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor

# The key of a safetensors header under which a checkpoint keeps its description.
_DESCRIPTION = "gaid"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a run. Raises RunInvalid."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RunInvalid(f"{path}: can't be read ({error})") from error
    if not isinstance(value, dict):
        raise RunInvalid(f"{path}: not a JSON object")
    return value


def write_checkpoint(path: Path, tensors: Mapping[str, "Tensor"], description: Mapping[str, Any]) -> None:
    """Tensors as safetensors with a description in the header, atomically."""
    from safetensors.torch import save

    # Copies: safetensors refuses tensors that share memory, which tied weights do.
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(copies, {_DESCRIPTION: json.dumps(description, allow_nan=False)}))


def read_checkpoint(path: Path, tensors: bool = True) -> tuple[dict[str, "Tensor"], dict[str, Any]]:
    """(tensors, description) of a checkpoint; without the tensors where only the description is asked for."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})[_DESCRIPTION])
            found = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise RunInvalid(f"{path}: no checkpoint of a run, or a damaged one ({error})") from error
    return found, description
