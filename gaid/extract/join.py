"""Two libraries as one: the parts of a library that two machines extracted.

The clips and captions of both are copied; nothing is decoded. Where their folders are then brought together, extracting the
whole folder into the joined library finds all clips by their files.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gaid.datasets import DATASETS
from gaid.errors import OptionInvalid, StoresDisagree
from gaid.extract.library import part_plan
from gaid.extract.plan import shard_rows
from gaid.files import check_folder, sync_folder
from gaid.paths import local_path
from gaid.stores.convert import convert_store, copy_captions, copy_rows, plan_of
from gaid.stores.differences import differences_in_kind
from gaid.stores.library_writer import LibraryWriter, Row, Rows
from gaid.stores.schema import StorePlan, digest_json

if TYPE_CHECKING:
    from gaid.stores import Store


@dataclass(frozen=True)
class JoinReport:
    """The joined library, and the clips of the second that the first has as well: id there -> id in the first."""

    store: Path
    clips: int
    twice: dict[str, str] = field(default_factory=dict)


def join_stores(first: str | Path, second: str | Path, out: str | Path) -> JoinReport:
    """A library at `out` (.zarr) with the clips and captions of two. A clip of the second whose files have the digests of
    one of the first is taken once, with the captions of both.

    Raises StoresDisagree for stores of other encoders or sampling, of a data set whose list of clips is fixed, and where two
    clips of one id have other files; OptionInvalid where `out` is there already.
    """
    from gaid.stores import open_store

    one, other, out = open_store(first), open_store(second), local_path(out)
    if out.exists() or out.suffix != ".zarr":
        why = "is there already; name another place" if out.exists() else "a library's name ends in .zarr"
        raise OptionInvalid(f"--out {out}: {why}")
    check_folder(out.parent, "--out")
    _check_alike(one, other)
    twice = _find_twice(one, other)
    plan, places = _join_plans(one, other, twice)
    working = out.with_name(f".joining-{out.name}")
    shutil.rmtree(working, ignore_errors=True)
    convert_store(str(one.path), working)
    videos = [row for row, name in enumerate(other.ids) if name not in twice]
    texts = other.texts("captions/text")
    row_of: dict[str, int] = {}  # a sentence is kept once, whatever the number of its videos
    for place in places:
        if place.part:
            row_of.setdefault(texts[place.row], place.row)
    captions = sorted(row_of.values())
    with LibraryWriter.open(working) as library:
        mine = part_plan(plan_of(other), [other.ids[row] for row in videos], [texts[row] for row in captions])
        with library.new_part(mine) as writer:
            copy_captions(other, writer, np.array(captions, np.int64))
            copy_rows(other, writer, np.array(videos, np.int64))
        part = library.reread(writer)
        rows = [Row("", row) for row in range(len(one.ids))] + [Row(part.name, row) for row in range(len(videos))]
        place_of = {texts[row]: place for place, row in enumerate(captions)}
        found = [Row(part.name, place_of[texts[place.row]]) if place.part else place for place in places]
        library.commit(plan, Rows.of(rows), Rows.of(found), {})
    working.with_name(f".{working.name}.lock").unlink(missing_ok=True)
    working.rename(out)
    sync_folder(out.parent)
    return JoinReport(out, len(rows), twice)


def _check_alike(one: "Store", other: "Store") -> None:
    for store in (one, other):
        name = str(store.attrs.get("dataset", {}).get("name"))
        if name not in DATASETS or not DATASETS[name].grows:
            raise StoresDisagree(
                f"{store.path}: is of {name!r}, whose list of clips is fixed; libraries of folders can be joined"
            )
    found = differences_in_kind(one.arrays.attributes, plan_of(other))
    if one.has_audio_text != other.has_audio_text:
        found.append("captions in the sound's own text space are in one of them only")
    if found:
        raise StoresDisagree(
            f"{one.path} and {other.path} were made in different ways ({one.path} there, {other.path} now): "
            f"{'; '.join(found)}; extract one of them again with the options of the other"
        )


def _find_twice(one: "Store", other: "Store") -> dict[str, str]:
    """Clips of the second store that the first has: id -> id in the first. Raises StoresDisagree for clashes of ids."""
    digests = {
        store.path: {
            name: tuple("" if file is None else file.digest for file in files) for name, files in store.sources.items()
        }
        for store in (one, other)
    }
    by_digest = {key: name for name, key in digests[one.path].items() if all(key)}
    twice = {name: by_digest[key] for name, key in digests[other.path].items() if key in by_digest}
    clash = sorted({*one.ids}.intersection(other.ids).difference(twice))
    if clash:
        some = ", ".join(clash[:3]) + (f" and {len(clash) - 3} more" if len(clash) > 3 else "")
        raise StoresDisagree(
            f"{one.path} and {other.path}: both have {some}, of files with other contents; rename the files under one of the "
            "roots and extract it again, which decodes nothing"
        )
    return twice


def _join_plans(one: "Store", other: "Store", twice: Mapping[str, str]) -> tuple[StorePlan, list[Row]]:
    """The plan of both, and where each of its captions is: ("", row) in the first, ("other", row) in the second."""
    plans = plan_of(one), plan_of(other)
    video_ids = [*one.ids, *(name for name in other.ids if name not in twice)]
    row_of = {name: row for row, name in enumerate(video_ids)}
    ids, texts, videos, counts, places = [], [], [], [], []
    taken: set[str] = set()
    said: set[tuple[int, str]] = set()
    for plan, part in zip(plans, ("", "other"), strict=True):
        for row, (name, text) in enumerate(zip(plan.caption_ids, plan.caption_texts, strict=True)):
            of_plan = plan.video_ids[plan.caption_video[row]]
            video = row_of[twice.get(of_plan, of_plan) if part else of_plan]
            if part and (video, text) in said:
                continue
            said.add((video, text))
            number = 0
            while name in taken:
                name, number = f"{video_ids[video]}#{number}", number + 1
            taken.add(name)
            ids.append(name)
            texts.append(text)
            videos.append(video)
            counts.append(plan.token_offsets[row + 1] - plan.token_offsets[row])
            places.append(Row(part, row))
    rows = shard_rows(len(video_ids))
    sampling = dict(plans[0].attrs["sampling"])
    sampling["clips"] = digest_json([plan.attrs["sampling"].get("clips") for plan in plans])
    splits = _join_splits(plans, row_of, twice, videos)
    joined = replace(
        plans[0],
        video_ids=video_ids,
        caption_ids=ids,
        caption_texts=texts,
        caption_video=videos,
        token_offsets=list(accumulate(counts, initial=0)),
        splits=splits,
        default_protocol=next((plan.default_protocol for plan in plans if plan.default_protocol in splits), "all"),
        attrs={**plans[0].attrs, "sampling": sampling},
        shard_rows=rows,
        chunk_rows=min(50, rows),
    )
    return joined, places


def _join_splits(
    plans: tuple[StorePlan, StorePlan], row_of: Mapping[str, int], twice: Mapping[str, str], videos: list[int]
) -> dict[str, dict[str, list[int]]]:
    """The split protocols that both have: each video is in the part that it was in, in the first where both have it."""
    found: dict[str, dict[str, list[int]]] = {}
    for protocol in plans[0].splits:
        if protocol not in plans[1].splits:
            continue
        part_of: dict[int, str] = {}
        for plan, names in zip(plans, ({}, twice), strict=True):
            for part, rows in plan.splits[protocol].items():
                for row in rows:
                    name = plan.video_ids[plan.caption_video[row]]
                    part_of.setdefault(row_of[names.get(name, name)], part)
        found[protocol] = {}
        for row, video in enumerate(videos):
            if video in part_of:
                found[protocol].setdefault(part_of[video], []).append(row)
    return found
