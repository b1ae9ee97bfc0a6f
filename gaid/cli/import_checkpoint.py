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
        option(
            "Which published method the checkpoint comes from; clip4clip is its meanP variant.",
            "gaid|t-mass|x-pool|avigate|clip4clip",
            "--kind",
        ),
    ],
    out: Annotated[Path | None, option("The run's folder. Default: runs/KIND-FILE.", "FOLDER", "--out", "-o")] = None,
    frames: Annotated[
        int | None, option("Frames per video, where the weights do not show it. Default: 12.", "N", min=1)
    ] = None,
    prior: Annotated[
        Literal["uniform", "normal"] | None,
        option(
            "Distribution of T-MASS's noise; published runs use normal on LSMDC. Default: uniform.", "uniform|normal"
        ),
    ] = None,
    overwrite: Annotated[bool, flag("Replace the run in --out.", "--overwrite")] = False,
    json: Json = False,
) -> None:
    """Turn a published checkpoint into a run: its head, and its CLIP (AVIGATE: and its AST) as files for gaid extract.

    No code in the file is run. Weights that were not used are listed.
    """
    import gaid.imports

    found = gaid.imports.import_checkpoint(file, kind, out=out, frames=frames, prior=prior, overwrite=overwrite)
    if json:
        return give({"run": found.run.path, "preset": found.run.preset, "kind": found.kind, "visual": found.visual, "audio": found.audio,
                     "imported": found.run.imported, "head": found.run.describe()["head"]["arguments"],
                     "unused": found.unused, "others": found.others})  # fmt: skip
    for line in _grouped(found.unused):
        say(f"not used: {line}")
    if found.others:
        say(f"not weights: {', '.join(found.others)}")
    sizes = found.run.describe()["head"]["arguments"]
    say(
        f"head: {found.run.preset}; features of {sizes['visual_dim']} (visual), {sizes['audio_dim']} (audio) and {sizes['text_dim']} "
        f"(text) numbers; {sizes['frames']} frames"
    )
    if found.visual:
        sound = f" --audio {found.audio} --audio-clip-tokens" if found.audio else ""
        show(
            f"{found.run.path}: {found.kind} is imported; now: gaid extract --dataset NAME --visual {found.visual}{sound}"
        )
    else:
        show(
            f"{found.run.path}: {found.kind} is imported, without a CLIP in it; now: gaid eval --run {found.run.path} --store PATH"
        )
    return None


def _grouped(names: tuple[str, ...]) -> list[str]:
    """One line per name; those of a module with many (an audio encoder) as one line with their number."""
    module = {name: ".".join(name.split(".")[:2]) for name in names}
    many = {one for one, count in Counter(module.values()).items() if count > 4}
    return list(dict.fromkeys(
        f"{module[name]}.* ({list(module.values()).count(module[name])} weights)" if module[name] in many else name
        for name in names
    ))  # fmt: skip
