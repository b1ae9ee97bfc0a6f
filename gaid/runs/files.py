"""The files of a run folder: their names, and how JSON and checkpoints are read and written. Nothing is ever unpickled.

config.toml        everything that was decided, also usable as `--config`
environment.json   versions, device, platform
log.jsonl          one line per evaluation
metrics.json       the best evaluation on validation, and whether the training has finished
head.py            the code of a head of the user's own
checkpoints/       best.safetensors, last.safetensors, and a JSON beside each; resume.safetensors while unfinished;
                   step-000009.safetensors ... where the head of every evaluation was to be kept
imported.json      of a published checkpoint that became a run: where it came from and which parts were not used; clip/
                   is then its CLIP (open_clip_model.safetensors, open_clip_config.json), ast/ its audio encoder, in
                   transformers' layout. There is no log
seed-0/, seed-1/   of a run of several seeds: one run each, and nothing else but config.toml and metrics.json

A published head (`model`) is a folder of its own: config.json, head.safetensors and, where the head is of a class of the
user's own, head.py.

A checkpoint's description is in its header as well, so that weights and description cannot be separated.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaid.errors import RunInvalid
from gaid.files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, ENVIRONMENT, LOG, METRICS = "config.toml", "environment.json", "log.jsonl", "metrics.json"
CHECKPOINTS, RESUME, HEAD_SOURCE = "checkpoints", "resume", "head.py"
IMPORTED, CLIP, AST = "imported.json", "clip", "ast"
KEPT = "step-"
MODEL, WEIGHTS = "config.json", "head.safetensors"

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
        raise RunInvalid(f"{path}: not a checkpoint of a run, or a damaged one ({error})") from error
    return found, description
