"""Frozen encoders by name. Nothing heavy is imported until one is loaded, and what is loaded is kept for the process.

Names are those of the families in this folder (`tiny`, `clip:MODEL/WEIGHTS`, ...), or a class of your own as
`my_module:MyBackbone` or `file.py:MyBackbone`. To add a family, add a module with a `SPEC` (BackboneSpec).
"""

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

from gaid import devices, plugins
from gaid.backbones.protocol import (
    AudioBackbone,
    Backbones,
    BackboneSpec,
    BackboneStatus,
    PublishedModel,
    TextBackbone,
    TextFeatures,
    Transcriber,
    VisualBackbone,
)
from gaid.errors import OptionInvalid
from gaid.settings import nearest
from gaid.specs import AudioSpec, FrameSpec, Segment

__all__ = [
    "AudioBackbone",
    "AudioSpec",
    "BackboneStatus",
    "Backbones",
    "FrameSpec",
    "PublishedModel",
    "Segment",
    "TextBackbone",
    "TextFeatures",
    "Transcriber",
    "VisualBackbone",
    "licence_of",
    "load_audio",
    "load_backbones",
    "load_speech",
    "load_text",
    "load_visual",
    "published_models",
    "statuses",
]

# Each is a module of this folder with its SPEC; the others of the folder are what they share.
FAMILIES: Mapping[str, BackboneSpec] = plugins.BuiltIn(
    __name__, __path__, besides=("protocol", "hub", "inference", "hashed_words", "spoken", "tones")
)
MEMBERS = {
    "visual": ("name", "dim", "frame_spec", "provenance", "patch_shape", "encode_frames", "encode_patches"),
    "audio": ("name", "dim", "audio_spec", "provenance", "encode_audio"),
    "text": ("name", "dim", "provenance", "encode_text", "count_tokens"),
    "speech": ("name", "provenance", "rate"),
}
WHOLE_SOUND = ("name", "dim", "audio_spec", "provenance", "steps_per_second", "encode_steps")


def load_backbones(
    visual: str,
    audio: str,
    text: str | None = None,
    device: str = "cpu",
    random_weights: bool = False,
    patches: bool = False,
    seed: int = 0,
    audio_tokens: bool = False,
    audio_clip_tokens: bool = False,
) -> Backbones:
    """The three encoders of a store; `text` defaults to the visual backbone's own.

    The same arguments give the same objects within a process. `random_weights` builds the real architecture from `seed`
    where a family has weights to fetch; the others come with theirs. `patches` requires a visual backbone
    with patches, `audio_tokens` an audio backbone with tokens, `audio_clip_tokens` one with tokens of a whole clip. Raises
    BackboneUnavailable (weights), DependencyMissing (an extra) or OptionInvalid.
    """
    # All three are looked for before the first is built, so that whatever is missing is reported at once.
    built = Backbones(*[build() for build in _find_all(visual, audio, text, device, random_weights, seed)])
    if patches and built.visual.patch_shape is None:
        raise OptionInvalid(f"backbone {visual!r} has no patches to give; leave out --patches, or use a ViT of clip")
    if audio_tokens and built.audio.token_shape is None:
        raise OptionInvalid(f"backbone {audio!r} has no audio tokens to give; leave out --audio-tokens, or use clap")
    if audio_clip_tokens and built.audio.clip_token_shape is None:
        raise OptionInvalid(
            f"backbone {audio!r} has no tokens of a whole clip to give; leave out --audio-clip-tokens, or use ast"
        )
    return built


def check_backbones(visual: str, audio: str, text: str | None = None, random_weights: bool = False) -> None:
    """Raises what `load_backbones` would raise about names, extras and weights, without building an encoder."""
    _find_all(visual, audio, text, "cpu", random_weights, 0)


def load_visual(name: str, device: str = "cpu", random_weights: bool = False, seed: int = 0) -> VisualBackbone:
    """One visual backbone by name."""
    return _find(name, "visual", device, random_weights, seed)()


def load_audio(name: str, device: str = "cpu", random_weights: bool = False, seed: int = 0) -> AudioBackbone:
    """One audio backbone by name."""
    return _find(name, "audio", device, random_weights, seed)()


