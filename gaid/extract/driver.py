"""One extraction from its arguments to its report: the order of things, and what the user is told on the way.

The work itself is in `plan`, `local`, `cluster` and `gaid.stores`.
"""

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from gaid import plugins
from gaid.console import Progress, StopWish, say, stop_on_signal
from gaid.datasets.types import Dataset
from gaid.errors import ExtractInterrupted, OptionInvalid
from gaid.extract.again import arrived_since, changed_since, name_some, take_arrived, tell_changed
from gaid.extract.plan import (
    check_missing,
    choose_backbones,
    default_out,
    encode_threads,
    make_plan,
    make_requests,
    restrict,
)
from gaid.extract.report import ExtractReport, Failure, cut_short
from gaid.extract.rows import ShardShape
from gaid.extract.shard import BackboneChoice, ShardJob
from gaid.files import check_folder
from gaid.media.clip import AudioSampling, Decoder, Pixels, Sampling
from gaid.paths import local_path

if TYPE_CHECKING:
    from gaid.backbones import Backbones
    from gaid.stores import Store, StorePlan, StoreWriter

STOPPING = "stopping after the shards at hand; Ctrl-C again stops at once"


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """The arguments of `gaid.extract.extract`, where they are explained."""

    dataset: str | Dataset
    root: str | os.PathLike[str] | None
    out: str | os.PathLike[str] | None
    visual: str | None
    audio: str | None
    text: str | None
    frames: int
    decoder: Decoder
    audio_sampling: AudioSampling
    pixels: Pixels
    device: str
    batch_size: int
    workers: int
    clip_seconds: float
    scheduler: str | None
    patches: bool
    audio_tokens: bool
    overwrite: bool
    random_weights: bool
    max_missing: float
    limit: int | None
    progress: bool

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.frames, self.decoder, self.audio_sampling, self.pixels)

    def run(self) -> ExtractReport:
        """Extracts. What is wrong with the arguments, and encoders that can't be had, is found before a clip is made or read."""
        started = time.monotonic()
        self._check()
        if self.out is not None:
            check_folder(local_path(self.out).expanduser().parent, "--out")
        names = self._names()
        dataset = self._load()
        out = Path(default_out(dataset, names[0]) if self.out is None else self.out).expanduser()
        # A worker of a cluster stands elsewhere.
        visual, audio = map(plugins.absolute, names[:2])
        text = names[2] and plugins.absolute(names[2])
        choice = BackboneChoice(visual, audio, text, self.device, self.random_weights, self.patches, self.audio_tokens)
        backbones = choice.load()
        plan = make_plan(dataset, backbones, self.sampling, self.patches, self.audio_tokens)
        if plan.attrs["random_weights"]:
            self._say("random weights: the features mean nothing, and the store says so")
        return self._fill(dataset, choice, backbones, plan, out, started)

    def _names(self) -> tuple[str, str, str | None]:
        """Names of the encoders. Where the data set's clips are yet to be made, the encoders are looked for before that."""
        from gaid.backbones import check_backbones
        from gaid.datasets import DATASETS, USUAL_BACKBONES, get_spec

        if isinstance(self.dataset, Dataset):
            name = self.dataset.name
            usual = DATASETS[name].default_backbones if name in DATASETS else USUAL_BACKBONES
            return choose_backbones(usual, self.visual, self.audio, self.text)
        spec = get_spec(self.dataset)
        names = choose_backbones(spec.default_backbones, self.visual, self.audio, self.text)
        if spec.prepare is not None:
            check_backbones(*names, self.random_weights)
        return names

    def _fill(
        self,
        dataset: Dataset,
        choice: BackboneChoice,
        backbones: "Backbones",
        plan: "StorePlan",
        out: Path,
        started: float,
    ) -> ExtractReport:
        from gaid.stores import StoreWriter, open_store

        extracted = 0
        with ExitStack() as stack:
            stop = stack.enter_context(stop_on_signal(STOPPING if self.progress else ""))
            writer = stack.enter_context(StoreWriter.open(out, plan, overwrite=self.overwrite))
            arrived = self._take_arrived(writer, dataset)
            if writer.finished and out.exists():
                self._say(f"{out} is complete; --overwrite would extract it again")
                return self._report(open_store(out), dataset, plan, 0, started, set(), already=True, arrived=arrived)
            mine = {name for number in writer.pending_shards for name in plan.video_ids[writer.shard_slice(number)]}
            store: Store | None = None
            try:
                self._captions(writer, plan, choice, backbones, stop)
                extracted = self._shards(writer, dataset, plan, choice, backbones, out, stop)
                if not writer.pending_shards:
                    store = writer.finish()
            except KeyboardInterrupt:  # the second: what is on disk stays
                stop.asked = True
            if store is None:
                done = len(writer.shards) - len(writer.pending_shards)
                raise ExtractInterrupted(
                    f"stopped: {done} of {len(writer.shards)} shards are done; the same command goes on from there ({out})"
                )
        return self._report(store, dataset, plan, extracted, started, mine)

    def _take_arrived(self, writer: "StoreWriter", dataset: Dataset) -> list[str]:
        """Plans clips that were missing and are there now; gives those that this store can't take any more."""
        from gaid.stores import open_store

        store = open_store(writer.path, incomplete=True)
        arrived = arrived_since(store, dataset)
        if not arrived:
            return []
        clips = "1 clip that was" if len(arrived) == 1 else f"{len(arrived)} clips that were"
        if writer.path.is_file():
            self._say(
                f"{clips} missing can be extracted now: {name_some(arrived)}; an HDF5 store takes no more clips: "
                "--overwrite extracts all again"
            )
            return arrived
        self._say(f"{clips} missing can be extracted now: {name_some(arrived)}; their shards are extracted again")
        take_arrived(writer, store, arrived)
        return []

    def _check(self) -> None:
        from gaid.media.decode import check_decoder

        for option, value, least in (
            ("--frames", self.frames, 1),
            ("--batch-size", self.batch_size, 1),
            ("--workers", self.workers, 0),
        ):
            if value < least:
                raise OptionInvalid(f"{option} {value}: at least {least}")
        if not 0 < self.clip_seconds < math.inf:
            raise OptionInvalid(f"--clip-seconds {self.clip_seconds:g}: more than 0, and finite")
        check_decoder(self.decoder)
        for option, chosen, known in (
            ("--audio-sampling", self.audio_sampling, get_args(AudioSampling)),
            ("--pixels", self.pixels, get_args(Pixels)),
        ):
            if chosen not in known:
                raise OptionInvalid(f"{option} {chosen}: choose {' or '.join(known)}")
        if self.scheduler is not None:
            from gaid.extract.cluster import check_address, check_installed

            check_address(self.scheduler)
            check_installed()

    def _load(self) -> Dataset:
        if isinstance(self.dataset, Dataset):
            dataset = self.dataset
            dataset.validate()
        else:
            from gaid.datasets import load_dataset

            with ExitStack() as stack:
                bar: Progress | None = None

                def tell(done: int, total: int) -> None:
                    nonlocal bar
                    if bar is None:
                        bar = stack.enter_context(Progress(f"making {self.dataset}", total, shown=self.progress))
                    bar.advance(done - bar.done)

                dataset = load_dataset(self.dataset, self.root, progress=tell)
        if self.limit is not None:
            dataset = restrict(dataset, self.limit)
        for note in dataset.notes:
            self._say(note)
        check_missing(dataset, self.max_missing)
        if dataset.missing:
            self._say(
                f"{len(dataset.missing)} of {len(dataset.videos)} videos are not there; they are listed as failed"
            )
        return dataset

    def _captions(
        self,
        writer: "StoreWriter",
        plan: "StorePlan",
        choice: BackboneChoice,
        backbones: "Backbones",
        stop: StopWish,
    ) -> None:
        from gaid.extract.local import write_captions

        if writer.captions_done:
            return
        shown = self.progress and len(plan.caption_ids) > 0
        with Progress("captions", len(plan.caption_ids), unit="captions", shown=shown) as bar:
            write_captions(
                writer,
                plan,
                backbones.text,
                device=choice.resolved_device,
                threads=encode_threads(),
                progress=bar,
                stop=stop,
            )

    def _shards(
        self,
        writer: "StoreWriter",
        dataset: Dataset,
        plan: "StorePlan",
        choice: BackboneChoice,
        backbones: "Backbones",
        out: Path,
        stop: StopWish,
    ) -> int:
        ids = [video.id for video in dataset.videos]
        requests = make_requests(dataset, backbones, self.sampling)
        shape = ShardShape(plan.frames, plan.visual_dim, plan.audio_dim, plan.patches, plan.audio_tokens)
        pending = list(writer.pending_shards)
        already = len(ids) - sum(_rows(writer.shard_slice(number)) for number in pending)
        if already:
            self._say(f"{out}: going on after {already} of {len(ids)} clips")
        threads = encode_threads()
        with Progress("clips", len(ids), already, shown=self.progress) as bar:
            if self.scheduler is None:
                from gaid.extract.local import run_local

                return run_local(
                    writer,
                    ids,
                    requests,
                    shape,
                    backbones,
                    device=choice.resolved_device,
                    batch_size=self.batch_size,
                    workers=self.workers,
                    threads=threads,
                    clip_seconds=self.clip_seconds,
                    progress=bar,
                    stop=stop,
                )
            from gaid.extract.cluster import run_on_cluster

            missing = frozenset(dataset.missing)

            def jobs() -> Iterator[ShardJob]:
                for number in pending:
                    rows = writer.shard_slice(number)
                    mine = tuple(ids[rows])
                    yield ShardJob(
                        number=number,
                        store=writer.path.absolute(),
                        fingerprint=plan.fingerprint,
                        ids=mine,
                        requests=tuple(requests[rows]),
                        shape=shape,
                        backbones=choice,
                        provenance=plan.attrs["backbones"],
                        missing=missing.intersection(mine),
                        batch_size=self.batch_size,
                        workers=self.workers,
                        threads=threads,
                        clip_seconds=self.clip_seconds,
                    )

            return run_on_cluster(jobs(), self.scheduler, bar, stop)

    def _report(
        self,
        store: "Store",
        dataset: Dataset,
        plan: "StorePlan",
        extracted: int,
        started: float,
        told: set[str],
        already: bool = False,
        arrived: Sequence[str] = (),
    ) -> ExtractReport:
        failed = [Failure(one["id"], one["reason"], one["message"]) for one in store.failures]
        for failure in failed:
            if failure.video not in told:  # an earlier run met it; nothing is left out in silence
                self._say(str(failure))
        shortened = cut_short(dataset, store)
        if shortened:
            more = f"{len(shortened)} clips end with their file, before the end that was asked for; the first is "
            self._say((more if len(shortened) > 1 else "") + shortened[0])
        changed = changed_since(store, dataset.videos)
        if changed:
            self._say(f"{tell_changed(changed)}; --overwrite extracts all again")
        remarks = [f"{one['id']}: {one['message']}" for one in store.remarks]
        if remarks:
            more = f"the pictures of {len(remarks)} clips are worth a look; the first is "
            self._say((more if len(remarks) > 1 else "") + remarks[0])
        return ExtractReport(
            store=Path(store.path),
            clips=len(plan.video_ids),
            done=len(plan.video_ids) - len(failed),
            failed=failed,
            captions=len(plan.caption_ids),
            extracted=extracted,
            seconds=time.monotonic() - started,
            fingerprint=plan.fingerprint,
            census=dict(store.census),
            cut_short=shortened,
            remarks=remarks,
            random_weights=bool(plan.attrs["random_weights"]),
            already_complete=already,
            changed=changed,
            arrived=list(arrived),
        )

    def _say(self, line: Any) -> None:
        if self.progress:
            say(line)


def _rows(rows: slice) -> int:
    return int(rows.stop - rows.start)
