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
        option(
            "Which data set, such as demo, folder or csv (gaid datasets lists them), or your own, file.py:NAME.", "NAME"
        ),
    ],
    root: Annotated[
        Path | None,
        option("Folder of its files. Default: data/NAME; that of the store where a folder's store is there.", "FOLDER"),
    ] = None,
    audio_root: Annotated[
        Path | None, option("Folder of sounds named like the videos (ID.wav). Default: the root.", "FOLDER")
    ] = None,
    out: Annotated[
        Path | None,
        option("The store to write, .zarr or .h5. Default: stores/DATASET-VISUAL.zarr.", "PATH", "--out", "-o"),
    ] = None,
    visual: Annotated[
        str | None,
        option(
            "Visual encoder, such as clip:MODEL/WEIGHTS (see gaid doctor) or file.py:Class. Default: the data set's.",
            "NAME",
        ),
    ] = None,
    audio: Annotated[
        str | None,
        option(
            "Audio encoder, such as clap:CHECKPOINT (see gaid doctor) or file.py:Class. Default: the data set's.",
            "NAME",
        ),
    ] = None,
    text: Annotated[str | None, option("Text encoder. Default: the one of --visual.", "NAME")] = None,
    frames: Annotated[
        int, option("Frames per clip, each with its audio.", "N", "--frames", "--num-frames", min=1)
    ] = 12,
    frame_sampling: Annotated[
        Literal["even", "per-second", "keyframes"],
        option(
            "The middles of N equal parts; one frame per second, as AVIGATE; or the key frames nearest to the middles.",
            "even|per-second|keyframes",
        ),
    ] = "even",
    decoder: Annotated[
        Literal["pyav", "ffmpeg"], option("What reads media files: PyAV, or the ffmpeg program.", "pyav|ffmpeg")
    ] = "pyav",
    audio_sampling: Annotated[
        Literal["aligned", "spread", "published"],
        option(
            "A frame's audio: around its time; its part of 30 s by itself (spread), or as GAID's code has it (whisper).",
            "aligned|spread|published",
        ),
    ] = "aligned",
    pixels: Annotated[
        Literal["square", "stored"],
        option(
            "Pictures as they are meant to be displayed, or as stored (pixels may not be square, HDR is not mapped).",
            "square|stored",
        ),
    ] = "square",
    device: Device = "auto",
    batch_size: Annotated[int, option("Clips encoded at once on a GPU.", "N", min=1)] = 32,
    workers: Annotated[
        int, option("Processes that decode clips for the encoders.", "N", "--workers", "--num-workers", min=0)
    ] = 2,
    clip_seconds: Annotated[
        float, option("Seconds that one clip may take to decode before it counts as failed.", "N")
    ] = 60.0,
    scheduler: Annotated[
        str | None,
        option("Address of a dask scheduler whose workers can read the files, such as tcp://HOST:PORT.", "ADDRESS"),
    ] = None,
    patches: Annotated[bool, flag("Also keep the patch tokens of every frame (large).", "--patches")] = False,
    audio_tokens: Annotated[bool, flag("Also keep the audio tokens of every frame (large).", "--audio-tokens")] = False,
    audio_clip_tokens: Annotated[
        bool, flag("Also keep the audio tokens of every whole clip, 1.9 MB each with ast.", "--audio-clip-tokens")
    ] = False,
    speech: Annotated[
        str | None,
        option("Transcriber of what is said, such as whisper:offline or subtitles; none leaves it as it is.", "NAME"),
    ] = None,
    overwrite: Annotated[bool, flag("Delete the store at --out and start again.", "--overwrite")] = False,
    random_weights: Annotated[
        bool, flag("Use untrained encoders, to try everything out without downloads.", "--random-weights")
    ] = False,
    max_missing: Annotated[float, option("Share of videos that may be missing, 0 to 1.", "SHARE", min=0, max=1)] = 0.1,
    limit: Annotated[int | None, option("Extract only N videos, evenly spread, to try things out.", "N", min=1)] = None,
    watch: Annotated[
        bool, flag("Stay, and extract what is new whenever the folder changes, until Ctrl-C.", "--watch")
    ] = False,
    json: Json = False,
) -> int:
    """Decode clips once and keep the frozen encoders' features in a store.

    After Ctrl-C or any other stop, the same command resumes where it was. For a folder that has changed, it extracts only what
    is new.
    """
    given = {name: value for name, value in locals().items() if name != "json"}
    report = gaid.extract(**given)
    if json:
        give(report.to_dict())
    else:
        show(report)
    return CLIPS_FAILED if report.failed or report.changed or report.arrived else 0
