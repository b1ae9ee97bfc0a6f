"""From the arguments of `train` to trainings: settings, run folder, seeds. The steps themselves are `loop`.

Everything that can be wrong is found before anything is written.
"""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout

from gaid import files
from gaid.devices import parse_memory, pick_device
from gaid.errors import OptionInvalid, RunInvalid, StoresDisagree
from gaid.heads import Head
from gaid.metrics import DIRECTIONS, NAMES
from gaid.runs import Run, backbones_of, load_run, resolve_head
from gaid.runs.factory import find_class
from gaid.runs.files import CONFIG, ENVIRONMENT, HEAD_SOURCE, LOG, METRICS, read_checkpoint
from gaid.runs.library import meet_library
from gaid.runs.opening import clear_run
from gaid.runs.run import default_out
from gaid.settings import resolve, to_tables, to_toml
from gaid.stores import Split, Store
from gaid.training.data import load_parts, open_for_training
from gaid.training.environment import describe_environment, process_settings
from gaid.training.loop import Loop
from gaid.training.options import (
    Layers,
    TrainConfig,
    TrainRequest,
    decide,
    differences,
    gather,
    preset_of,
    with_head,
)
from gaid.training.start import start_as_text
from gaid.training.validation import Validation
from gaid.versions import version_of

_Built = tuple[Head, dict[str, Any]]
"""A head before training, and the description that builds it again."""


def run_trainings(request: TrainRequest) -> Run:
    """Does what `train` was asked for: all seeds, one after the other."""
    if request.resume and request.overwrite:
        raise OptionInvalid("--resume continues a run and --overwrite replaces it; choose one of them")
    device = pick_device(request.device)
    memory = parse_memory(request.memory, device)
    store = open_for_training(request.store, request.allow_incomplete)
    layers = gather(request)
    out = Path(request.out) if request.out is not None else default_out(preset_of(layers), store.dataset)
    exists = _looks_like_a_run(out)
    earlier = _settings_of_earlier(request, out, layers) if exists and not request.overwrite else None
    settings = decide([("run", earlier), *layers] if earlier is not None else layers, store)
    with process_settings(device, settings.threads, settings.matmul):
        first = _build(store, settings)
        _check_protocol(settings, first[0])
        split, validation = load_parts(store, settings)
        settings = _complete(settings, store, split, first[1]["arguments"])
        if earlier is not None:
            _check_unchanged(out, earlier, settings)
        session = Session(
            store, settings, out, split, validation, device, memory, request.progress, request.overwrite and exists
        )
        return session.run(first)


@dataclass(frozen=True)
class Session:
    """A training of all seeds that passed every check: what is trained, on what, and where it is written.

    `memory`: bytes that scoring on validation may take. `replaces`: the run in `out` is removed first.
    """

    store: Store
    settings: TrainConfig
    out: Path
    split: Split
    validation: Split
    device: str
    memory: int
    progress: bool
    replaces: bool

    def run(self, first: _Built) -> Run:
        """Trains what has not finished yet; `first` is the head of the first seed, just built.

        Raises RunInvalid where another training writes into the folder.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        file = self.out / ".lock"
        try:
            with FileLock(file, timeout=0):
                try:
                    return self._run(first)
                finally:
                    file.unlink(missing_ok=True)
        except Timeout:
            raise RunInvalid(
                f"{self.out}: another training writes into it; wait for it, or give another --out"
            ) from None

    def _run(self, first: _Built) -> Run:
        if self.replaces:
            clear_run(self.out)
        _write_settings(self.out, self.settings)
        if self.settings.seeds == 1:
            self._train(self.out, self.settings, first)
            return load_run(self.out)
        for number in range(self.settings.seeds):
            seed = self.settings.seed + number
            member, settings = self.out / f"seed-{seed}", replace(self.settings, seed=seed, seeds=1)
            member.mkdir(exist_ok=True)
            _write_settings(member, settings)
            self._train(member, settings, first if number == 0 else None)
        whole = load_run(self.out)
        files.write_json(self.out / METRICS, _over_seeds(whole))
        return whole

    def _train(self, out: Path, settings: TrainConfig, built: _Built | None) -> None:
        """One seed. Nothing draws random numbers between the building of its head and its first step."""
        if load_run(out).finished:
            return
        head, described = built or _build(self.store, settings)
        source = _source_of(settings.preset)
        if source is not None:
            files.write_bytes(out / HEAD_SOURCE, source)
        description = {
            "gaid": version_of("gaid") or "not installed",
            "preset": settings.preset,
            "seed": settings.seed,
            "head": described,
            "store": self._store_description(),
            "config": to_tables(settings),
        }
        head = head.to(self.device)
        validation = Validation(self.validation, head, self.device, settings.protocol, memory=self.memory)
        loop = Loop(head, settings, self.split, validation, out, self.device, description, self.progress)
        if loop.resume_file.exists():
            self._check_same_data(loop)
        else:
            (out / LOG).unlink(missing_ok=True)
            files.write_json(out / ENVIRONMENT, describe_environment(self.device))
        loop.run()

    def _store_description(self) -> dict[str, Any]:
        store = self.store
        return {
            "path": store.address,
            "dataset": store.dataset,
            "protocol": self.settings.split_protocol,
            "fingerprint": store.fingerprint,
            "missing_shards": list(store.missing_shards),
            "backbones": backbones_of(store),
        }

    def _check_same_data(self, loop: Loop) -> None:
        """Raises StoresDisagree where the run began on other data than the store holds now."""
        before = read_checkpoint(loop.resume_file, tensors=False)[1]["identity"]
        now = self._store_description()
        if before["fingerprint"] != now["fingerprint"]:
            raise StoresDisagree(
                f"{loop.out}: began on the store {before['path']} ({before['fingerprint'][:12]}), but "
                f"{now['path']} is another ({now['fingerprint'][:12]}); give that store, or train anew with --overwrite"
            )
        if before["missing_shards"] != now["missing_shards"]:
            raise StoresDisagree(
                f"{loop.out}: began when {len(before['missing_shards'])} shards of {now['path']} were missing, now "
                f"{len(now['missing_shards'])} are; train anew with --overwrite"
            )


def planned_settings(store: Store, preset: str, *, seeds: int, set: Iterable[str] = ()) -> TrainConfig:
    """The settings that `train` would use, with every option of the head. Raises OptionInvalid."""
    settings = decide(gather(TrainRequest(store, preset, seed=0, seeds=seeds, set=tuple(set))), store)
    return with_head(settings, _build(store, settings)[1]["arguments"])


def settings_in(run: Run) -> TrainConfig:
    """The settings that a run was trained with. Raises OptionInvalid for one of a version with other settings."""
    return resolve(TrainConfig, [(str(run.path), run.settings)])


def _settings_of_earlier(request: TrainRequest, out: Path, layers: Layers) -> dict[str, Any]:
    """The settings of the run in `out` that is to be resumed. Raises OptionInvalid where it can't be."""
    if not request.resume:
        raise OptionInvalid(
            f"{out}: holds a run already; resume it (--resume), replace it (--overwrite) or choose another place (--out)"
        )
    earlier = load_run(out).settings
    if "imported" in earlier:
        raise OptionInvalid(f"{out}: was imported, so there is no training to resume; give another --out")
    preset = preset_of([("run", earlier), *layers])
    if preset != earlier["preset"]:
        raise OptionInvalid(
            f"{out}: is a run of preset {earlier['preset']!r}, not {preset!r}; leave the preset out to resume it, or train "
            "anew with --overwrite or another --out"
        )
    return earlier


