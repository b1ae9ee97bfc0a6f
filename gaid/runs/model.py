"""A published head, as `gaid publish` writes it: a folder with a description, weights and no training. It is read as a run.

config.json        what the head is, which features it takes, and what it was trained with; `Model.describe` is its `checkpoint`
head.safetensors   the weights, by the names of the head's state dict
head.py            the code of a head of its author's own class; never run unless the user allows it

Other files of the folder (README.md, .eval_results/) are not read, and nothing is ever unpickled.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gaid import plugins
from gaid.errors import CodeRefused, DataMissing, RunInvalid
from gaid.files import sha256_of
from gaid.paths import shown_path
from gaid.runs.files import HEAD_SOURCE, MODEL, WEIGHTS, read_checkpoint, read_json
from gaid.runs.run import Run

VERSION = 1


@dataclass(frozen=True)
class Model(Run):
    """A published head. It is a run of one seed with its best checkpoint alone; it has no store, so commands need one."""

    about: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, path: Path) -> "Model":
        """The published head in a folder. Raises RunInvalid where it is damaged, or of a format that this version does not know."""
        about = read_json(path / MODEL)
        _check(path / MODEL, about)
        weights = path / WEIGHTS
        if not weights.is_file():
            raise RunInvalid(f"{weights}: no such file; weights are read from it alone, never from a pickle")
        if sha256_of(weights) != about["sha256"]:
            raise RunInvalid(
                f"{weights}: not the weights that {MODEL} was written with (another SHA-256): damaged or changed; fetch the folder "
                "again"
            )
        if read_checkpoint(weights, tensors=False)[1] != about["checkpoint"]:
            raise RunInvalid(f"{path / MODEL}: describes another head than {WEIGHTS} does; fetch the folder again")
        own = {name: value for name, value in about["run"].items() if name not in ("seeds", "store", "imported")}
        return cls(path, {**own, "store": ""}, about)

    @staticmethod
    def has_own_code(folder: Path) -> bool:
        """Whether the head in a folder is of a class that comes as code."""
        about = read_json(folder / MODEL)
        _check(folder / MODEL, about)
        return ":" in str(about["run"]["preset"])

    @property
    def extraction(self) -> dict[str, Any]:
        """The options of `gaid.extract` that give the features that the head takes."""
        return dict(self.about["extraction"])

    @property
    def metrics(self) -> dict[str, Any]:
        """The figures on validation of the head that was published."""
        return dict(self.about["metrics"])

    @property
    def log(self) -> list[dict[str, Any]]:
        """Nothing: the log of a training is not published."""
        return []

    @property
    def pages(self) -> Path:
        """reports/NAME: nothing is added to what was published."""
        return Path("reports") / (re.sub(r"[^\w.+-]+", "-", str(self.about.get("name"))).strip("-.") or "head")

    def _checkpoint(self, name: str) -> Path:
        if name != "best":
            raise RunInvalid(f"{self.path}: a published head has its best checkpoint alone, not {name!r}")
        return self.path / WEIGHTS

    def _class_at_hand(self, preset: str) -> str:
        """The preset, or the class in head.py where the user trusts it; what is called so elsewhere may be another."""
        if ":" not in preset:
            return preset
        code = self.path / HEAD_SOURCE
        if not code.is_file():
            raise DataMissing(f"{code}: no such file; the head {preset} is code, and the folder lacks it")
        try:
            plugins.refuse_downloaded(code)
        except CodeRefused as error:
            raise CodeRefused(
                f"{shown_path(self.path)}: its head is code of its author's own ({HEAD_SOURCE}), which is not run unasked; read it, "
                f"and allow it with {plugins.TRUST}=1 where you trust it"
            ) from error
        return plugins.absolute(f"{code}:{preset.rpartition(':')[2]}")


def is_model(folder: Path) -> bool:
    """Whether a folder holds a published head, be it a damaged one."""
    return (folder / WEIGHTS).is_file() or plugins.is_published(folder)


def _check(file: Path, about: Mapping[str, Any]) -> None:
    """Raises RunInvalid where a description lacks what a head is built from."""
    if not plugins.PUBLISHED.items() <= about.items():
        raise RunInvalid(f"{file}: not the description of a head that `gaid publish` wrote")
    if about.get("version") != VERSION:
        raise RunInvalid(
            f"{file}: a published head of format {about.get('version')!r}, and this version of gaid reads {VERSION}; "
            "update gaid"
        )
    kinds = {"run": Mapping, "metrics": Mapping, "checkpoint": Mapping, "extraction": Mapping, "sha256": str}
    wrong = [name for name, kind in kinds.items() if not isinstance(about.get(name), kind)]
    missing = wrong or [key for key in plugins.RUN_KEYS[:2] if key not in about["run"]]
    if missing:
        raise RunInvalid(f"{file}: not the description of a head ({', '.join(missing)} missing or of another kind)")
