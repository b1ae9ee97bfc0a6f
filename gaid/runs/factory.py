"""Builds heads by the name of a preset or the path of a class, and says which options they and their training take."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

from gaid import plugins
from gaid.errors import HeadMismatch, OptionInvalid
from gaid.settings import can_hold, nearest

if TYPE_CHECKING:
    from gaid.heads import Head

# Arguments of a head that the store decides; all others are its options.
SIZES = ("visual_dim", "audio_dim", "text_dim", "frames")
# Options that heads did not have when runs were first written, with the value that those heads have.
_LATER = {
    "audio_input": "frames",
    "gates_without_audio": "closed",
    "query_rate": 1.0,
    "positive_weights": "published",
    "projections": True,
}
# What a head may take in place of embeddings, and the option of `gaid extract` that makes it.
_TOKENS = {
    "tokens": ("audio tokens", "--audio-tokens"),
    "clip": ("audio tokens of whole clips", "--audio-clip-tokens"),
}


def resolve_head(
    preset: str,
    *,
    visual_dim: int,
    audio_dim: int,
    text_dim: int,
    frames: int,
    options: Mapping[str, Any] | None = None,
    audio_token_dims: Mapping[str, int] | None = None,
) -> tuple["Head", dict[str, Any]]:
    """A head by the name of a preset or by the path of a class, and the description that builds it again.

    A class is `module:Class`, importable as usual or from the current folder, or `some/file.py:Class`; it is called with
    `visual_dim`, `audio_dim`, `text_dim`, `dim`, `frames` and the options. `audio_token_dims` are the sizes of a
    store's audio tokens, of whole clips (`clip`) and of frames (`tokens`), where it has them: a head that can take any takes
    tokens where there are some, those of clips first. Raises OptionInvalid, and HeadMismatch for a head that takes tokens where
    there are none.
    """
    options = dict(options or {})
    token_dims = audio_token_dims or {}
    audio_input = _audio_input(preset, options, token_dims)
    if audio_input in _TOKENS:
        if audio_input not in token_dims:
            what, option = _TOKENS[audio_input]
            raise HeadMismatch(
                f"{preset} takes {what} here and the store has none; `gaid extract {option}` makes one that has, "
                "and head.audio_input=frames takes its embeddings"
            )
        audio_dim = token_dims[audio_input]
    sizes = {"visual_dim": visual_dim, "audio_dim": audio_dim, "text_dim": text_dim, "frames": frames}
    if ":" in preset:
        arguments = {**sizes, "dim": options.pop("dim", None) or text_dim, **options}
        described = {"preset": preset, "arguments": arguments}
        return build_described_head(described), described
    from gaid.heads import PRESETS, build_head

    if preset not in PRESETS:
        raise OptionInvalid(
            f"preset {preset!r} is unknown; {nearest(preset, PRESETS)} (a class of your own is module:Class or file.py:Class)"
        )
    twice = sorted(sizes.keys() & options.keys())
    if twice:
        raise OptionInvalid(f"head.{twice[0]}: is the store's, and can't be set")
    head = build_head(preset, **sizes, **options)
    return head, {"preset": preset, "arguments": head.config}


def _audio_input(preset: str, options: dict[str, Any], token_dims: Mapping[str, int]) -> str:
    """`frames`, `tokens` or `clip`. Where the head has the choice and the options do not make it, the store does, in `options`."""
    kind = _class_of(preset)
    if "audio_input" not in inspect.signature(kind).parameters:
        return kind.audio_input
    if options.get("audio_input") is None:
        options["audio_input"] = next((kind for kind in ("clip", "tokens") if kind in token_dims), "frames")
    return str(options["audio_input"])


def _class_of(preset: str) -> "type[Head]":
    """The class of a preset's head, or the one at a path."""
    if ":" in preset:
        return find_class(preset)
    from gaid.heads import PRESETS, GatedHead

    return PRESETS[preset].kind if preset in PRESETS else GatedHead


def with_later_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings, with the options that its head got after it was written."""
    known = inspect.signature(_class_of(str(config["preset"]))).parameters
    later = {name: value for name, value in _LATER.items() if name in known}
    return {**config, "head": {**later, **config.get("head", {})}} if later else dict(config)


def build_described_head(described: Mapping[str, Any]) -> "Head":
    """The head of a description that `resolve_head` gave, untrained."""
    preset, arguments = described["preset"], dict(described["arguments"])
    if ":" not in preset:
        from gaid.heads import PRESETS, build_head

        # All arguments are given, so only the class of the preset matters, not its current defaults.
        return build_head(preset if preset in PRESETS else None, **arguments)
    from gaid.heads import adapt

    cls = find_class(preset)
    parameters = inspect.signature(cls).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for name in arguments.keys() - parameters.keys():
            if name in (*SIZES, "dim"):
                raise OptionInvalid(f"{preset}: must take {name} (or **options); see examples/own_head.py")
            raise OptionInvalid(f"head.{name} is no option of {preset}; {nearest(name, parameters)}")
    head = cls(**arguments)
    try:
        return adapt(head)
    except OptionInvalid as error:
        raise OptionInvalid(f"preset {preset!r}: {error}") from error


def find_class(path: str) -> "type[Head]":
    """The class at `module:Class` or `file.py:Class`, as a head's; the current folder is looked in too.

    Raises OptionInvalid, and CodeRefused for code within a run or store.
    """
    from torch import nn

    from gaid.heads.base import adapt_class

    def fits(found: Any) -> bool:
        return isinstance(found, type) and issubclass(found, nn.Module)

    return adapt_class(plugins.load_object(path, "preset", fits, "torch.nn.Module "))


def training_defaults_of(preset: str) -> dict[str, Any]:
    """Training defaults of a preset, or of a user's class (its attribute `training_defaults`)."""
    if ":" in preset:
        return dict(find_class(preset).training_defaults)
    from gaid.heads import PRESETS, training_defaults

    return dict(training_defaults(preset)) if preset in PRESETS else {}


def head_options(preset: str) -> dict[str, Any] | None:
    """The options that a head takes beside its sizes, each with its type; None where it takes any.

    Read from the signature of its class. An option without an annotation, or of a type that TOML cannot hold, may be anything.
    """
    cls = _class_of(preset)
    parameters = {n: p for n, p in inspect.signature(cls).parameters.items() if n not in SIZES}
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    try:
        hints = get_type_hints(cls.__init__)
    except NameError:  # an annotation that only a type checker can see
        hints = {}
    return {name: hints[name] if can_hold(hints.get(name)) else Any for name in parameters}
