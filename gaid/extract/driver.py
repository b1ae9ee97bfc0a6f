"""One extraction from its options to its report: the order of the steps, and what is printed on the way.

The work itself is in `plan`, `local`, `cluster` and `gaid.stores`.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaid.console import Progress, StopWish, say, stop_on_signal
from gaid.datasets.types import Dataset, DatasetSpec
from gaid.errors import ExtractInterrupted
from gaid.extract.again import arrived_since, changed_since, describe_changed, name_some, take_arrived
from gaid.extract.library import Library, growing_spec, is_library
from gaid.extract.options import BackboneChoice, Options
from gaid.extract.plan import check_missing, choose_backbones, default_out, make_plan, make_requests, restrict
from gaid.extract.report import (
    Changes,
    ExtractReport,
    Failure,
    describe_clip_tokens,
    find_cut_short,
    no_clip_has_a_track,
)
from gaid.extract.rows import ShardShape
from gaid.extract.shard import ShardJob

if TYPE_CHECKING:
    from gaid.backbones import Backbones
from gaid.paths import local_path
from gaid.stores import Store, StorePlan, StoreWriter

STOPPING = "stopping after the shards at hand; Ctrl-C again stops at once"


@dataclass(frozen=True)
class _Planned:
    """What will be extracted, by which encoders, and where to."""

    dataset: Dataset
    choice: BackboneChoice
    backbones: "Backbones"
    plan: "StorePlan"
    out: Path

    @property
    def shape(self) -> ShardShape:
        plan = self.plan
        tokens = (plan.patches, plan.audio_tokens, plan.audio_clip_tokens)
        return ShardShape(plan.frames, plan.visual_dim, plan.audio_dim, *tokens)


class Extraction:
    """The steps of one extraction: `run` does them in order."""

    def __init__(self, options: Options, backbones: "Backbones | None" = None) -> None:
        """`backbones`: those that the options name, where they are loaded already."""
        self.options = options
        self.started = time.monotonic()
        self.stop_asked = False
        if backbones is not None:
            self.backbones = backbones

    def run(self) -> ExtractReport:
        """Extracts. Wrong options, and encoders that are not at hand, are found before a clip is made or read."""
        options = self.options
        options.check()
        if options.scheduler is not None:
            from gaid.extract.cluster import check_address, check_installed

            check_address(options.scheduler)
            check_installed()
        spec = growing_spec(options)
        if spec is not None and is_library(out := self._out(spec.name)):
            report = self._grow(out, spec)
            if report is not None:
                return report
        choice = self.choice  # found before a data set makes its clips
        dataset, out = self.dataset, self._out(self.dataset.name)
        kept = (options.patches, options.audio_tokens, options.audio_clip_tokens)
        plan = make_plan(dataset, self.backbones, options.sampling, *kept)
        if plan.attrs["random_weights"]:
            self._say("random weights: the features mean nothing, and the store says so")
        if plan.audio_clip_tokens is not None:
            self._say(describe_clip_tokens(plan.audio_clip_tokens, len(plan.video_ids), plan.shard_rows))
        return self._fill(_Planned(dataset, choice, self.backbones, plan, out))

    @contextmanager
    def _stop_on_signal(self) -> Iterator[StopWish]:
        with stop_on_signal(STOPPING if self.options.progress else "") as stop:
            try:
                yield stop
            finally:
                self.stop_asked = stop.asked

    def _out(self, dataset: str) -> Path:
        return Path(default_out(dataset, self.names[0]) if self.options.out is None else self.options.out).expanduser()

    @cached_property
    def names(self) -> tuple[str, str, str | None]:
        """Names of the encoders. Where the data set's clips are yet to be made, the encoders are looked for before that."""
        from gaid.backbones import check_backbones
        from gaid.datasets import DATASETS, USUAL_BACKBONES, get_spec

        options = self.options
        if isinstance(options.dataset, Dataset):
            name = options.dataset.name
            usual = DATASETS[name].default_backbones if name in DATASETS else USUAL_BACKBONES
            return choose_backbones(usual, options.visual, options.audio, options.text)
        spec = get_spec(options.dataset)
        names = choose_backbones(spec.default_backbones, options.visual, options.audio, options.text)
        if spec.prepare is not None:
            check_backbones(*names, options.random_weights)
        return names

    @cached_property
    def choice(self) -> BackboneChoice:
        return self.options.choice(*self.names)

    @cached_property
    def backbones(self) -> "Backbones":
        return self.choice.load()

    @cached_property
    def dataset(self) -> Dataset:
        """The data set, restricted as it was asked for. Raises DataMissing where too much of it is missing."""
        options = self.options
        if isinstance(options.dataset, Dataset):
            dataset = options.dataset
            dataset.validate()
        else:
            from gaid.datasets import load_dataset

            with ExitStack() as stack:
                bar: Progress | None = None

                def show(done: int, total: int) -> None:
                    nonlocal bar
                    if bar is None:
                        bar = stack.enter_context(Progress(f"making {options.dataset}", total, shown=options.progress))
                    bar.advance(done - bar.done)

                dataset = load_dataset(options.dataset, options.root, audio_root=options.audio_root, progress=show)
        if options.limit is not None:
            dataset = restrict(dataset, options.limit)
        for note in dataset.notes:
            self._say(note)
        check_missing(dataset, options.max_missing)
        if dataset.missing:
            self._say(
                f"{len(dataset.missing)} of {len(dataset.videos)} videos are not there; they are listed as failed"
            )
        return dataset

    def _fill(self, planned: _Planned) -> ExtractReport:
        from gaid.stores import StoreWriter, open_store

        out, plan = planned.out, planned.plan
        with ExitStack() as stack:
            stop = stack.enter_context(self._stop_on_signal())
            writer = stack.enter_context(StoreWriter.open(out, plan, overwrite=self.options.overwrite))
            if plan.audio_text and not writer.has_audio_text:
                self._say(
                    f"{out} was begun in schema 1 and stays so, without captions in the sound's own text space "
                    "(captions/audio_embedding); --overwrite extracts all again with them"
                )
            arrived = self._take_arrived(writer, planned.dataset)
            if writer.finished and out.exists():
                heard = self._listen(open_store(out), planned.dataset, stop)
                if not heard:
                    self._say(f"{out} is complete; --overwrite would extract it again")
                return self._report(open_store(out), planned.dataset, already=not heard, arrived=arrived, heard=heard)
            mine = {name for number in writer.pending_shards for name in plan.video_ids[writer.shard_slice(number)]}
            extracted = self._fill_shards(writer, planned, stop)
            heard = self._listen(open_store(writer.path, incomplete=True), planned.dataset, stop)
            try:
                store = writer.finish()
            except KeyboardInterrupt as second:  # what is on disk stays
                raise self._interrupted(writer, out) from second
        return self._report(store, planned.dataset, extracted=extracted, shown=mine, heard=heard)

    def _fill_shards(self, writer: "StoreWriter", planned: _Planned, stop: StopWish) -> int:
        """Extracts all that a store or a part lacks; returns the number of clips. Raises ExtractInterrupted."""
        try:
            self._captions(writer, planned, stop)
            extracted = self._shards(writer, planned, stop)
        except KeyboardInterrupt as second:  # what is on disk stays
            stop.asked = True
            raise self._interrupted(writer, planned.out) from second
        if writer.pending_shards:
            raise self._interrupted(writer, planned.out)
        return extracted

    def _interrupted(self, writer: "StoreWriter", out: Path) -> ExtractInterrupted:
        done = len(writer.shards) - len(writer.pending_shards)
        return ExtractInterrupted(
            f"stopped: {done} of {len(writer.shards)} shards are done; the same command resumes from there ({out})"
        )

    def _grow(self, out: Path, spec: DatasetSpec) -> ExtractReport | None:
        """Brings a store up to date with its folder; None where it only has to be resumed, or is complete."""
        from gaid.stores import open_store
        from gaid.stores.library_writer import LibraryWriter

        with ExitStack() as stack:
            stop = stack.enter_context(self._stop_on_signal())
            writer = stack.enter_context(LibraryWriter.open(out))
            library = Library(writer, self.options, spec, self.backbones)
            self.options = library.options
            if library.unchanged:
                heard = self._listen(open_store(out), None, stop)
                if not heard:
                    self._say(f"{out} has all of its folder; --overwrite would extract it again")
                return self._report(open_store(out), already=not heard, heard=heard)

            def fill(mine: Dataset, plan: "StorePlan", part: "StoreWriter") -> int:
                planned = _Planned(mine, self.choice, self.backbones, plan, out)
                shown.update(video.id for video in mine.videos)
                return self._fill_shards(part, planned, stop)

            shown: set[str] = set()
            found = library.update(self.dataset, fill)
            if found is None:
                return None
            changes, extracted = found
            for what, clips in vars(changes).items():
                if clips:
                    self._say(f"{what}: {name_some(clips)}")
            heard = self._listen(open_store(out), self.dataset, stop)
            return self._report(open_store(out), extracted=extracted, shown=shown, changes=changes, heard=heard)

    def _listen(self, store: "Store", dataset: Dataset | None, stop: StopWish) -> int:
        """Writes down what is said in clips that were not heard yet, where that is wanted; returns how many these were."""
        from gaid.extract.speech import add_speech, choose_transcriber

        device = self.choice.resolved_device
        transcriber = choose_transcriber(store, self.options.speech, device, unchanged=dataset is None)
        if transcriber is None:
            return 0
        videos = (self.dataset if dataset is None else dataset).videos
        return add_speech(store, transcriber, self.backbones.text, videos, self.options, device, stop)

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

    def _captions(self, writer: "StoreWriter", planned: _Planned, stop: StopWish) -> None:
        from gaid.extract.local import write_captions

        if writer.captions_done:
            return
        count, threads = len(planned.plan.caption_ids), self.options.resources.threads
        with Progress("captions", count, unit="captions", shown=self.options.progress and count > 0) as bar:
            write_captions(
                writer,
                planned.plan,
                planned.backbones,
                device=planned.choice.resolved_device,
                threads=threads,
                progress=bar,
                stop=stop,
            )

    def _shards(self, writer: "StoreWriter", planned: _Planned, stop: StopWish) -> int:
        options, ids = self.options, planned.dataset.video_ids
        clip_sound = planned.plan.audio_clip_tokens is not None
        requests = make_requests(planned.dataset, planned.backbones, options.sampling, clip_sound)
        already = len(ids) - sum(_count(writer.shard_slice(number)) for number in writer.pending_shards)
        if already:
            self._say(f"{planned.out}: resuming after {already} of {len(ids)} clips")
        with Progress("clips", len(ids), already, shown=options.progress) as bar:
            if options.scheduler is None:
                from gaid.extract.local import run_local

                return run_local(
                    writer,
                    ids,
                    requests,
                    planned.shape,
                    planned.backbones,
                    planned.choice.resolved_device,
                    options.resources,
                    bar,
                    stop,
                )
            from gaid.extract.cluster import run_on_cluster

            missing = frozenset(planned.dataset.missing)

            def jobs() -> Iterator[ShardJob]:
                for number in list(writer.pending_shards):
                    rows = writer.shard_slice(number)
                    mine = tuple(ids[rows])
                    yield ShardJob(
                        number=number,
                        store=writer.path.absolute(),
                        fingerprint=writer.fingerprint,
                        ids=mine,
                        requests=tuple(requests[rows]),
                        shape=planned.shape,
                        backbones=planned.choice,
                        provenance=planned.plan.attrs["backbones"],
                        missing=missing.intersection(mine),
                        resources=options.resources,
                    )

            return run_on_cluster(jobs(), options.scheduler, bar, stop)

    def _judge_features(self, store: "Store") -> list[str]:
        """A line, which is printed too, for each kind of feature that looks wrong. Those of random weights are not judged."""
        from gaid.stores import examine_features

        lines = [] if store.random_weights else examine_features(store).warnings
        for line in lines:
            self._say(line)
        return lines

    def _report(
        self,
        store: "Store",
        dataset: Dataset | None = None,
        *,
        extracted: int = 0,
        shown: Collection[str] = (),
        already: bool = False,
        arrived: Sequence[str] = (),
        changes: Changes | None = None,
        heard: int = 0,
    ) -> ExtractReport:
        """The report; failures of clips that are not among those `shown` by this run are printed now.

        `dataset`: of a store that has not grown, to look for clips that are cut short, or have another file by now.
        """
        failed = [Failure(one["id"], one["reason"], one["message"]) for one in store.failures]
        for failure in failed:
            if failure.video not in shown:  # an earlier run met it; nothing is left out in silence
                self._say(str(failure))
        shortened = [str(one) for one in find_cut_short(dataset, store)] if dataset else []
        if shortened:
            more = f"{len(shortened)} clips end with their file, before the end that was asked for; the first is "
            self._say((more if len(shortened) > 1 else "") + shortened[0])
        changed = changed_since(store, dataset.videos) if dataset else []
        if changed:
            self._say(f"{describe_changed(changed)}; --overwrite extracts all again")
        if no_clip_has_a_track(store):
            self._say(
                "none of the clips has a sound track; if their sounds are files of their own (ID.wav), name their folder: "
                "--audio-root FOLDER"
            )
        remarks = [f"{one['id']}: {one['message']}" for one in store.remarks]
        if remarks:
            more = f"the pictures of {len(remarks)} clips are worth a look; the first is "
            self._say((more if len(remarks) > 1 else "") + remarks[0])
        return ExtractReport(
            store=local_path(str(store.path)),
            clips=len(store.ids),
            done=len(store.ids) - len(failed),
            failed=failed,
            captions=store.layout["captions"],
            extracted=extracted,
            seconds=time.monotonic() - self.started,
            fingerprint=store.fingerprint,
            census=dict(store.census),
            cut_short=shortened,
            remarks=remarks,
            features=self._judge_features(store),
            random_weights=store.random_weights,
            already_complete=already,
            changed=changed,
            arrived=list(arrived),
            changes=changes or Changes(),
            transcribed=heard,
        )

    def _say(self, line: Any) -> None:
        if self.options.progress:
            say(line)


def _count(rows: slice) -> int:
    return int(rows.stop - rows.start)
