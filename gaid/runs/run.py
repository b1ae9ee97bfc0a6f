"""A run read from its folder, and the heads that come out of it. The files themselves are `files`, training is not known.

Which kind of folder lies at a path is `opening`'s.

A run of several seeds has members: one run per seed in a folder of its own.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaid import plugins
from gaid.errors import CodeRefused, DataMissing, HeadMismatch, OptionInvalid, RunInvalid, StoresDisagree
from gaid.files import sha256_of
from gaid.paths import shown_path
from gaid.runs.factory import build_described_head, with_later_options
from gaid.runs.files import (
    AST,
    CHECKPOINTS,
    CLIP,
    CONFIG,
    HEAD_SOURCE,
    KEPT,
    LOG,
    METRICS,
    read_checkpoint,
    read_json,
)
from gaid.settings import read_settings

if TYPE_CHECKING:
    from gaid.heads import Head
    from gaid.stores import Store


@dataclass(frozen=True)
class Run:
    """A run folder. `config` is config.toml; a run of several seeds has `members`, a single one is its own member."""

    path: Path
    config: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> "Run":
        """The run in a folder. Raises DataMissing where there is no folder and RunInvalid where it holds no run."""
        if not path.is_dir():
            raise DataMissing(f"{path}: no such run")
        if not (path / CONFIG).exists():
            raise RunInvalid(f"{path}: not a run (it has no {CONFIG})")
        try:
            config = read_settings(path / CONFIG)
        except OptionInvalid as error:
            raise RunInvalid(f"{error}; the run is damaged") from error
        missing = [key for key in plugins.RUN_KEYS if key not in config]
        if missing:
            raise RunInvalid(f"{path / CONFIG}: not the settings of a run ({', '.join(missing)} missing)")
        return cls(path, config)

    @property
    def preset(self) -> str:
        """Name of the preset, or where the head's class is, its file as seen from the current folder."""
        return plugins.shown(str(self.config["preset"]))

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
    def protocol(self) -> str:
        """Whose caption gated a video in training: the query (`query`) or its own (`published`)."""
        return str(self.config.get("protocol", "query"))

    @property
    def split_protocol(self) -> str | None:
        """Which of the data set's splits it was trained on."""
        name = self.config.get("split_protocol")
        return None if name in (None, "none") else str(name)

    @property
    def store_path(self) -> Path:
        """Where the store was that it was trained on, as seen from the current folder."""
        return Path(shown_path(self.config["store"]))

    @cached_property
    def members(self) -> tuple["Run", ...]:
        """One single-seed run per seed."""
        if len(self.seeds) == 1:
            return (self,)
        return tuple(Run.read(self.path / f"seed-{seed}") for seed in self.seeds)

    @property
    def metrics(self) -> dict[str, Any]:
        """metrics.json: the figures on validation and whether the training has finished; empty before the first evaluation."""
        path = self.path / METRICS
        return read_json(path) if path.exists() else {}

    @property
    def untrained(self) -> bool:
        """Whether training made no member better on validation, so that all are kept as they were before the first step."""
        return all(member.metrics.get("untrained", False) for member in self.members)

    @property
    def training_notes(self) -> list[str]:
        """The notes in metrics.json on how the kept head was chosen; with their seeds where they do not apply to all."""
        seeds: dict[str, list[str]] = {}
        for member in self.members:
            for note in member.metrics.get("notes", []):
                seeds.setdefault(note, []).append(str(member.seed))
        return [
            note if len(found) == len(self.members) else f"seed {', '.join(found)}: {note}"
            for note, found in seeds.items()
        ]

    @cached_property
    def weights_digest(self) -> str:
        """The SHA-256 of the file of the best checkpoint, of a run of one seed."""
        return sha256_of(self._checkpoint("best"))

    @property
    def pages(self) -> Path:
        """The folder of the figures and pages that are made of its heads."""
        return self.path

    @property
    def finished(self) -> bool:
        """Whether the training has finished."""
        return bool(self.metrics.get("finished"))

    @property
    def log(self) -> list[dict[str, Any]]:
        """log.jsonl: one entry per evaluation."""
        path = self.path / LOG
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def imported(self) -> dict[str, Any]:
        """Where a published checkpoint came from that became this run (file, sha256, kind, clip); empty for a training."""
        return dict(self.config.get("imported", {}))

    @property
    def visual(self) -> str | None:
        """The `gaid extract --visual` argument for the CLIP of an imported checkpoint; None where there is none."""
        model = self.imported.get("clip")
        return f"clip:{model}/{self.path / CLIP}" if model else None

    @property
    def audio_encoder(self) -> str | None:
        """The `gaid extract --audio` argument for the audio encoder of an imported checkpoint; None where there is none."""
        return f"ast:{self.path / AST}" if self.imported.get("ast_sha256") else None

    @property
    def audio(self) -> str:
        """The audio that it was trained with: own, shuffled or none."""
        return str(self.config.get("audio", "own"))

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of the checkpoints of all evaluations, in their order; none unless they were to be kept."""
        names = (path.stem for path in (self.path / CHECKPOINTS).glob(f"{KEPT}*.safetensors"))
        return tuple(sorted(names, key=lambda name: int(name.removeprefix(KEPT))))

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the store that it was trained on, from its first seed: the others may not be there yet."""
        first = self if len(self.seeds) == 1 else Run.read(self.path / f"seed-{self.seeds[0]}")
        return str(first.describe()["store"]["fingerprint"])

    def describe(self, checkpoint: str = "best") -> dict[str, Any]:
        """A checkpoint's description: the head, the store, the seed, the step and its figures on validation."""
        return read_checkpoint(self._checkpoint(checkpoint), tensors=False)[1]

    def load_head(self, checkpoint: str = "best", device: str = "cpu") -> "Head":
        """The head with the weights of a checkpoint ("best" or "last"), for evaluation. Raises RunInvalid, HeadMismatch."""
        if len(self.members) > 1:
            raise RunInvalid(
                f'{self.path}: holds {len(self.members)} seeds; choose one: load_run("{self.members[0].path}").head'
            )
        path = self._checkpoint(checkpoint)
        tensors, description = read_checkpoint(path)
        described = description["head"]
        head = self._build(described)
        kinds = {name: tensor.dtype for name, tensor in head.state_dict().items()}
        other = next((name for name, one in tensors.items() if kinds.get(name, one.dtype) != one.dtype), None)
        if other is not None:
            raise HeadMismatch(f"{path}: {other} is {tensors[other].dtype}, and the head's is {kinds[other]}")
        try:
            head.load_state_dict(tensors)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise HeadMismatch(
                f"{path}: its weights don't fit the head {described['preset']!r} ({reason}); was the class changed?"
            ) from error
        return head.to(device).eval()

    def build_head(self) -> "Head":
        """The head untrained: same parts, same sizes. Seeding is left to the caller."""
        return self._build(self.describe()["head"])

    @property
    def settings(self) -> dict[str, Any]:
        """`config` as this version reads it: with options that heads got later, and the current place of its class.

        Raises CodeRefused where the head's class lies within a run.
        """
        return with_later_options({**self.config, "preset": self._class_at_hand(str(self.config["preset"]))})

    @cached_property
    def head(self) -> "Head":
        """The best checkpoint's head on the CPU."""
        return self.load_head()

    def check_store(self, store: "Store") -> None:
        """Raises StoresDisagree where a store's features are of other backbones than those that the head learned from.

        Another data set with the same backbones is fine: this is how a head is tested on new data. An imported checkpoint
        does not record all of its backbones, so any of the right sizes are accepted; `doubts_about` says so.
        """
        if self.imported:
            return
        trained = self.members[0].describe()["store"]["backbones"]
        given = backbones_of(store)
        wrong = [kind for kind in sorted({*trained, *given}) if trained.get(kind) != given.get(kind)]
        if wrong:
            kind = wrong[0]
            raise StoresDisagree(
                f"{self.path}: its head was trained on {kind} features of {_named(trained.get(kind))}, but "
                f"{store.path} holds those of {_named(given.get(kind))}; "
                "evaluate it on a store of the same backbones, or train a head on this one"
            )

    def doubts_about(self, store: "Store") -> list[str]:
        """Why an imported checkpoint's figures on a store may differ from the published ones; empty for a training."""
        about = self.imported
        if not about:
            return []
        doubts = [
            f"imported from {about.get('file')} ({about.get('kind')}), not trained here; published checkpoints of this "
            "family were chosen on the test videos"
        ]
        described, given = self.describe(), backbones_of(store)
        for kind, published in described["store"]["backbones"].items():
            if (given.get(kind) or {}).get("sha256") != published["sha256"]:
                own = "audio encoder" if kind == "audio" else "CLIP"
                option = f"--audio {self.audio_encoder}" if kind == "audio" else f"--visual {self.visual}"
                doubts.append(
                    f"the store's {kind} features are of {_named(given.get(kind))}, not of the checkpoint's own {own}: this "
                    f"is not the published system (gaid extract {option})"
                )
        if "visual" not in described["store"]["backbones"]:
            doubts.append(
                "the checkpoint holds no CLIP, so it is unknown whether the store's is the one that it was trained with"
            )
        if described["preset"] in ("gaid", "avigate") and "audio" not in described["store"]["backbones"]:
            doubts.append(
                "the checkpoint does not record which audio encoder its head was trained with; the store's is "
                f"{_named(given.get('audio'))}"
            )
        return doubts

    def _checkpoint(self, name: str) -> Path:
        path = self.path / CHECKPOINTS / f"{name}.safetensors"
        if not path.exists():
            raise RunInvalid(f"{path}: no such checkpoint; resume the training: train-head --resume --out {self.path}")
        return path

    def _build(self, described: Mapping[str, Any]) -> "Head":
        return build_described_head({**described, "preset": self._class_at_hand(str(described["preset"]))})

    def _class_at_hand(self, preset: str) -> str:
        """The preset, or the run's own copy of a user's class that can't be found any more."""
        source, colon, name = preset.rpartition(":")
        copy = (self.path if len(self.seeds) == 1 else self.path / f"seed-{self.seed}") / HEAD_SOURCE
        if not colon or plugins.is_there(source) or not copy.is_file():
            return plugins.absolute(preset)
        try:
            plugins.refuse_downloaded(copy)
        except CodeRefused as error:
            raise CodeRefused(
                f"{self.path}: the class of its head, {plugins.shown(preset)}, is not here; put it back, or run the copy that "
                f"the run keeps ({shown_path(copy)}) with {plugins.TRUST}=1 where you trust it"
            ) from error
        return plugins.absolute(f"{copy}:{name}")


def backbones_of(store: "Store") -> dict[str, Any]:
    """The backbones of a store's features as it records them; equal means that one head fits both stores."""
    return dict(store.attrs.get("backbones", {}))


def default_out(preset: str, dataset: str) -> Path:
    """runs/PRESET-DATASET, with what a file's name can't hold replaced."""
    short = preset.rpartition(":")[2] if ":" in preset else preset
    return Path("runs") / (re.sub(r"[^\w.+-]+", "-", f"{short}-{dataset}").strip("-") or "run")


def _named(provenance: Any) -> str:
    if not isinstance(provenance, Mapping):
        return "none"
    name, weights = provenance.get("name", "an unnamed backbone"), provenance.get("sha256") or provenance.get("weights")
    return f"{name} ({str(weights)[:12]})" if weights else str(name)
