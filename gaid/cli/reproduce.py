"""`gaid reproduce`: the paper's tables and Figure 5 over the data sets that are here."""

from pathlib import Path
from typing import Annotated

import typer

from gaid.cli.common import Device, Json, flag, give, option
from gaid.console import show_markdown


def reproduce(
    what: Annotated[
        list[str], typer.Argument(metavar="WHAT...", help="table1 to table6, figure5, all of these, or worlds.")
    ],
    root: Annotated[
        Path | None, option("The folder that holds the data sets' folders. Default: data.", "FOLDER")
    ] = None,
    out: Annotated[Path, option("Folder of the tables and figures.", "FOLDER", "--out", "-o")] = Path("reports/paper"),
    dataset: Annotated[
        list[str] | None,
        option(
            "Data set to use; may be repeated. Default: the table's own if you have them, else demo and stamps.",
            "NAME",
            "--dataset",
        ),
    ] = None,
    seeds: Annotated[int, option("Trainings per row.", "N", min=1)] = 3,
    set: Annotated[
        list[str] | None, option("Setting of every training, such as epochs=5; may be repeated.", "KEY=VALUE", "--set")
    ] = None,
    patches: Annotated[
        bool | None,
        typer.Option(
            "--patches/--no-patches",
            metavar="",
            help="Extract patch tokens, for rows that fuse them. Default: only on small data sets.",
        ),
    ] = None,
    audio_tokens: Annotated[
        bool | None,
        typer.Option(
            "--audio-tokens/--no-audio-tokens",
            metavar="",
            help="Extract audio tokens, which avigate then uses. Default: only on small data sets.",
        ),
    ] = None,
    random_weights: Annotated[
        bool, flag("Use untrained encoders, to try everything out without downloads.", "--random-weights")
    ] = False,
    workers: Annotated[int, option("Processes that decode clips.", "N", "--workers", "--num-workers", min=0)] = 2,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Make the paper's tables and Figure 5: measured rows, with published ones in tables of their own. Extracts and trains what is missing.

    `worlds`, which is not of the paper, compares the heads in demo worlds whose captions never, mostly and always mention sound.
    """
    import gaid.paper.reproduce
    from gaid.paper.workshop import PaperOptions

    options = PaperOptions(root=root, out=out, datasets=dataset, seeds=seeds, set=set or (), patches=patches,
                           audio_tokens=audio_tokens, random_weights=random_weights, workers=workers, device=device)  # fmt: skip
    made = gaid.paper.reproduce.reproduce(what, options)
    if json:
        return give(made.to_dict())
    show_markdown(str(made))
    return None
