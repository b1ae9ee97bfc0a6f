"""`gaid extract`: stage one."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from gaid.cli.common import Device, Json, give, say


def extract(
    dataset: Annotated[str, typer.Option(help="demo, stamps, folder, msrvtt: see `gaid datasets`.")],
    root: Annotated[Path | None, typer.Option(help="Folder of its files. [data/NAME]")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The store: .zarr, or .h5. [stores/DATASET-VISUAL.zarr]")
    ] = None,
    visual: Annotated[
        str | None, typer.Option(help="Picture backbone: tiny, offline, clip:MODEL/PRETRAINED. [the data set's]")
    ] = None,
    audio: Annotated[
        str | None, typer.Option(help="Sound backbone: tiny, offline, clap:CHECKPOINT. [the data set's]")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Text backbone. [the picture's own]")] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames a clip, at the middles of as many equal parts.")] = 12,
    decoder: Annotated[
        Literal["pyav", "ffmpeg"], typer.Option(help="Decode in process, or by the ffmpeg program.")
    ] = "pyav",
    device: Device = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Clips encoded at once on a GPU.")] = 32,
    workers: Annotated[int, typer.Option("--workers", "--num-workers", min=0, help="Processes that decode.")] = 2,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler whose workers see the files.")
    ] = None,
    patches: Annotated[bool, typer.Option("--patches", help="Keep patch tokens too (large).")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete the store that is there first.")] = False,
    random_weights: Annotated[
        bool,
        typer.Option(
            "--random-weights", help="The real architectures with random weights: to try the path, not to get figures."
        ),
    ] = False,
    max_missing: Annotated[float, typer.Option(min=0, max=1, help="Share of videos that may be absent.")] = 0.1,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many videos, spread evenly: to try things out.")
    ] = None,
    json: Json = False,
) -> int:
    """Decode clips and keep frozen backbones' features in a store. Run it again to go on."""
    from gaid.extract import extract as run

    report = run(dataset, root=root, out=out, visual=visual, audio=audio, text=text, frames=frames, decoder=decoder,
                 device=device, batch_size=batch_size, workers=workers, scheduler=scheduler, patches=patches,
                 overwrite=overwrite, random_weights=random_weights, max_missing=max_missing, limit=limit)  # fmt: skip
    for failure in report.failed:
        say(f"  {failure}")
    if json:
        give(report.to_dict())
    else:
        print(report)
        if report.random_weights:
            say("made with random weights: figures from it mean nothing")
    return 3 if report.failed else 0
