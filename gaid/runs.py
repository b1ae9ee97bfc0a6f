"""A run: the folder of one training. Reads and writes it, and makes heads of it; what training does is not known here.

    config.toml        everything that was decided, also usable as `--config`
    environment.json   versions, device, platform
    log.jsonl          one line an evaluation
    metrics.json       the best evaluation on validation, and whether the training is over
    checkpoints/       best.safetensors, last.safetensors, and a JSON beside each; resume.safetensors while unfinished
    seed-0/, seed-1/   of a run of several seeds: one run each, and nothing else but config.toml and metrics.json

Every file is written whole under another name, synced and renamed. A checkpoint's description is also in its header, so
that weights and description can't come apart. Nothing is ever unpickled.
"""

import importlib
import importlib.util
import inspect
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaid.config import nearest, read_settings
from gaid.errors import DataMissing, HeadMismatch, OptionInvalid, RunInvalid, StoresDisagree

if TYPE_CHECKING:
    from torch import Tensor, nn

CONFIG, ENVIRONMENT, LOG, METRICS = "config.toml", "environment.json", "log.jsonl", "metrics.json"
CHECKPOINTS, RESUME, HEAD_SOURCE = "checkpoints", "resume", "head.py"
_OWN_FILES = (CONFIG, ENVIRONMENT, LOG, METRICS, HEAD_SOURCE)
# The key of a safetensors header under which a checkpoint keeps its description.
_DESCRIPTION = "gaid"


@dataclass(frozen=True)
class Run:
    """A run folder. `config` is config.toml; a run of several seeds has `members`, a single one is its own member."""

    path: Path
    config: dict[str, Any] = field(repr=False)

    @property
    def preset(self) -> str:
        """Name of the preset, or the dotted path of the head's class."""
        return str(self.config["preset"])

    @property
    def seed(self) -> int:
        """Seed of the run; of the first member where there are several."""
        return int(self.config["seed"])

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of all members."""
        return tuple(range(self.seed, self.seed + int(self.config.get("seeds", 1))))

    @property
    def dataset(self) -> str:
        """Name of the data set that it was trained on."""
        return str(self.config.get("dataset", ""))

    @property
    def protocol(self) -> str | None:
        """The data set's protocol (its choice of splits) that it was trained under."""
        name = self.config.get("protocol")
        return None if name in (None, "none") else str(name)

    @property
    def store_path(self) -> Path:
        """Where the store was that it was trained on."""
        return Path(self.config["store"])

    @cached_property
    def members(self) -> tuple["Run", ...]:
        """One single-seed run a seed."""
        if len(self.seeds) == 1:
            return (self,)
        return tuple(load_run(self.path / f"seed-{seed}") for seed in self.seeds)

    @property
    def metrics(self) -> dict[str, Any]:
        """metrics.json: what validation said, and whether the training is over; empty before the first evaluation."""
        path = self.path / METRICS
        return read_json(path) if path.exists() else {}

    @property
    def finished(self) -> bool:
        """Whether the training went to its end."""
        return bool(self.metrics.get("finished"))

    @property
    def log(self) -> list[dict[str, Any]]:
        """log.jsonl: one entry an evaluation."""
        path = self.path / LOG
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the store that it was trained on."""
        return str(self.members[0].describe()["store"]["fingerprint"])

    def describe(self, checkpoint: str = "best") -> dict[str, Any]:
        """A checkpoint's description: the head, the store, the seed, the step and its figures on validation."""
        return read_checkpoint(self._checkpoint(checkpoint), tensors=False)[1]

    def load_head(self, checkpoint: str = "best", device: str = "cpu") -> "nn.Module":
        """The head with the weights of a checkpoint ("best" or "last"), for evaluation. Raises RunInvalid, HeadMismatch."""
        if len(self.members) > 1:
            raise RunInvalid(f"{self.path}: holds {len(self.members)} seeds; load the head of one of its members")
        path = self._checkpoint(checkpoint)
        tensors, description = read_checkpoint(path)
        described = description["head"]
        self._refuse_code_of_the_run(described["preset"])
        head = build_described_head(described)
        try:
            head.load_state_dict(tensors)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise HeadMismatch(
                f"{path}: its weights don't fit the head {described['preset']!r} ({reason}); was the class changed?"
            ) from error
        return head.to(device).eval()

    @cached_property
    def head(self) -> "nn.Module":
        """The best checkpoint's head on the CPU."""
        return self.load_head()

    def check_store(self, store: Any) -> None:
        """Raises StoresDisagree where a store's features are of other backbones than those that the head learned from.

        Another data set under the same backbones is fine: that is how a head is tried on data that it has not seen.
        """
        trained = self.members[0].describe()["store"]["backbones"]
        given = backbones_of(store)
        wrong = [kind for kind in sorted({*trained, *given}) if trained.get(kind) != given.get(kind)]
        if wrong:
            kind = wrong[0]
            raise StoresDisagree(
                f"{self.path}: its head learned from {kind} features of {_named(trained.get(kind))}, but "
                f"{getattr(store, 'path', 'the store')} holds those of {_named(given.get(kind))}; "
                "evaluate it on a store of the same backbones, or train a head on this one"
            )

    def _checkpoint(self, name: str) -> Path:
        path = self.path / CHECKPOINTS / f"{name}.safetensors"
        if not path.exists():
            raise RunInvalid(
                f"{path}: no such checkpoint; go on with the training: train-head --resume --out {self.path}"
            )
        return path

    def _refuse_code_of_the_run(self, preset: str) -> None:
        """A run may come from anywhere and its weights are only numbers; code that lies within it is not run unasked."""
        source, colon, _ = preset.rpartition(":")
        if colon and source.endswith(".py") and Path(source).resolve().is_relative_to(self.path.resolve()):
            raise RunInvalid(
                f"{self.path}: its head is code within the run ({source}); move the file elsewhere to run it"
            )


