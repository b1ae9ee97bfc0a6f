"""Which CLIP a name means, and where its weights are. No torch is imported and no model is built here."""

import difflib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gaid.backbones import hub
from gaid.errors import BackboneUnavailable, OptionInvalid

DEFAULT = "ViT-B-32/openai"
# Those that the documentation names, so that a missing file is reported without importing open_clip first (seconds). A
# test compares this table with open_clip's own.
REPOSITORIES = {
    "ViT-B-32/openai": "timm/vit_base_patch32_clip_224.openai",
    "ViT-B-16/openai": "timm/vit_base_patch16_clip_224.openai",
    "ViT-L-14/openai": "timm/vit_large_patch14_clip_224.openai",
}
TOKENIZERS = ("tokenizer.json", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model")
FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


@dataclass(frozen=True)
class ClipWeights:
    """One CLIP: its architecture, weights and preprocessing, which belong together.

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
    rest = rest or DEFAULT
    if f"{rest}/openai" in REPOSITORIES:
        rest = f"{rest}/openai"
    if rest in REPOSITORIES:
        file = None if random_weights else _clip_file(rest, REPOSITORIES[rest], FILES)
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


def find_tokenizer(weights: ClipWeights) -> Path | None:
    """The folder of the tokeniser that a model's texts are cut by, where it is one of a hub: beside the weights, or in the
    cache. None where open_clip ships it, and for random weights.

    Raises BackboneUnavailable where it is not at hand.
    """
    if weights.file is None or f"{weights.model}/{weights.tag}" in REPOSITORIES:
        return None
    from open_clip.factory import get_model_config

    name = get_model_config(weights.model)["text_cfg"].get("hf_tokenizer_name")
    if not name:
        return None
    if any(weights.file.with_name(file).is_file() for file in TOKENIZERS):
        return weights.file.parent
    file = hub.cached_file(name, TOKENIZERS)
    if file is not None:
        return file.parent
    if hub.may_download():
        return hub.download_folder(
            f"clip:{weights.model}", name, only=("tokenizer*", "*.model", "special_tokens_map.json")
        )
    raise BackboneUnavailable(
        f"clip:{weights.model}: no tokeniser at hand for its texts: `hf download {name} --include 'tokenizer*' '*.model'` "
        f"where there is a network (or set GAID_DOWNLOAD=1), or put its files into {weights.file.parent}"
    )


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
        inside = [file / name for name in FILES if (file / name).is_file()]
        if not inside:
            raise BackboneUnavailable(f"clip:{model}/{pretrained}: the folder holds neither {' nor '.join(FILES)}")
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
    found = hub.cached_file(repository, names)
    if found is None and hub.may_download():
        found = hub.download(f"clip:{rest}", repository, names)
    if found is None:
        model = rest.split("/")[0]
        raise hub.not_at_hand(f"clip:{rest}", f"hf download {repository} {names[0]}", f"clip:{model}/FOLDER")
    return found


def _safe_first(filename: str) -> tuple[str, ...]:
    if not filename:
        return FILES
    safe = str(Path(filename).with_suffix(".safetensors"))
    return (filename,) if filename == safe else (safe, filename)
