"""From the arguments of `train` to trainings: store, settings, run folder, seeds. The steps themselves are `loop`."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout

from gaid import files, runs
from gaid.devices import pick_device
from gaid.errors import DataMissing, OptionInvalid, RunInvalid, StoreIncomplete, StoresDisagree
from gaid.heads import Head
from gaid.metrics import NAMES
from gaid.paths import whole_path
from gaid.settings import resolve, to_tables, to_toml
from gaid.stores import Split, Store, with_audio
from gaid.training.batches import hold_out
from gaid.training.environment import describe_environment, settings_for_a_while, version_of
from gaid.training.loop import Loop
from gaid.training.options import TrainConfig, decide, differences, gather, preset_of, with_head
from gaid.training.validation import Validation


class Session:
    """One call of `train`. Everything that can be wrong is found before anything is written."""

    def __init__(
        self,
        store: Any,
        *,
        preset: str | None,
        out: str | Path | None,
        seed: int | None,
        seeds: int | None,
        config: str | Path | Mapping[str, Any] | None,
        options: Sequence[str],
        device: str,
        resume: bool,
        overwrite: bool,
        split_protocol: str | None,
        protocol: str | None,
        progress: bool,
        allow_incomplete: bool,
    ) -> None:
        if resume and overwrite:
            raise OptionInvalid("--resume goes on with a run and --overwrite replaces it; choose one of them")
        self.device = pick_device(device)
        self.progress = progress
        self.resume = resume
        self.store = _open(store, allow_incomplete)
        layers = gather(
            preset=preset, seed=seed, seeds=seeds, split_protocol=split_protocol, protocol=protocol, config=config,
            options=options,
        )  # fmt: skip
        self.out = Path(out) if out is not None else runs.default_out(preset_of(layers), self.store.dataset)
        exists = _looks_like_a_run(self.out)
        earlier = None
        if exists and not overwrite:
            if not resume:
                raise OptionInvalid(
                    f"{self.out}: holds a run already; go on with it (--resume), replace it (--overwrite) "
                    "or choose another place (--out)"
                )
            earlier = runs.load_run(self.out).settings
            if "imported" in earlier:
                raise OptionInvalid(
                    f"{self.out}: was imported, so there is no training to go on with; give another --out"
                )
            layers = [("run", earlier), *layers]
            if preset_of(layers) != earlier["preset"]:
                raise OptionInvalid(
                    f"{self.out}: is a run of preset {earlier['preset']!r}, not {preset_of(layers)!r}; leave the preset out "
                    "to go on with it, or train anew with --overwrite or another --out"
                )
        settings = decide(layers)
        with settings_for_a_while(self.device, settings.threads, settings.matmul):
            head, described = _build(self.store, settings)
        if settings.protocol != "query" and not head.trains_by_own_caption:
            raise OptionInvalid(
                f"--protocol {settings.protocol}: {settings.preset} gates no video by a caption; train it under query"
            )
        self.split, self.validation_split = _parts(self.store, settings)
        settings = replace(
            settings,
            store=str(whole_path(self.store.path)),
            dataset=self.store.dataset,
            split_protocol=self.split.protocol,
        )
        self.settings = with_head(settings, described["arguments"])
        if earlier is not None:
            changed = differences(resolve(TrainConfig, [(str(self.out), earlier)]), self.settings)
            if changed:
                raise OptionInvalid(
                    f"{self.out}: a run goes on with the settings that it began with, but {'; '.join(changed)}; "
                    "leave them out, or train anew with --overwrite or another --out"
                )
        self.overwrite = overwrite and exists

    def run(self) -> runs.Run:
        """All trainings, one after the other; finished ones are left alone. Raises RunInvalid where another one writes."""
        self.out.mkdir(parents=True, exist_ok=True)
        file = self.out / ".lock"
        try:
            with FileLock(file, timeout=0):
                try:
                    return self._run()
                finally:
                    file.unlink(missing_ok=True)
        except Timeout:
            raise RunInvalid(
                f"{self.out}: another training writes into it; wait for it, or give another --out"
            ) from None

    def _run(self) -> runs.Run:
        if self.overwrite:
            runs.clear_run(self.out)
        self._write_settings(self.out, self.settings)
        if self.settings.seeds == 1:
            self._train(self.out, self.settings)
            return runs.load_run(self.out)
        first = self.settings.seed
        for seed in range(first, first + self.settings.seeds):
            member, settings = self.out / f"seed-{seed}", replace(self.settings, seed=seed, seeds=1)
            member.mkdir(exist_ok=True)
            self._write_settings(member, settings)
            self._train(member, settings)
        whole = runs.load_run(self.out)
        files.write_json(self.out / runs.METRICS, _over_seeds(whole))
        return whole

    def _write_settings(self, out: Path, settings: TrainConfig) -> None:
        text = "# Everything that this run was trained with; `gaid train-head --config` takes this file.\n\n"
        files.write_bytes(out / runs.CONFIG, (text + to_toml(settings)).encode())

    def _train(self, out: Path, settings: TrainConfig) -> None:
        if runs.load_run(out).finished:
            return
        with settings_for_a_while(self.device, settings.threads, settings.matmul):
            head, described = _build(self.store, settings)
            source = _source_of(settings.preset)
            if source is not None:
                files.write_bytes(out / runs.HEAD_SOURCE, source)
            description = {
                "gaid": version_of("gaid"),
                "preset": settings.preset,
                "seed": settings.seed,
                "head": described,
                "store": self._store_description(),
                "config": to_tables(settings),
            }
            validation = Validation(self.validation_split, head, self.device, settings.protocol)
            head = head.to(self.device)
            loop = Loop(head, settings, self.split, validation, out, self.device, description, self.progress)
            self._check_resumable(loop)
            if not loop.resume_file.exists():
                (out / runs.LOG).unlink(missing_ok=True)
                files.write_json(out / runs.ENVIRONMENT, describe_environment(self.device))
            loop.run()

    def _store_description(self) -> dict[str, Any]:
        store = self.store
        return {
            "path": str(whole_path(store.path)),
            "dataset": store.dataset,
            "protocol": self.settings.split_protocol,
            "fingerprint": store.fingerprint,
            "missing_shards": list(store.missing_shards),
            "backbones": runs.backbones_of(store),
        }

    def _check_resumable(self, loop: Loop) -> None:
        """Raises StoresDisagree where the run began on other data than the store holds now."""
        if not loop.resume_file.exists():
            return
        before = runs.read_checkpoint(loop.resume_file, tensors=False)[1]["identity"]
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
    """What `train` would train with, the head's every option with it. Raises OptionInvalid."""
    layers = gather(
        preset=preset, seed=0, seeds=seeds, split_protocol=None, protocol=None, config=None, options=tuple(set)
    )
    settings = decide(layers)
    return with_head(settings, _build(store, settings)[1]["arguments"])