def load_run(path: "str | Path | Run") -> Run:
    """The run at `path`. Raises DataMissing where there is nothing and RunInvalid where there is something else."""
    if isinstance(path, Run):
        return path
    path = Path(path)
    if not path.is_dir():
        others = [run.name for run in list_runs(path.parent)]
        raise DataMissing(f"{path}: no such run" + (f"; {nearest(path.name, others)}" if others else ""))
    if not (path / CONFIG).exists():
        raise RunInvalid(f"{path}: no run (it has no {CONFIG})")
    try:
        config = read_settings(path / CONFIG)
    except OptionInvalid as error:
        raise RunInvalid(f"{error}; the run is damaged") from error
    missing = [key for key in ("preset", "seed", "store") if key not in config]
    if missing:
        raise RunInvalid(f"{path / CONFIG}: no run's settings (without {', '.join(missing)})")
    return Run(path, config)


def list_runs(folder: str | Path = "runs") -> list[Path]:
    """Folders of runs in a folder, by name; members of a run of several seeds are within it and not listed."""
    folder = Path(folder)
    return sorted(path.parent for path in folder.glob(f"*/{CONFIG}")) if folder.is_dir() else []


def clear_run(path: Path) -> None:
    """Removes what a training wrote into a run folder and nothing else. Raises RunInvalid where it is no run."""
    if not path.exists():
        return
    load_run(path)
    for member in path.glob("seed-*"):
        if (member / CONFIG).exists():
            clear_run(member)
            if not any(member.iterdir()):
                member.rmdir()
    for name in _OWN_FILES:
        (path / name).unlink(missing_ok=True)
    for folder, pattern in ((path / CHECKPOINTS, "*.*"), (path / "tensorboard", "events.*")):
        for file in folder.glob(pattern):
            file.unlink()
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all: under another name first, synced, then renamed.

    The other name is always the same, so that what a kill leaves behind is overwritten by the next attempt.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """A JSON file for people and programs, atomically; NaN is refused, since JSON has none."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


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


def backbones_of(store: Any) -> dict[str, Any]:
    """What a store says of the backbones whose features it holds; equal means that one head fits both stores."""
    return dict(store.attrs.get("backbones", {}))


def resolve_head(
    preset: str,
    *,
    visual_dim: int,
    audio_dim: int,
    text_dim: int,
    frames: int,
    options: Mapping[str, Any] | None = None,
) -> tuple["nn.Module", dict[str, Any]]:
    """A head by the name of a preset or by the path of a class, and the description that builds it again.

    A class is `module:Class`, importable as usual or from the current folder, or `some/file.py:Class`; it is called with
    `visual_dim`, `audio_dim`, `text_dim`, `dim`, `frames` and the options. Raises OptionInvalid.
    """
    options = dict(options or {})
    sizes = {"visual_dim": visual_dim, "audio_dim": audio_dim, "text_dim": text_dim, "frames": frames}
    if ":" in preset:
        arguments = {**sizes, "dim": options.pop("dim", None) or text_dim, **options}
        described = {"preset": preset, "arguments": arguments}
        return build_described_head(described), described
    from gaid.heads import PRESETS, build_head

    if preset not in PRESETS:
        raise OptionInvalid(
            f"preset {preset!r} is unknown; {nearest(preset, PRESETS)} (a class of your own is module:Class or file.py:Class)"
        )
    twice = sorted(sizes.keys() & options.keys())
    if twice:
        raise OptionInvalid(f"head.{twice[0]}: is the store's, and can't be set")
    head = build_head(preset, **sizes, **options)
    return head, {"preset": preset, "arguments": head.config}


def build_described_head(described: Mapping[str, Any]) -> "nn.Module":
    """The head of a description that `resolve_head` gave, untrained."""
    preset, arguments = described["preset"], dict(described["arguments"])
    if ":" not in preset:
        from gaid.heads import build_head

        return build_head(**arguments)
    cls = find_class(preset)
    parameters = inspect.signature(cls).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for name in arguments.keys() - parameters.keys():
            if name in ("visual_dim", "audio_dim", "text_dim", "dim", "frames"):
                raise OptionInvalid(f"{preset}: must take {name} (or **options); see examples/own_head.py")
            raise OptionInvalid(f"head.{name} is no option of {preset}; {nearest(name, parameters)}")
    head = cls(**arguments)
    for method in ("loss", "score"):
        if not callable(getattr(head, method, None)):
            raise OptionInvalid(f"{preset}: is no head, it has no `{method}`; see examples/own_head.py")
    return head


def find_class(path: str) -> Any:
    """The nn.Module class at `module:Class` or `file.py:Class`; the current folder is looked in too. OptionInvalid."""
    from torch import nn

    source, _, name = path.rpartition(":")
    try:
        module = _module_of_file(Path(source)) if source.endswith(".py") else _module_here(source)
    except Exception as error:  # a user's module may raise anything while it is imported
        raise OptionInvalid(f"preset {path!r}: {source} can't be imported ({type(error).__name__}: {error})") from error
    cls = getattr(module, name, None)
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        classes = [n for n, c in vars(module).items() if isinstance(c, type) and issubclass(c, nn.Module)]
        raise OptionInvalid(f"preset {path!r}: {source} has no torch.nn.Module {name!r}; {nearest(name, classes)}")
    return cls


def head_settings(preset: str) -> dict[str, Any]:
    """Settings of training that come with a preset, or with a class of one's own as its attribute `training_defaults`."""
    if ":" in preset:
        return dict(getattr(find_class(preset), "training_defaults", {}))
    from gaid.heads import PRESETS, head_defaults

    return dict(head_defaults(preset)) if preset in PRESETS else {}


