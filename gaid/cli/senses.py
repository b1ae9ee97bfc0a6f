"""`gaid senses`: whether sound helps on a store, and for which captions."""

from pathlib import Path
from typing import Annotated

import typer

from gaid.cli.audit import Memory, Part, SplitProtocol
from gaid.cli.common import Device, Json, as_json, chosen_page, give, option, write_after
from gaid.console import show
from gaid.files import write_bytes
from gaid.settings import check_seed


def senses(
    store: Annotated[
        Path, typer.Argument(metavar="STORE", help="A store whose audio backbone has a text side, as clap or offline.")
    ],
    run: Annotated[
        list[Path] | None, option("A run on the store, to measure beside; may be repeated.", "FOLDER", "--run")
    ] = None,
    split: Part = "test",
    split_protocol: SplitProtocol = None,
    seeds: Annotated[int | None, option("Use only the first N seeds of every run. Default: all.", "N", min=1)] = None,
    out: Annotated[
        Path | None,
        option("Page to write, or none. Default: reports/senses-DATASET/senses.html.", "FILE", "--out", "-o"),
    ] = None,
    root: Annotated[
        Path | None, option("Folder of the clips' files. Default: where they were extracted from.", "FOLDER")
    ] = None,
    memory: Memory = "auto",
    device: Device = "auto",
    seed: Annotated[int, option("Seed of the intervals.", "N", callback=check_seed)] = 0,
    json: Json = False,
) -> None:
    """Measure whether sound helps: picture only, sound only, both, and trained runs, by which captions name a sound.

    The page shows the captions whose rank sound changed most. The figures are written to results.json beside it (FILE.json for --out).
    """
    import gaid.audit
    from gaid.report import write_page
    from gaid.report.senses import print_senses

    page = chosen_page(out, "--out")
    found = gaid.audit.senses(store, runs=tuple(run or ()), split=split, split_protocol=split_protocol, seeds=seeds, root=root,
                              memory=memory, device=device, seed=seed)  # fmt: skip
    folder = Path("reports") / f"senses-{found.basis.dataset}"
    figures = folder / "results.json" if page is None else page.with_suffix(".json")
    if out is None:
        page = folder / "senses.html"

    def tell_figures(file: Path | None) -> None:
        if not json:
            print_senses(found)
            if file:
                show(f"figures: {file}")

        def tell_page(written: Path | None) -> None:
            if json:
                give(found.to_dict() | {"file": file, "page": written})
            elif written:
                show(f"page: {written}")

        write_after(page, lambda path: write_page(found, path), tell_page)

    write_after(figures, lambda path: _write_figures(found.to_dict(), path), tell_figures)


def _write_figures(figures: dict[str, object], path: Path) -> Path:
    """The figures as `--json` prints them, before the page is drawn."""
    write_bytes(path, f"{as_json(figures)}\n".encode())
    return path
