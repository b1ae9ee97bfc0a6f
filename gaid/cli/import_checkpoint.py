"""`gaid import-checkpoint`: a published checkpoint becomes a run."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import typer

from gaid.cli.common import Json, flag, give, option
from gaid.console import say, show


def import_checkpoint(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The checkpoint, as .pth, .pt, .bin or .safetensors.")],
    kind: Annotated[
        Literal["gaid", "t-mass", "x-pool", "avigate", "clip4clip"],
        option("Whose it is; clip4clip is meanP.", "gaid|t-mass|x-pool|avigate|clip4clip", "--kind"),
    ],
    out: Annotated[Path | None, option("The run's folder. Default: runs/KIND-FILE.", "FOLDER", "--out", "-o")] = None,
    frames: Annotated[
        int | None, option("Frames a video, where the weights do not tell. Default: 12.", "N", min=1)
    ] = None,
    prior: Annotated[
        Literal["uniform", "normal"] | None,
        option("T-MASS's noise; published as normal for LSMDC. Default: uniform.", "uniform|normal"),
    ] = None,
    overwrite: Annotated[bool, flag("Replace the run that is there.", "--overwrite")] = False,
    json: Json = False,
) -> None:
    """Make a run of a published checkpoint: its head, and its CLIP as a file for gaid extract.

    No code in the file is run. What was not used is listed.
    """
    import gaid.imports

    found = gaid.imports.import_checkpoint(file, kind, out=out, frames=frames, prior=prior, overwrite=overwrite)
    if json:
        return give({"run": found.run.path, "preset": found.run.preset, "kind": found.kind, "visual": found.visual,
                     "imported": found.run.imported, "head": found.run.describe()["head"]["arguments"],
                     "unused": found.unused, "others": found.others})  # fmt: skip
    for line in _grouped(found.unused):
        say(f"not used: {line}")
    if found.others:
        say(f"not weights: {', '.join(found.others)}")
    sizes = found.run.describe()["head"]["arguments"]
    say(
        f"head: {found.run.preset}, pictures of {sizes['visual_dim']} numbers, sounds of {sizes['audio_dim']}, texts of "
        f"{sizes['text_dim']}, {sizes['frames']} frames"
    )
    if found.visual:
        show(f"{found.run.path}: {found.kind} is imported; now: gaid extract --dataset NAME --visual {found.visual}")
    else:
        show(
            f"{found.run.path}: {found.kind} is imported, no CLIP was in it; now: gaid eval --run {found.run.path} --store PATH"
        )
    return None


def _grouped(names: tuple[str, ...]) -> list[str]:
    """Names a line each; those of a module with many (an encoder of sound) as one line with their number."""
    module = {name: ".".join(name.split(".")[:2]) for name in names}
    many = {one for one, count in Counter(module.values()).items() if count > 4}
    return list(dict.fromkeys(
        f"{module[name]}.* ({list(module.values()).count(module[name])} weights)" if module[name] in many else name
        for name in names
    ))  # fmt: skip
