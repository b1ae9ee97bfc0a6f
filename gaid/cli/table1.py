"""`gaid table1`: the paper's Table 1 over the data sets that are here."""

from pathlib import Path
from typing import Annotated

from gaid.cli.common import Device, Json, give, option


def table1(
    root: Annotated[
        Path | None, option("The folder that holds the data sets' folders. Default: data.", "FOLDER")
    ] = None,
    out: Annotated[Path, option("Where table1.md, .csv and .html go.", "FOLDER", "--out", "-o")] = Path(
        "reports/table1"
    ),
    dataset: Annotated[
        list[str] | None,
        option("Only this data set; may be repeated. Default: all that are here.", "NAME", "--dataset"),
    ] = None,
    seeds: Annotated[int, option("Trainings a row.", "N", min=1)] = 3,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Make the paper's Table 1: measured rows beside published ones; extracts and trains what is not there yet."""
    from gaid.report.table1 import reproduce

    table = reproduce(root=root, out=out, datasets=dataset, seeds=seeds, device=device)
    if json:
        return give(table.to_dict())
    print(table)
    return None
