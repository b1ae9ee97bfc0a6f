"""`gaid datasets`: which data sets gaid knows, and what of each this machine has."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gaid.cli.common import Json, flag, give, option
from gaid.console import print_table, say, show
from gaid.errors import OptionInvalid


def datasets(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="One data set: its counts per split, and which videos are missing."),
    ] = None,
    root: Annotated[
        Path | None,
        option(
            "Folder of NAME's files; without NAME the folder that holds all data sets. Default: data/NAME, data.",
            "FOLDER",
        ),
    ] = None,
    check: Annotated[
        bool,
        flag("Compare with the published counts and check every file; exit code 3 if something is wrong.", "--check"),
    ] = False,
    store: Annotated[
        Path | None, option("With --check: check what an extraction recorded instead of the files.", "PATH")
    ] = None,
    decode: Annotated[
        bool,
        flag(
            "With --check: decode every clip, the only way to find silent and damaged ones; takes as long as extract.",
            "--decode",
        ),
    ] = False,
    frames: Annotated[int, option("With --check: clips with fewer pictures are listed as short.", "N", min=1)] = 12,
    workers: Annotated[int, option("With --check: how many files or clips to check at once.", "N", min=1)] = 2,
    json: Json = False,
) -> int:
    """List data sets: what each is, where its files come from, which of them you have, and what is wrong."""
    if name is None:
        if check or store is not None or decode:
            raise OptionInvalid("--check: name a data set, as gaid datasets msrvtt --check")
        _list(root, json)
        return 0
    if check or store is not None or decode:
        from gaid.cli.check import check_dataset

        return check_dataset(name, root, store, frames, decode, workers, json)
    from gaid.datasets import get_spec, load_dataset

    spec = get_spec(name)
    place = Path(spec.default_root if root is None else root)
    if spec.prepare is not None and not place.exists():
        told = f"{name}: not made yet; `gaid extract --dataset {name}` makes it in {place} ({spec.source})"
        if json:
            give({"name": name, "root": str(place), "present": False, "notes": [told]})
        else:
            say(told)
        return 0
    dataset = load_dataset(name, root)
    counts = dataset.counts()
    if json:
        give({"name": name, "root": str(dataset.root), "present": True, "videos": len(dataset.videos),
                     "captions": len(dataset.captions), "default_protocol": dataset.default_protocol, "splits": counts,
                     "missing": list(dataset.missing), "notes": list(dataset.notes)})  # fmt: skip
        return 0
    rows = [
        [f"{protocol} (default)" if protocol == dataset.default_protocol else protocol, part,
         counted["captions"], counted["videos"], counted["missing"]]
        for protocol, parts in counts.items()
        for part, counted in parts.items()
    ]  # fmt: skip
    print_table(f"{name}: {len(dataset.videos):,} videos, {len(dataset.captions):,} captions in {dataset.root}",
          ["protocol", "part", "captions", "videos", "videos missing"], rows)  # fmt: skip
    if dataset.missing:
        shown = ", ".join(dataset.missing[:20]) + (", ... (--json lists all)" if len(dataset.missing) > 20 else "")
        show(f"{len(dataset.missing):,} of {len(dataset.videos):,} videos are missing: {shown}")
    for note in dataset.notes:
        show(f"note: {note}")
    return 0


def _list(root: Path | None, json: bool) -> None:
    from gaid.datasets import DATASETS

    found = [_describe(known, root) for known in DATASETS]
    if json:
        return give({"datasets": found})
    for one in found:
        show(f"{one['name']:15} {one['what']}", hang=16)
        show(f"{'':15} files: {one['source']}", hang=23)
        show(f"{'':15} here:  {one['here']}", hang=23)
    say("gaid datasets NAME shows the counts per split of one, and which videos are missing")
    return None


def _describe(name: str, root: Path | None) -> dict[str, Any]:
    """One data set without making anything: what is wrong with it is reported, not raised."""
    from gaid.datasets import get_spec
    from gaid.errors import DataMissing, GaidError

    spec = get_spec(name)
    place = Path(spec.default_root)
    if root is not None and ((root / name).exists() or not place.is_absolute()):
        place = root / name
    told: dict[str, Any] = {"name": name, "what": spec.summary, "source": spec.source, "root": str(place)}
    if not place.exists():
        return told | {"present": False, "here": f"nothing in {place}"}
    try:
        dataset = spec.load(place)
    except DataMissing as error:
        return told | {"present": False, "here": f"not whole: {error}"}
    except GaidError as error:
        return told | {"present": False, "here": f"not usable: {error}"}
    count = len(dataset.videos) - len(dataset.missing)
    of = f" of {len(dataset.videos):,}" if dataset.missing else ""
    here = f"{count:,}{of} videos and {len(dataset.captions):,} captions in {place}"
    return told | {"present": True, "videos": len(dataset.videos), "missing": len(dataset.missing),
                   "captions": len(dataset.captions), "here": here}  # fmt: skip
