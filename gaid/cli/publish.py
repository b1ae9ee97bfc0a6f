"""`gaid publish`: a run's head as a folder that others can use."""

from pathlib import Path
from typing import Annotated

import typer

from gaid.cli.common import Device, Json, flag, give, option
from gaid.console import say, show
from gaid.settings import check_seed


def publish(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run whose training is over.")],
    out: Annotated[Path, option("The folder to write; new or empty.", "FOLDER", "--out", "-o")],
    store: Annotated[Path | None, option("A store in place of the run's own, of the same backbones.", "PATH")] = None,
    split: Annotated[str, option("Part that the figures are measured on: test, val or train.", "PART")] = "test",
    split_protocol: Annotated[
        str | None, option("Which split of the data set, such as 9k or all. Default: the run's.", "NAME")
    ] = None,
    license: Annotated[
        str | None,
        option("Licence of the weights, as a hub names it. Default: a non-commercial backbone's, or unknown.", "NAME"),
    ] = None,
    dataset_id: Annotated[
        str | None, option("Name of the data set on the hub, under which it lists figures.", "OWNER/NAME")
    ] = None,
    name: Annotated[str | None, option("Name of the head in its card. Default: the folder's.", "NAME")] = None,
    overwrite: Annotated[bool, flag("Replace the published head in --out.", "--overwrite")] = False,
    memory: Annotated[
        str, option("Memory limit of scoring beside the features; auto is 1GiB, on a GPU up to 8GiB.", "SIZE")
    ] = "auto",
    device: Device = "auto",
    seed: Annotated[int, option("Seed of the intervals and of the leak check.", "N", callback=check_seed)] = 0,
    json: Json = False,
) -> None:
    """Write a head as a folder for others: weights, description, and a card with figures, leak check and licences.

    Nothing is uploaded. gaid.load, and --run of eval and search, take the folder.
    """
    import gaid.publishing

    found = gaid.publishing.publish(run, out, store=store, split=split, split_protocol=split_protocol, license=license,
                                    dataset_id=dataset_id, name=name, overwrite=overwrite, device=device, memory=memory,
                                    seed=seed)  # fmt: skip
    if json:
        return give(found.to_dict())
    for note in found.notes:
        say(f"note: {note}")
    show(found.facts.leak.answer)
    show(f"{found.model.path}: {', '.join(file.relative_to(found.model.path).as_posix() for file in found.files)}")
    show(f"upload it yourself, where you want it: hf upload OWNER/NAME {found.model.path}")
    return None
