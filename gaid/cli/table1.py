"""`gaid table1`: the paper's Table 1 over the data sets that are here."""

from pathlib import Path
from typing import Annotated

import typer

from gaid.cli.common import Device, Json, give


def table1(
    root: Annotated[Path | None, typer.Option(help="Folder of the data sets' folders. [data]")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for table1.md, .csv and .html.")] = Path(
        "reports/table1"
    ),
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", help="Only this data set; may be repeated. [all present]")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings a row.")] = 3,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Measured rows beside published ones: extracts and trains what is not there yet."""
    from gaid.report.table1 import reproduce

    table = reproduce(root=root, out=out, datasets=dataset, seeds=seeds, device=device)
    if json:
        return give(table.to_dict())
    print(table)
    return None
