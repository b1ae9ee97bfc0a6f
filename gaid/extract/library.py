"""A folder that is extracted again into its library: what is new is decoded into a part of its own, the rest stays.

What is new is found out in `growth`; this is the order of the steps. Decoding and encoding are the caller's.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from operator import sub
from pathlib import Path
from typing import TYPE_CHECKING

from gaid.datasets import get_spec
from gaid.datasets.types import Dataset, DatasetSpec
from gaid.errors import StoresDisagree
from gaid.extract.growth import SOUNDS, compare, known_listing
from gaid.extract.options import Options
from gaid.extract.plan import make_plan, shard_rows
from gaid.extract.report import Changes
from gaid.extract.shard import naming_disk_faults
from gaid.paths import whole_path
from gaid.source_files import Listing
from gaid.stores.compaction import merge_small_parts
from gaid.stores.differences import differences_in_kind
from gaid.stores.library_writer import LibraryWriter, Row, Rows
from gaid.stores.schema import StorePlan

if TYPE_CHECKING:
    from gaid.backbones import Backbones
    from gaid.stores import StoreWriter

Fill = Callable[[Dataset, StorePlan, "StoreWriter"], int]
"""Extracts a data set into a part, or raises ExtractInterrupted; returns the number of clips."""


def growing_spec(options: Options) -> DatasetSpec | None:
    """The data set, where a store of it may grow and this extraction may make it grow, rather than try out or replace."""
    if isinstance(options.dataset, Dataset) or options.limit is not None or options.overwrite:
        return None
    spec = get_spec(options.dataset)
    return spec if spec.grows else None


def is_library(out: Path) -> bool:
    """Whether a store that can grow is at `out`."""
    return out.suffix == ".zarr" and (out / "zarr.json").is_file()


class Library:
    """A store of a folder, locked, and the folder as it is now."""

    def __init__(self, writer: LibraryWriter, options: Options, spec: DatasetSpec, backbones: "Backbones") -> None:
        self.writer = writer
        self.backbones = backbones
        about = writer.attributes["attrs"].get("dataset", {})
        # A library knows its folder; naming another one moves it.
        self.options = replace(
            options,
            root=options.root or about.get("root"),
            audio_root=options.audio_root or about.get("audio_root"),
        )
        empty = Dataset(spec.name, Path(self.options.root or spec.default_root), (), (), {}, "all")
        self.kind = self._plan(empty)  # what all parts share
        found = differences_in_kind(writer.attributes, self.kind)
        if about.get("name") != spec.name:
            found.insert(0, f"the data set: {about.get('name')} there, {spec.name} now")
        if found:
            raise StoresDisagree(
                f"{writer.path}: can't take more clips, since its own were made in another way: {'; '.join(found)}; give "
                "those options, extract elsewhere (--out), or replace it (--overwrite)"
            )
        root, sounds = empty.root.expanduser(), self.options.audio_root
        folders = [("", root)] if sounds is None else [("", root), (SOUNDS, Path(sounds).expanduser())]
        self.listing = Listing.of(folders, spec.grows)
        self.unmoved = about.get("root") == str(whole_path(root))

    def _plan(self, dataset: Dataset, counted: dict[str, int] | None = None) -> StorePlan:
        options = self.options
        kept = (options.patches, options.audio_tokens, options.audio_clip_tokens)
        return make_plan(dataset, self.backbones, options.sampling, *kept, counted)

    @property
    def unchanged(self) -> bool:
        """Whether the folder is as it was when the library was last brought up to date."""
        return self.unmoved and known_listing(self.writer) == self.listing

    def update(self, dataset: Dataset, fill: Fill) -> tuple[Changes, int] | None:
        """Brings the library up to date. Returns what differed and how many clips were decoded; None where the store
        never grew and need not: it is then complete, or to be resumed."""
        texts, counts = self._known_texts()
        plan = self._plan(dataset, counts)
        growth = compare(self.writer, dataset, self.listing, plan)
        there = self.writer.attributes
        alike = there["fingerprint"] == plan.as_of(there["gaid_schema"]).fingerprint
        if not self.writer.grown and alike and not growth.changes.replaced and not growth.read:
            return None
        new_texts = [text for text in dict.fromkeys(plan.caption_texts) if text not in texts]
        extracted = 0
        if growth.lacking or new_texts:
            ids = [video.id for video in growth.lacking]
            mine = replace(
                dataset, videos=tuple(growth.lacking), captions=(), missing=tuple({*dataset.missing}.intersection(ids))
            )
            planned = part_plan(plan, ids, new_texts)
            with self.writer.new_part(planned) as writer:
                extracted = fill(mine, planned, writer)
            part = self.writer.reread(writer)
            growth.fill(part.name)
            texts |= {text: Row(part.name, row) for row, text in enumerate(new_texts)}
        with naming_disk_faults(self.writer.path):
            self.writer.commit(
                plan,
                growth.rows,
                Rows.of([texts[text] for text in plan.caption_texts]),
                growth.arrays,
            )
            merge_small_parts(self.writer)
        return growth.changes, extracted

    def _known_texts(self) -> tuple[dict[str, Row], dict[str, int]]:
        """Where each text that is encoded already is, and how many tokens it has."""
        rows: dict[str, Row] = {}
        counts: dict[str, int] = {}
        for part in self.writer.parts.values():
            texts = part.texts(self.kind)
            rows |= {text: Row(part.name, row) for row, text in enumerate(texts)}
            counts |= zip(texts, part.token_counts().tolist() if texts else [], strict=True)
        return rows, counts


def part_plan(plan: StorePlan, videos: list[str], texts: list[str]) -> StorePlan:
    """The plan of a part that holds some of a library's videos and captions. Its captions name no video: which video a
    caption is of stands in the view."""
    counts = dict(zip(plan.caption_texts, map(sub, plan.token_offsets[1:], plan.token_offsets), strict=True))
    ids = dict(zip(reversed(plan.caption_texts), reversed(plan.caption_ids), strict=True))
    rows = shard_rows(len(videos))
    return replace(
        plan,
        video_ids=videos,
        caption_ids=[ids[text] for text in texts],
        caption_texts=texts,
        caption_video=[-1] * len(texts),
        token_offsets=list(accumulate((counts[text] for text in texts), initial=0)),
        splits={},
        shard_rows=rows,
        chunk_rows=min(50, rows),
    )
