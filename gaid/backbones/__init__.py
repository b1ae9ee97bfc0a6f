"""Frozen encoders by name. Nothing heavy is imported until one is loaded.

Names: `tiny`, `offline`, `clip:MODEL/PRETRAINED` (`clip` alone is ViT-B-32/openai), `clap:CHECKPOINT` (`clap` alone is
laion/clap-htsat-unfused), or a class of one's own as `my_module:MyBackbone`.
"""

import difflib
import inspect
import sys
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from gaid.backbones.protocol import (
    AudioBackbone,
    AudioSpec,
    Backbones,
    BackboneStatus,
    FrameSpec,
    TextBackbone,
    TextFeatures,
    VisualBackbone,
)
from gaid.errors import OptionInvalid

__all__ = [
    "AudioBackbone",
    "AudioSpec",
    "BackboneStatus",
    "Backbones",
    "FrameSpec",
    "TextBackbone",
    "TextFeatures",
    "VisualBackbone",
    "load_audio",
    "load_backbones",
    "load_text",
    "load_visual",
    "statuses",
]

# family -> kind -> class in the module of the family's name
FAMILIES: dict[str, dict[str, str]] = {
    "clip": {"visual": "ClipVisual", "text": "ClipText"},
    "clap": {"audio": "ClapAudio"},
    "offline": {"visual": "OfflineVisual", "audio": "OfflineAudio", "text": "OfflineText"},
    "tiny": {"visual": "TinyVisual", "audio": "TinyAudio", "text": "TinyText"},
}
MEMBERS = {
    "visual": ("name", "dim", "frame_spec", "provenance", "patch_shape", "encode_frames", "encode_patches"),
    "audio": ("name", "dim", "audio_spec", "provenance", "encode_audio"),
    "text": ("name", "dim", "provenance", "encode_text", "count_tokens"),
}


def load_backbones(
    visual: str,
    audio: str,
    text: str | None = None,
    device: str = "cpu",
    random_weights: bool = False,
    patches: bool = False,
    seed: int = 0,
) -> Backbones:
    """The three encoders of a store; `text` is the visual one's own unless it is named.

    The same arguments give the same objects within a process. `random_weights` builds the real architecture from `seed`
    where a family has weights to fetch (clip, clap); the others come with theirs. `patches` makes sure that the visual
    backbone has patches to give. Raises BackboneUnavailable (weights), DependencyMissing (an extra) or OptionInvalid.
    """
    built = Backbones(
        visual=load_visual(visual, device, random_weights, seed),
        audio=load_audio(audio, device, random_weights, seed),
        text=load_text(visual if text is None else text, device, random_weights, seed),
    )
    if patches and built.visual.patch_shape is None:
        raise OptionInvalid(f"backbone {visual!r} has no patches to give; use clip:ViT-B-32/openai, or leave out --patches")
    return built


def load_visual(name: str, device: str = "cpu", random_weights: bool = False, seed: int = 0) -> VisualBackbone:
    """One visual backbone by name."""
    return _load(name, "visual", device, random_weights, seed)


def load_audio(name: str, device: str = "cpu", random_weights: bool = False, seed: int = 0) -> AudioBackbone:
    """One audio backbone by name."""
    return _load(name, "audio", device, random_weights, seed)


def load_text(name: str, device: str = "cpu", random_weights: bool = False, seed: int = 0) -> TextBackbone:
    """One text backbone by name."""
    return _load(name, "text", device, random_weights, seed)


def statuses() -> list[BackboneStatus]:
    """What of the built-in backbones can be used now, without loading any or asking a network."""
    found: list[BackboneStatus] = []
    for family in FAMILIES:
        if family == "tiny":  # needs nothing, so there is nothing to look for
            found += [BackboneStatus("tiny", kind, True, "none needed", "") for kind in ("visual", "audio", "text")]
        else:
            found += import_module(f"gaid.backbones.{family}").statuses()
    return found


@lru_cache(maxsize=16)
def _load(name: str, kind: str, device: str, random_weights: bool, seed: int) -> Any:
    family, _, rest = name.partition(":")
    if family in FAMILIES:
        kinds = FAMILIES[family]
        if kind not in kinds:
            able = ", ".join(sorted(one for one, has in FAMILIES.items() if kind in has))
            raise OptionInvalid(f"backbone {name!r} encodes no {kind} ({', '.join(kinds)} only); for {kind} use one of: {able}")
        factory = getattr(import_module(f"gaid.backbones.{family}"), kinds[kind])
        if family in ("tiny", "offline"):
            if rest:
                raise OptionInvalid(f"backbone {family!r} has no variants, so {name!r} is none; write {family!r}")
            return _construct(factory, device=_device(device) if family == "offline" else device)
        options = {"device": _device(device), "random_weights": random_weights, "seed": seed}
        return factory.load(rest, **options)
    if rest:
        return _load_own(family, rest, kind, device=device, random_weights=random_weights, seed=seed)
    near = difflib.get_close_matches(name, FAMILIES, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise OptionInvalid(f"no backbone is named {name!r}; {hint}known: {', '.join(FAMILIES)}, or my_module:MyBackbone")


def _load_own(module: str, attribute: str, kind: str, **options: Any) -> Any:
    """A class of the user's own; it is given those of device, random_weights and seed that its constructor names."""
    where = f"{module}:{attribute}"
    here = str(Path.cwd())  # a console script does not look for modules where the user stands
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        factory = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise OptionInvalid(f"backbone {where!r}: no module {error.name!r} here or installed ({here})") from error
    except AttributeError as error:
        raise OptionInvalid(f"backbone {where!r}: the module has no {attribute!r}") from error
    finally:
        if added:
            sys.path.remove(here)
    built = _construct(factory, **options)
    lacking = [member for member in MEMBERS[kind] if not hasattr(built, member)]
    if lacking:
        raise OptionInvalid(f"backbone {where!r} is no {kind} backbone: it lacks {', '.join(lacking)} (gaid.backbones.protocol)")
    return built


def _construct(factory: Any, **options: Any) -> Any:
    accepted = inspect.signature(factory).parameters
    return factory(**{name: value for name, value in options.items() if name in accepted})


def _device(device: str) -> str:
    """`auto` as the device that it means here; cuda without a GPU is refused before anything is loaded."""
    if device == "cpu":
        return device
    import torch

    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if device.isdigit():  # MTEB's habit: a number is a GPU
        device = f"cuda:{device}"
    try:
        kind = torch.device(device)
    except RuntimeError as error:
        raise OptionInvalid(f"no device is named {device!r}; use auto, cpu or cuda:0") from error
    if kind.type == "cuda" and (not torch.cuda.is_available() or (kind.index or 0) >= torch.cuda.device_count()):
        raise OptionInvalid(f"device {device!r} is not there ({torch.cuda.device_count()} GPUs); use --device cpu")
    return str(kind)