def default_out(preset: str, dataset: str) -> Path:
    """runs/PRESET-DATASET, with what a file's name can't hold replaced."""
    short = preset.rpartition(":")[2] if ":" in preset else preset
    return Path("runs") / (re.sub(r"[^\w.+-]+", "-", f"{short}-{dataset}").strip("-") or "run")


def pick_device(device: str = "auto") -> str:
    """`auto` is the GPU where there is one. Raises OptionInvalid for a device that is not there."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise OptionInvalid(f"device {device!r} can't be used here ({reason}); try auto or cpu") from error
    return device


def _module_here(name: str) -> Any:
    here = str(Path.cwd())
    sys.path.insert(0, here)  # as `python -m` has it and a console script has not
    try:
        importlib.invalidate_caches()
        return importlib.import_module(name)
    finally:
        sys.path.remove(here)


def _module_of_file(path: Path) -> Any:
    name = f"gaid_own_{re.sub(r'[^0-9a-zA-Z]', '_', str(path.resolve()))}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _named(provenance: Any) -> str:
    if not isinstance(provenance, Mapping):
        return "none"
    name, weights = provenance.get("name", "an unnamed backbone"), provenance.get("sha256") or provenance.get("weights")
    return f"{name} ({str(weights)[:12]})" if weights else str(name)