def load_text(name: str, device: str = "cpu", random_weights: bool = False, seed: int = 0) -> TextBackbone:
    """One text backbone by name."""
    return _find(name, "text", device, random_weights, seed)()


def load_speech(name: str, device: str = "cpu") -> Transcriber:
    """One transcriber by name."""
    return _find(name, "speech", device, False, 0)()


def statuses() -> list[BackboneStatus]:
    """Which built-in backbones can be used now, found without loading any or using a network."""
    return [status for spec in FAMILIES.values() for status in spec.statuses()]


def published_models() -> list[PublishedModel]:
    """Models of the built-in families that `gaid doctor` lists."""
    return [model for spec in FAMILIES.values() for model in spec.models]


def licence_of(name: str, kind: str) -> str:
    """What is known of the licence of a backbone's weights: as its card or package states it, else `unknown`."""
    spec = FAMILIES.get(name.partition(":")[0])
    known = {one.name: one.licence for one in spec.models} | dict(spec.licences) if spec else {}
    return known.get(name) or known.get(kind) or "unknown"


def _find_all(
    visual: str, audio: str, text: str | None, device: str, random_weights: bool, seed: int
) -> list[Callable[[], Any]]:
    wanted = ((visual, "visual"), (audio, "audio"), (visual if text is None else text, "text"))
    return [_find(name, kind, device, random_weights, seed) for name, kind in wanted]


def _find(name: str, kind: str, device: str, random_weights: bool, seed: int) -> Callable[[], Any]:
    """Makes sure that a backbone can be had, without torch, and returns what builds it."""
    family, _, variant = name.partition(":")
    if family not in FAMILIES:
        if variant:
            plugins.load_object(name, "backbone", callable)
            return partial(_load_own, name, kind, device, random_weights, seed)
        raise OptionInvalid(
            f"no backbone is named {name!r}; {nearest(name, FAMILIES)} (your own is file.py:Class or module:Class)"
        )
    spec = FAMILIES[family]
    if kind not in spec.kinds:
        able = ", ".join(one.name for one in FAMILIES.values() if kind in one.kinds)
        does = "transcribes no" if kind == "speech" else "encodes no"
        raise OptionInvalid(f"backbone {name!r} {does} {kind}; those that do: {able}")
    if variant and not spec.has_variants:
        raise OptionInvalid(f"backbone {family!r} has no variants; write {family!r} in place of {name!r}")
    return partial(spec.find(kind, variant, random_weights), device, seed)


@lru_cache(maxsize=8)
def _load_own(name: str, kind: str, device: str, random_weights: bool, seed: int) -> Any:
    """An instance of a user's class, called with those of device, random_weights and seed that its constructor takes."""
    factory = plugins.load_object(name, "backbone", callable)
    given = {"device": devices.pick_device(device), "random_weights": random_weights, "seed": seed}
    wanted = inspect.signature(factory).parameters
    built = factory(**{option: value for option, value in given.items() if option in wanted})
    wanted_members = MEMBERS[kind]
    if kind == "audio":
        if not hasattr(built, "token_shape"):  # a class may do without tokens
            built.token_shape = None
        elif built.token_shape is not None:
            wanted_members = (*wanted_members, "encode_audio_tokens")
        if getattr(getattr(built, "audio_spec", None), "whole", False):
            wanted_members = WHOLE_SOUND
        if not hasattr(built, "has_text"):  # or without a text side
            built.has_text = False
        elif built.has_text:
            wanted_members = (*wanted_members, "encode_text")
        if not hasattr(built, "clip_token_shape"):
            built.clip_token_shape = None
        elif built.clip_token_shape is not None:
            wanted_members = (*wanted_members, "encode_clip")
    if kind == "speech":
        wanted_members = (*wanted_members, "transcribe" if getattr(built, "rate", 0) else "read")
    lacking = [member for member in wanted_members if not hasattr(built, member)]
    if lacking:
        missing = ", ".join(lacking)
        raise OptionInvalid(
            f"backbone {plugins.shown(name)!r} is not a {kind} backbone: it lacks {missing} (gaid.backbones.protocol)"
        )
    return built
