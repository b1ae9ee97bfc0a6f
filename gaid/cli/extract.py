"""`gaid extract`: stage one."""

from pathlib import Path
from typing import Annotated, Literal

import gaid
from gaid.cli.common import Device, Json, flag, give, option
from gaid.console import show

CLIPS_FAILED = 3


def extract(
    dataset: Annotated[
        str,
        option("Which data set, as demo, folder or csv (gaid datasets lists them), or your own, file.py:NAME.", "NAME"),
    ],
    root: Annotated[Path | None, option("Where its files are. Default: data/NAME.", "FOLDER")] = None,
    out: Annotated[
        Path | None,
        option("The store to write, .zarr or .h5. Default: stores/DATASET-VISUAL.zarr.", "PATH", "--out", "-o"),
    ] = None,
    visual: Annotated[
        str | None,
        option(
            "Encoder of pictures, as clip:MODEL/WEIGHTS (see gaid doctor) or file.py:Class. Default: the data set's.",
            "NAME",
        ),
    ] = None,
    audio: Annotated[
        str | None,
        option(
            "Encoder of sounds, as clap:CHECKPOINT (see gaid doctor) or file.py:Class. Default: the data set's.",
            "NAME",
        ),
    ] = None,
    text: Annotated[str | None, option("Encoder of captions. Default: the one of --visual.", "NAME")] = None,
    frames: Annotated[
        int, option("Frames a clip, each with its sound, evenly spread.", "N", "--frames", "--num-frames", min=1)
    ] = 12,
    decoder: Annotated[
        Literal["pyav", "ffmpeg"], option("What reads media files: PyAV, or the ffmpeg program.", "pyav|ffmpeg")
    ] = "pyav",
    audio_sampling: Annotated[
        Literal["aligned", "published"],
        option(
            "A frame's sound: at its moment, or in GAID's bins of 30 s (encoded one by one, padding masked).",
            "aligned|published",
        ),
    ] = "aligned",
    pixels: Annotated[
        Literal["square", "stored"],
        option(
            "Pictures as they are meant to be seen, or as stored: pixels that are not square, HDR not mapped.",
            "square|stored",
        ),
    ] = "square",
    device: Device = "auto",
    batch_size: Annotated[int, option("Clips encoded at once on a GPU.", "N", min=1)] = 32,
    workers: Annotated[
        int, option("Processes that decode clips for the encoders.", "N", "--workers", "--num-workers", min=0)
    ] = 2,
    clip_seconds: Annotated[
        float, option("How long one clip may take to decode before it counts as failed.", "N")
    ] = 60.0,
    scheduler: Annotated[
        str | None, option("A dask scheduler whose workers see the files, as tcp://HOST:PORT.", "ADDRESS")
    ] = None,
    patches: Annotated[bool, flag("Keep the picture's patch tokens as well (large).", "--patches")] = False,
    audio_tokens: Annotated[
        bool, flag("Keep the tokens of each frame's sound as well (large).", "--audio-tokens")
    ] = False,
    overwrite: Annotated[bool, flag("Delete the store that is there and start again.", "--overwrite")] = False,
    random_weights: Annotated[
        bool, flag("Encoders as they are, but untrained: tries the path without downloads.", "--random-weights")
    ] = False,
    max_missing: Annotated[float, option("Share of videos that may be absent, 0 to 1.", "SHARE", min=0, max=1)] = 0.1,
    limit: Annotated[int | None, option("Take only N videos, evenly spread, to try things out.", "N", min=1)] = None,
    json: Json = False,
) -> int:
    """Decode clips once and keep the frozen encoders' features in a store.

    The same command again goes on where it was stopped, by Ctrl-C or otherwise.
    """
    given = {name: value for name, value in locals().items() if name != "json"}
    report = gaid.extract(**given)
    if json:
        give(report.to_dict())
    else:
        show(report)
    return CLIPS_FAILED if report.failed or report.changed or report.arrived else 0
