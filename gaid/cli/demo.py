"""`gaid demo`: everything once, on clips that are made here."""

from pathlib import Path
from typing import Annotated

from gaid.cli.common import Device, Json, chosen_page, give, option, write_after
from gaid.console import show


def demo(
    folder: Annotated[Path, option("Folder that clips, features, heads and the page go into.", "FOLDER")] = Path(),
    seeds: Annotated[int, option("Trainings per head.", "N", min=1)] = 3,
    report: Annotated[
        Path | None, option("Page to write, or none. Default: reports/demo.html in the folder.", "FILE")
    ] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Try everything on generated clips: extract features, train GAID and its baselines, print their table, write a page.

    Takes 3 minutes on two cores and 0.5 GB. Needs no data, no weights and no network; run again, it resumes.
    """
    import gaid.paper.demo
    from gaid.report import write_page
    from gaid.report.tables import print_results

    page = chosen_page(folder / "reports/demo.html" if report is None else report, "--report")
    results = gaid.paper.demo.demo(folder, seeds=seeds, device=device)
    if not json:
        print_results(results)

    def tell(written: Path | None) -> None:
        if json:
            give(results.to_dict() | {"report": written})
        elif written:
            show(f"page: {written}")

    write_after(page, lambda path: write_page(results, path), tell)
