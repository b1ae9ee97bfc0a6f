"""`gaid export`: a head's embeddings and scores, for other programs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

import gaid
from gaid.cli.common import Device, Json, give, option
from gaid.console import say, show
from gaid.settings import check_seed


def export(
    source: Annotated[
        Path, typer.Argument(metavar="RUN_OR_STORE", help="The folder of a run, or a store (with --preset).")
    ],
    out: Annotated[Path, option("The file to write, .npz or .parquet.", "FILE", "--out", "-o")],
    format: Annotated[
        Literal["npz", "parquet"] | None, option("File format. Default: by the file's name.", "npz|parquet")
    ] = None,
    store: Annotated[Path | None, option("A store in place of the run's own.", "PATH")] = None,
    preset: Annotated[str | None, option("The untrained head, for a store. Default: mean-pool.", "NAME")] = None,
    split: Annotated[
        str, option("Which part: test, val or train; or clips for all clips without captions.", "PART")
    ] = "test",
    split_protocol: Annotated[
        str | None,
        option("Which split of the data set, such as 9k or all. Default: the run's, or the store's.", "NAME"),
    ] = None,
    device: Device = "auto",
    memory: Annotated[
        str, option("Memory limit of scoring beside the features; auto is 1GiB, on a GPU up to 8GiB.", "SIZE")
    ] = "auto",
    seed: Annotated[
        int, option("Seed of an untrained head and of random trials in scoring.", "N", callback=check_seed)
    ] = 0,
    json: Json = False,
) -> None:
    """Write a head's video and text embeddings and all scores and ranks as npz or parquet."""
    told = gaid.export(source, out=out, format=format, store=store, preset=preset, split=split, split_protocol=split_protocol,
                 device=device, memory=memory, seed=seed)  # fmt: skip
    if json:
        return give(told.to_dict())
    for note in told.notes:
        say(f"note: {note}")
    dim = f", {told.dim} numbers each" if told.dim else ", without embeddings"
    show(f"{' and '.join(map(str, told.files))}: {told.videos:,} videos{dim}, {told.queries:,} queries")
    return None
