"""What `gaid datasets NAME --check` prints; the check itself is `gaid.extract.check`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaid.cli.common import give
from gaid.console import Progress, print_table, say, show

if TYPE_CHECKING:
    from gaid.extract.check import CheckReport

SOMETHING_WRONG = 3
SHOWN = 20


def check_dataset(
    name: str, root: Path | None, store: Path | None, frames: int, decode: bool, workers: int, json: bool
) -> int:
    """Checks and prints; returns the exit code."""
    report = _look(name, root, store, frames, decode, workers)
    if json:
        give(report.to_dict())
    else:
        _print(report)
    return SOMETHING_WRONG if report.wrong else 0


def _look(name: str, root: Path | None, store: Path | None, frames: int, decode: bool, workers: int) -> "CheckReport":
    from gaid.datasets import get_spec, load_dataset
    from gaid.errors import DataMissing, StoresDisagree
    from gaid.extract.check import CheckReport, check_clips, check_headers, check_store, count_published

    spec = get_spec(name)
    place = Path(spec.default_root if root is None else root)
    if spec.prepare is not None and not place.exists():
        raise DataMissing(f"{name}: not made yet; `gaid extract --dataset {name}` makes it in {place}")
    dataset = load_dataset(name, root)
    counted = count_published(dataset, spec.published)
    if store is not None:
        from gaid.stores import open_store

        opened = open_store(store)
        if opened.dataset != dataset.name:
            raise StoresDisagree(f"{store}: holds {opened.dataset}, not {dataset.name}; give a store of {dataset.name}")
        return CheckReport(dataset, "store", opened.frames, check_store(dataset, opened), counted)
    if decode:
        there = len(dataset.videos) - len(dataset.missing)
        with Progress(f"decoding {name}", there) as bar:
            findings = check_clips(dataset, frames, workers, bar.advance)
        return CheckReport(dataset, "clips", frames, findings, counted)
    missing = set(dataset.missing)
    files = len({video.path for video in dataset.videos if video.id not in missing})
    with Progress(f"opening {name}", files, unit="files") as bar:
        findings = check_headers(dataset, frames, workers, bar.advance)
    return CheckReport(dataset, "headers", frames, findings, counted, unknown=("silent",))


def _print(report: "CheckReport") -> None:
    from gaid.extract.check import FAULTS, TRAITS

    if report.counted:
        rows = [
            [one.published.protocol, " + ".join(one.published.parts), *_pair(one.videos, one.published.videos),
             *_pair(one.captions, one.published.captions), "" if one.equal else "DIFFERS", one.published.source]
            for one in report.counted
        ]  # fmt: skip
        print_table("Counts", ["protocol", "part", "videos", "published", "captions", "published", "", "by"], rows)
    looked = {
        "headers": "by the files' headers (--decode decodes every clip)",
        "clips": "every clip decoded",
        "store": "as the extraction recorded them",
    }
    names = ["asked", "found", "unreadable", "usable", *TRAITS, "captions", "duplicate captions"]
    rows = [
        [protocol, part, *("?" if one[entry] is None else one[entry] for entry in names), one["gallery_hash"][:12]]
        for protocol, parts in report.parts().items()
        for part, one in parts.items()
    ]
    print_table(
        f"Clips, {looked[report.looked]}, {report.frames} frames", ["protocol", "part", *names, "gallery"], rows
    )
    for kind, meaning in (FAULTS | TRAITS).items():
        found = report.of(kind)
        if not found:
            continue
        show(f"{kind} ({meaning}): {len(found):,} of {len(report.dataset.videos):,}")
        for finding in found[:SHOWN]:
            show(f"  {finding}", hang=4)
        if len(found) > SHOWN:
            show(f"  ... and {len(found) - SHOWN:,} more (--json lists all)")
    for note in report.dataset.notes:
        show(f"note: {note}")
    say(
        f"{report.dataset.name}: {report.wrong:,} problems found"
        if report.wrong
        else f"{report.dataset.name}: no problem found"
    )


def _pair(here: int, published: int | None) -> list[Any]:
    return [here, "" if published is None else f"{published:,}"]
