"""What is to be said of a published head, put together once: its figures, features, licences and the commands that made it."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaid.audit import Audit, audit
from gaid.backbones import licence_of
from gaid.errors import OptionInvalid, RunInvalid
from gaid.evaluation.evaluate import evaluate
from gaid.evaluation.results import Results
from gaid.extract.sources import options_of
from gaid.media.clip import Sampling
from gaid.publishing.licences import head_licence, is_restricted
from gaid.runs import Model, Run, load_run
from gaid.stores.census import census_of_parts

if TYPE_CHECKING:
    from gaid.heads import Head
    from gaid.stores import Store

# Settings that say where a training read and wrote, or how many heads it made, not what it did.
_PLACES = ("store", "dataset", "seed", "seeds")


@dataclass(frozen=True)
class Backbone:
    """A frozen encoder that the head takes features of: its name, what it encodes, the digest of its weights, its licence."""

    kind: str
    name: str
    sha256: str
    licence: str

    @property
    def restricted(self) -> bool:
        """Whether its licence excludes commercial use."""
        return is_restricted(self.licence)


@dataclass(frozen=True)
class Facts:
    """A head and what its card says of it. `results` are the figures of this head, `over_seeds` those of all seeds of its run."""

    name: str
    run: Run
    member: Run
    store: "Store"
    results: Results
    over_seeds: Results | None
    leak: Audit
    backbones: tuple[Backbone, ...]
    licence: str
    dataset_id: str | None

    @classmethod
    def find(
        cls,
        run: "str | Path | Run",
        name: str,
        *,
        store: "str | Path | Store | None",
        split: str,
        split_protocol: str | None,
        licence: str | None,
        dataset_id: str | None,
        device: str,
        memory: str | int,
        seed: int,
    ) -> "Facts":
        """Evaluates and audits the head of a run's first seed. Raises what `evaluate` and `audit` raise, and RunInvalid."""
        loaded = _publishable(run)
        member = loaded.members[0]
        asked: dict[str, Any] = {"store": store, "split": split, "split_protocol": split_protocol}
        asked |= {"device": device, "memory": memory, "seed": seed}
        results = evaluate(member, **asked)
        over_seeds = evaluate(loaded, **asked) if len(loaded.seeds) > 1 else None
        assert results.bench is not None
        backbones = tuple(_backbones(member.describe()["store"]["backbones"]))
        return cls(
            name=name,
            run=loaded,
            member=member,
            store=results.bench.store,
            results=results,
            over_seeds=over_seeds,
            leak=audit(member, only=["leak"], **asked),
            backbones=backbones,
            licence=licence or head_licence([one.licence for one in backbones]),
            dataset_id=dataset_id,
        )

    @property
    def head(self) -> "Head":
        """The head itself."""
        return self.member.head

    @property
    def preset(self) -> str:
        """The head's preset as a reader elsewhere needs it: a class of one's own lies in head.py."""
        return published_preset(str(self.member.config["preset"]))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the training, without places of this machine."""
        kept = {name: value for name, value in self.member.config.items() if name != "store"}
        return {**kept, "preset": self.preset}

    @property
    def checkpoint(self) -> dict[str, Any]:
        """The checkpoint's description, without places of this machine."""
        about = self.member.describe()
        head = {**about["head"], "preset": published_preset(about["head"]["preset"])}
        store = {name: value for name, value in about["store"].items() if name != "path"}
        kept = {name: about.get(name) for name in ("gaid", "seed", "step", "validation")}
        return {**kept, "preset": self.preset, "head": head, "store": store}

    @property
    def census(self) -> dict[str, dict[str, int]]:
        """The census of each part of the split that the head was judged on."""
        parts = census_of_parts(self.store)[self.results.basis.split_protocol]
        order = {"train": 0, "val": 1, "test": 2}
        return {
            part: {name: count for name, count in parts[part].items() if name != "gallery_hash"}
            for part in sorted(parts, key=lambda part: order.get(part, len(order)))
        }

    @property
    def commands(self) -> list[str]:
        """The commands that make the features, train the head and evaluate it, as far as gaid knows how it was done."""
        train = ["gaid", "train-head", "--store", "STORE", "--config", "training.toml", "--seed", str(self.member.seed)]
        return [
            self.extract_command("--dataset", self.results.basis.dataset),
            shlex.join([*train, "--out", "RUN"]),
            shlex.join(["gaid", "eval", "--run", "RUN", "--split", self.results.basis.split]),
        ]

    def extract_command(self, *data: str) -> str:
        """The command that makes a store of these data with the features that the head takes."""
        return shlex.join(["gaid", "extract", *data, *extract_options(self.store), "--out", "STORE"])

    @property
    def training_settings(self) -> dict[str, Any]:
        """What `train-head --config` takes to train the head again."""
        return {name: value for name, value in self.settings.items() if name not in _PLACES}

    def without_places(self, text: str) -> str:
        """A text in which paths of this machine are replaced by what they are."""
        places = {
            str(self.member.path): self.name,
            str(self.run.path): self.name,
            str(self.store.path): self.store.path.name,
            str(self.member.config["store"]): Path(self.member.config["store"]).name,
            str(self.member.store_path): self.member.store_path.name,
            str(self.member.config["preset"]): self.preset,
            self.member.preset: self.preset,
        }
        for place in sorted(places, key=len, reverse=True):
            text = text.replace(place, places[place])
        return text


def published_preset(preset: str) -> str:
    """The name of a preset; a class of the user's own is the one in head.py, wherever it was."""
    _, colon, name = preset.rpartition(":")
    return f"head.py:{name}" if colon else preset


def extract_options(store: "Store") -> list[str]:
    """The options of `gaid extract` that a store was made with and that are not its defaults."""
    plain = {one.name: one.default for one in fields(Sampling)}
    found = []
    for name, value in options_of(store).items():
        if value in (None, False) or value == plain.get(name):
            continue
        found += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return found


def file_name(text: str) -> str:
    """A text as the name of a file."""
    return re.sub(r"[^\w.+-]+", "-", text).strip("-.") or "head"


def _publishable(run: "str | Path | Run") -> Run:
    """The run. Raises OptionInvalid and RunInvalid for one whose head is not there, or not one's own to publish."""
    loaded = load_run(run)
    if isinstance(loaded, Model):
        raise OptionInvalid(f"{loaded.path}: is a published head already; copy the folder")
    if loaded.imported:
        raise OptionInvalid(
            f"{loaded.path}: was imported from {loaded.imported.get('file')}; publish heads that you trained, and name the authors' "
            "own place for theirs"
        )
    if not loaded.finished:
        raise RunInvalid(f"{loaded.path}: its training is not over; finish it: train-head --resume --out {loaded.path}")
    return loaded


def _backbones(described: Mapping[str, Any]) -> list[Backbone]:
    return [
        Backbone(
            kind, str(about.get("name", "?")), str(about.get("sha256") or ""), licence_of(str(about.get("name")), kind)
        )
        for kind, about in described.items()
        if about
    ]