def settings_in(run: runs.Run) -> TrainConfig:
    """What a run was trained with. Raises OptionInvalid for one of a version with other settings."""
    return resolve(TrainConfig, [(str(run.path), run.settings)])


def _build(store: Store, settings: TrainConfig) -> tuple[Head, dict[str, Any]]:
    torch.manual_seed(settings.seed)
    return runs.resolve_head(
        settings.preset,
        visual_dim=store.visual_dim,
        audio_dim=store.audio_dim,
        text_dim=store.text_dim,
        frames=store.frames,
        options=settings.head,
        audio_token_dim=store.audio_token_shape[1] if store.audio_token_shape else None,
    )


def _open(store: Any, allow_incomplete: bool) -> Any:
    if isinstance(store, (str, Path)):
        from gaid.stores import open_store

        store = open_store(store, incomplete=allow_incomplete)
    missing = store.missing_shards
    if missing and not allow_incomplete:
        raise StoreIncomplete(
            f"{store.path}: {len(missing)} parts are not extracted yet; run the extraction again, or train on what is "
            "there with --allow-incomplete"
        )
    if "captions" in missing:
        raise StoreIncomplete(f"{store.path}: its captions are not extracted yet; run the extraction again")
    return store


def _looks_like_a_run(out: Path) -> bool:
    if out.exists() and not out.is_dir():
        raise OptionInvalid(f"{out}: is a file; a run needs a folder (--out)")
    files.check_folder(out, "--out")
    return (out / runs.CONFIG).exists()


def _check_train_part(store: Any, asked: str | None) -> None:
    """Raises DataMissing where the store's default split has nothing to train on, naming the splits that have."""
    if asked is not None or store.protocols[store.default_protocol].get("train"):
        return
    others = [name for name, parts in store.protocols.items() if parts.get("train")]
    if others:
        raise DataMissing(
            f"{store.path}: its default split, {store.default_protocol!r}, has no training part (too few captioned videos to "
            f"divide); train on few with --split-protocol {' or '.join(others)}, or evaluate without training: gaid eval "
            f"--store {store.path} --preset mean-pool"
        )


def _parts(store: Any, settings: TrainConfig) -> tuple[Split, Split]:
    """The training part and the validation part, with the audio that was asked for."""
    _check_train_part(store, settings.split_protocol)
    split = with_audio(store.split("train", settings.split_protocol), settings.audio, settings.seed)
    parts = store.protocols[split.protocol]
    if not split.video_ids:
        raise DataMissing(f"{store.path}: no training video that could be read under protocol {split.protocol!r}")
    if parts.get(settings.validation, 0):
        part = store.split(settings.validation, split.protocol)
        if not part.video_ids:
            raise DataMissing(
                f"{store.path}: no {settings.validation} video that could be read; give another --set validation"
            )
        return split, with_audio(part, settings.audio, settings.seed)
    if settings.validation != TrainConfig.validation:
        known = ", ".join(name for name, rows in parts.items() if rows)
        raise OptionInvalid(f"validation={settings.validation}: {store.path} has no such part; it has {known}")
    return hold_out(split, settings.holdout)


def _source_of(preset: str) -> bytes | None:
    """The code of a head of one's own, to be kept beside its weights; None for a preset."""
    if ":" not in preset:
        return None
    file = inspect.getsourcefile(runs.find_class(preset))
    return None if file is None else Path(file).read_bytes()


def _over_seeds(run: runs.Run) -> dict[str, Any]:
    """metrics.json of a run of several seeds: their mean on validation, and each one's."""
    members = {str(member.seed): member.metrics for member in run.members}
    if not all(found.get("finished") for found in members.values()):
        raise RunInvalid(f"{run.path}: not all of its seeds are trained; go on with --resume")
    mean = {
        way: {name: float(np.mean([found["best"][way][name] for found in members.values()])) for name in NAMES}
        for way in ("t2v", "v2t")
    }
    return {
        "preset": run.preset,
        "seeds": list(run.seeds),
        "finished": True,
        "best": mean,
        "seconds": round(sum(found["seconds"] for found in members.values()), 3),
        "members": members,
    }
