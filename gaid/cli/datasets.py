"""`gaid datasets`: what there is, and what of it is here."""

from pathlib import Path
from typing import Annotated

import typer

from gaid.cli.common import Json, give, say, table


def datasets(
    name: Annotated[str | None, typer.Argument(help="A data set: its counts a split, and what is missing.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of its files. [data/NAME]")] = None,
    json: Json = False,
) -> None:
    """List data sets: what each is, where its files come from, what is present."""
    from gaid.datasets import DATASETS, get_spec, load_dataset
    from gaid.errors import GaidError

    if name is None:
        found = []
        for known in DATASETS:
            spec = get_spec(known)
            place = Path(spec.default_root if root is None else root / known)
            found.append(
                {
                    "name": known,
                    "what": spec.summary,
                    "source": spec.source,
                    "root": str(place),
                    "present": place.exists(),
                }
            )
        if json:
            return give(found)
        rows = [
            [one["name"], one["what"], one["source"], one["root"] if one["present"] else "not here"] for one in found
        ]
        return table("Data sets", ["name", "what it is", "where its files come from", "present"], rows)
    spec = get_spec(name)
    place = Path(spec.default_root if root is None else root)
    if spec.prepare is not None and not place.exists():
        say(f"{name}: not made yet; `gaid extract --dataset {name}` makes it ({spec.source})")
        return give({"name": name, "present": False}) if json else None
    try:
        dataset = load_dataset(name, root)
    except GaidError as error:
        error.add_note(name)
        raise
    counts = dataset.counts()
    if json:
        return give({"name": name, "root": str(dataset.root), "videos": len(dataset.videos), "captions": len(dataset.captions),
                     "splits": counts, "missing": list(dataset.missing), "notes": list(dataset.notes)})  # fmt: skip
    rows = [
        [f"{protocol}{' (default)' if protocol == dataset.default_protocol else ''}", part, *counted.values()]
        for protocol, parts in counts.items()
        for part, counted in parts.items()
    ]
    table(f"{name}: {len(dataset.videos)} videos, {len(dataset.captions)} captions in {dataset.root}",
          ["protocol", "part", "captions", "videos", "missing"], rows)  # fmt: skip
    if dataset.missing:
        shown = ", ".join(dataset.missing[:20]) + (" ..." if len(dataset.missing) > 20 else "")
        say(f"missing ({len(dataset.missing)}): {shown}")
    for note in dataset.notes:
        say(note)
    return None
