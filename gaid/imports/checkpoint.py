"""Makes a run of a published checkpoint: the head's weights as a checkpoint of gaid, its CLIP as a file for open_clip, its audio
encoder as a folder for transformers.

Names and shapes are checked here, in `gaid.heads.published` and in `published` of the backbones; the file is read in
`published_file`. Nothing is trained, and the run records that.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from gaid.errors import CheckpointInvalid, HeadMismatch, OptionInvalid
from gaid.files import check_folder, write_bytes, write_json
from gaid.imports.published_file import read_published
from gaid.runs.factory import SIZES
from gaid.runs.files import AST, CHECKPOINTS, CLIP, CONFIG, IMPORTED, METRICS, write_checkpoint
from gaid.runs.opening import clear_run, load_run
from gaid.runs.run import Run
from gaid.settings import nearest
from gaid.versions import version_of

if TYPE_CHECKING:
    from torch import Tensor

    from gaid.backbones.ast.published import PublishedAst
    from gaid.backbones.clip.published import PublishedClip
    from gaid.heads import Head

Kind = Literal["gaid", "t-mass", "x-pool", "avigate", "clip4clip"]
KINDS: tuple[str, ...] = get_args(Kind)
# Names of weights by which a kind is recognised, the most specific first. CLIP4Clip's meanP has only CLIP's weights.
_RECOGNISED_BY = {
    "avigate": ("query_tokens", "transformer_Fusion."),
    "gaid": ("gate_fc.",),
    "t-mass": ("stochastic.",),
    "x-pool": ("pool_frames.",),
}
# Layers that change what a method computes and that no head of gaid has.
_BEYOND = {
    "linear.": "a linear layer of the sound with a bias (GAID with ViT-L/14, wav2vec2 or AST)",
    "transformerClip.": "CLIP4Clip's seqTransf",
    "lstm_visual.": "CLIP4Clip's seqLSTM",
    "cross.": "CLIP4Clip's tightTransf",
}
# AVIGATE keeps its audio encoder (AST) and the projection of its tokens inside CLIP.
_AUDIO_ENCODER, _AUDIO_PROJECTION = "clip.audio.", "clip.audio_projection"
# GAID's published training gates each video by its own caption; the other methods train as gaid does.
_PROTOCOL = {"gaid": "published"}


@dataclass(frozen=True)
class Imported:
    """The result of an import. `visual` and `audio`: the `gaid extract --visual` and `--audio` arguments for its CLIP and its
    audio encoder (None: it holds none). `unused`: names of the weights that were not needed. `others`: what else is in the
    file."""

    run: Run
    kind: str
    visual: str | None
    audio: str | None
    unused: tuple[str, ...]
    others: tuple[str, ...]


def import_checkpoint(
    file: str | Path,
    kind: str,
    *,
    out: str | Path | None = None,
    frames: int | None = None,
    prior: str | None = None,
    num_heads: int | None = None,
    overwrite: bool = False,
) -> Imported:
    """Makes a run of a published checkpoint.

    Args:
        file: a checkpoint of torch or safetensors: a state dict, alone or inside a training's state.
        kind: the published method: gaid, t-mass, x-pool, avigate or clip4clip (meanP).
        out: the run's folder, `runs/KIND-FILE` by default; overwrite: replace the run that is there.
        frames: frames per video, where the weights do not determine it (12 by default).
        prior: T-MASS's noise, `uniform` by default; it published `normal` for LSMDC. The weights do not determine it.
        num_heads: attention heads of AVIGATE, D / 64 by default.

    Raises OptionInvalid, DataMissing, CheckpointInvalid (unreadable, incomplete, or of another kind).
    """
    from gaid.backbones.ast.published import convert_ast
    from gaid.backbones.clip.published import convert_clip
    from gaid.files import sha256_of

    file = Path(file)
    if kind not in KINDS:
        raise OptionInvalid(f"--kind {kind!r} does not exist; {nearest(kind, KINDS)}")
    if prior is not None and kind != "t-mass":
        raise OptionInvalid(f"--prior is T-MASS's noise; {kind} has none")
    out = Path(out) if out is not None else Path("runs") / f"{kind}-{file.stem}"
    _check_place(out, overwrite)
    found = read_published(file)
    _check_kind(file, kind, found.weights)
    clip_names = {n: n.removeprefix("clip.") for n in found.weights if _is_clip(n)}
    of_audio = {
        n.removeprefix(_AUDIO_ENCODER): value for n, value in found.weights.items() if n.startswith(_AUDIO_ENCODER)
    }
    clip, ast = None, None
    unused: list[str] = []
    try:
        if clip_names:
            clip = convert_clip({short: found.weights[name] for name, short in clip_names.items()})
            unused += [f"clip.{name}" for name in clip.unused]
        if of_audio:
            ast = convert_ast(of_audio)
            unused += [_AUDIO_ENCODER + name for name in ast.unused]
        head, strange = _head(kind, found.weights, clip, ast, frames, num_heads, prior)
    except (CheckpointInvalid, HeadMismatch) as error:
        raise CheckpointInvalid(f"{file}: {error}") from error
    unused += strange

    if overwrite:
        clear_run(out)
    about: dict[str, Any] = {"file": file.name, "sha256": sha256_of(file), "kind": kind}
    if found.epoch is not None:
        about["epoch"] = found.epoch
    backbones: dict[str, Any] = {}
    if clip is not None:
        digest = sha256_of(_write_clip(out / CLIP, clip, about))
        about |= {"clip": clip.model, "clip_layout": clip.layout, "clip_sha256": digest}
        backbones = {sense: {"name": f"clip:{clip.model}", "sha256": digest} for sense in ("visual", "text")}
    if ast is not None:
        about["ast_sha256"] = digest = sha256_of(_write_ast(out / AST, ast))
        backbones["audio"] = {"name": f"ast:{AST}", "sha256": digest}
    _write_run(out, kind, head, about, backbones)
    write_json(out / IMPORTED, {**about, "unused": unused, "others": list(found.others)})
    run = load_run(out)
    return Imported(run, kind, run.visual, run.audio_encoder, tuple(unused), found.others)


def _check_place(out: Path, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise OptionInvalid(f"{out}: is a file; a run needs a folder (--out)")
    check_folder(out, "--out")
    if (out / CONFIG).exists() and not overwrite:
        raise OptionInvalid(f"{out}: holds a run already; replace it (--overwrite) or choose another place (--out)")


def _check_kind(file: Path, kind: str, weights: Mapping[str, "Tensor"]) -> None:
    """Raises CheckpointInvalid where the names are those of another method, or of layers that no head here has."""
    guess = next((one for one, names in _RECOGNISED_BY.items() if any(n.startswith(names) for n in weights)), None)
    if guess is None and any(_is_clip(name) for name in weights):
        guess = "clip4clip"
    if guess is None:
        raise CheckpointInvalid(
            f"{file}: not of a published method known here ({', '.join(KINDS)}); its names are "
            f"{', '.join(sorted(weights)[:5])}, ..."
        )
    beyond = next((b for b in _BEYOND if any(n.startswith(b) for n in weights) and guess != "avigate"), None)
    if beyond:
        more = "; of CLIP4Clip only meanP can be imported" if "CLIP4Clip" in _BEYOND[beyond] else ""
        raise CheckpointInvalid(f"{file}: has {beyond}*, {_BEYOND[beyond]}, which no head here computes{more}")
    if guess != kind:
        tell = (
            ", ".join(f"{name}*" if name.endswith(".") else name for name in _RECOGNISED_BY.get(guess, ()))
            or "CLIP's alone"
        )
        raise CheckpointInvalid(
            f"{file}: its names are those of {guess} ({tell}), not of {kind}; import it with --kind {guess}"
        )


def _is_clip(name: str) -> bool:
    return name.startswith("clip.") and not name.startswith(_AUDIO_ENCODER) and name != _AUDIO_PROJECTION


def _head(
    kind: str,
    weights: Mapping[str, "Tensor"],
    clip: "PublishedClip | None",
    ast: "PublishedAst | None",
    frames: int | None,
    num_heads: int | None,
    prior: str | None,
) -> tuple["Head", list[str]]:
    """(head, names of weights outside CLIP that it does not need)."""
    from gaid.heads import build_head, load_published
    from gaid.heads.published import is_published, is_used

    rest = {name: value for name, value in weights.items() if not name.startswith("clip.")}
    strange = [name for name in rest if not is_used(name)]
    if kind == "clip4clip":
        assert clip is not None
        dim = clip.dim
        head = build_head("mean-pool", visual_dim=dim, audio_dim=dim, text_dim=dim, dim=dim, frames=frames or 12)
        preset, strange = "mean-pool", list(rest)
    else:
        known = {name: value for name, value in rest.items() if is_published(name)}
        head, preset = load_published(known, frames=frames, num_heads=num_heads), kind
    dim = head.config["dim"]
    if clip is not None and clip.dim != dim:
        raise CheckpointInvalid(f"its head takes {dim} numbers, its CLIP gives {clip.dim}")
    told = head.config["frames"]
    if frames is not None and told != frames:
        raise CheckpointInvalid(f"its weights are for {told} frames a video, not for --frames {frames}")
    changed: dict[str, Any] = {} if clip is None else {"logit_scale": clip.logit_scale}
    if prior is not None:
        changed["prior"] = prior
    state = head.state_dict()
    if kind == "avigate" and _AUDIO_PROJECTION in weights:
        projection = weights[_AUDIO_PROJECTION]
        if projection.ndim != 2 or projection.shape[1] != dim:
            raise CheckpointInvalid(f"{_AUDIO_PROJECTION} has shape {tuple(projection.shape)}, expected (any, {dim})")
        changed["audio_dim"] = projection.shape[0]
        state["audio_proj.weight"] = projection.t()
    if ast is not None:
        taken = changed.get("audio_dim", head.config["audio_dim"])
        if taken != ast.dim:
            raise CheckpointInvalid(
                f"its head takes {taken} numbers per audio token, its audio encoder gives {ast.dim}"
            )
        # The published head reads every token of the clip, and those of no sound where there is none.
        changed |= {"audio_input": "clip", "gates_without_audio": "open"}
    # Built again instead of changed, since a run builds its head from its configuration.
    head = build_head(preset, **{**head.config, **changed})
    head.load_state_dict(state)
    return head.eval(), strange


def _write_clip(folder: Path, clip: "PublishedClip", about: Mapping[str, Any]) -> Path:
    """Writes CLIP as open_clip keeps it in a folder: weights, and the configuration with QuickGELU."""
    from safetensors.torch import save

    write_json(folder / "open_clip_config.json", clip.open_clip_config)
    path = folder / "open_clip_model.safetensors"
    write_bytes(path, save(clip.weights, {"imported": json.dumps(about)}))
    return path


def _write_ast(folder: Path, ast: "PublishedAst") -> Path:
    """Writes the audio encoder as transformers keeps one in a folder."""
    from safetensors.torch import save

    write_json(folder / "config.json", ast.config)
    write_json(folder / "preprocessor_config.json", ast.preprocessor)
    path = folder / "model.safetensors"
    write_bytes(path, save(ast.weights, {"format": "pt"}))
    return path


def _write_run(out: Path, kind: str, head: "Head", about: dict[str, Any], backbones: dict[str, Any]) -> None:
    import tomli_w

    preset = "mean-pool" if kind == "clip4clip" else kind
    protocol = _PROTOCOL.get(kind, "query")
    description = {
        "gaid": version_of("gaid") or "not installed",
        "preset": preset,
        "seed": 0,
        "head": {"preset": preset, "arguments": head.config},
        "store": {
            "path": "",
            "dataset": "",
            "protocol": None,
            "fingerprint": "",
            "missing_shards": [],
            "backbones": backbones,
        },
        "imported": about,
        "step": None,
        "validation": None,
    }
    path = out / CHECKPOINTS / "best.safetensors"
    write_checkpoint(path, head.state_dict(), description)
    write_json(path.with_suffix(".json"), description)
    write_json(out / METRICS, {"preset": preset, "seed": 0, "imported": True, "finished": True})
    config = {
        "preset": preset,
        "store": "",
        "dataset": "",
        "protocol": protocol,
        "seed": 0,
        "seeds": 1,
        "head": {name: value for name, value in head.config.items() if name not in SIZES},
        "imported": about,
    }
    text = "# Imported from a published checkpoint by `gaid import-checkpoint`; nothing was trained here, so there is no log.\n\n"
    write_bytes(out / CONFIG, (text + tomli_w.dumps(config)).encode())