def _check_protocol(settings: TrainConfig, head: Head) -> None:
    if settings.protocol != "query" and not head.trains_by_own_caption:
        raise OptionInvalid(
            f"--protocol {settings.protocol}: {settings.preset} gates no video by a caption; train it under query"
        )


def _complete(settings: TrainConfig, store: Store, split: Split, arguments: Mapping[str, Any]) -> TrainConfig:
    """The settings with everything that the store and the head as it was built decide."""
    path = store.address
    return with_head(replace(settings, store=path, dataset=store.dataset, split_protocol=split.protocol), arguments)


def _check_unchanged(out: Path, earlier: Mapping[str, Any], settings: TrainConfig) -> None:
    changed = differences(resolve(TrainConfig, [(str(out), earlier)]), settings)
    if changed:
        raise OptionInvalid(
            f"{out}: a run is resumed with the settings that it began with, but {'; '.join(changed)}; leave them out, or "
            "train anew with --overwrite or another --out"
        )


def _build(store: Store, settings: TrainConfig) -> _Built:
    torch.manual_seed(settings.seed)
    head, described = resolve_head(
        settings.preset,
        visual_dim=store.visual_dim,
        audio_dim=store.audio_dim,
        text_dim=store.text_dim,
        frames=store.frames,
        options=settings.head,
        audio_token_dims=store.audio_token_dims,
    )
    if settings.start == "text":
        start_as_text(head, store)
    meet_library(head, store)
    return head, described


def _looks_like_a_run(out: Path) -> bool:
    if out.exists() and not out.is_dir():
        raise OptionInvalid(f"{out}: is a file; a run needs a folder (--out)")
    files.check_folder(out, "--out")
    return (out / CONFIG).exists()


def _write_settings(out: Path, settings: TrainConfig) -> None:
    text = "# Everything that this run was trained with; `gaid train-head --config` takes this file.\n\n"
    files.write_bytes(out / CONFIG, (text + to_toml(settings)).encode())


def _source_of(preset: str) -> bytes | None:
    """The code of a head of the user's own, to be kept beside its weights; None for a preset."""
    if ":" not in preset:
        return None
    file = inspect.getsourcefile(find_class(preset))
    return None if file is None else Path(file).read_bytes()


def _over_seeds(run: Run) -> dict[str, Any]:
    """metrics.json of a run of several seeds: their mean on validation, and each one's."""
    members = {str(member.seed): member.metrics for member in run.members}
    if not all(found.get("finished") for found in members.values()):
        raise RunInvalid(f"{run.path}: not all of its seeds are trained; resume it with --resume")
    # A seed that was trained by an older version may lack a metric.
    shared = [
        name for name in NAMES if all(name in found["best"][way] for found in members.values() for way in DIRECTIONS)
    ]
    mean = {
        way: {name: float(np.mean([found["best"][way][name] for found in members.values()])) for name in shared}
        for way in DIRECTIONS
    }
    return {
        "preset": run.preset,
        "seeds": list(run.seeds),
        "finished": True,
        "best": mean,
        "seconds": round(sum(found["seconds"] for found in members.values()), 3),
        "members": members,
    }
