"""The settings of a training, and how defaults, preset, file and options become one set of them. Imports no torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gaid import plugins
from gaid.errors import OptionInvalid
from gaid.settings import (
    GREATEST_SEED,
    Layers,
    Words,
    open_table,
    parse_options,
    read_settings,
    resolve,
    resolve_table,
    setting,
    to_tables,
)
from gaid.training.recipes import recipe_layer

if TYPE_CHECKING:
    from gaid.stores import Store


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training's result, beside the store's contents. Written to a run's config.toml."""

    preset: str = setting("gaid", "name of a preset, or module:Class or file.py:Class of a head of your own")
    store: str = setting("", "the store; taken from the command, kept for the record")
    dataset: str = setting("", "the store's data set; for the record")
    split_protocol: str | None = setting(None, "which of the data set's splits; by default its default one")
    protocol: Literal["query", "published"] = setting(
        "query", "whose caption gates a video: the query, or, as in GAID's published training, the video's own"
    )
    recipe: Literal["own", "published"] = setting(
        "own", "whose settings of training: the preset's own, or those that its method was published with"
    )
    seed: int = setting(0, "seed of initial weights, batches, dropout and perturbation", least=0, most=GREATEST_SEED)
    seeds: int = setting(1, "trainings with seed, seed + 1, ...", least=1)

    epochs: int = setting(30, "passes over what epoch_of says", least=0)
    epoch_of: Literal["videos", "pairs"] = setting(
        "videos",
        "what an epoch visits: each training video once, with one of its captions, or, as published, every caption with its "
        "video; the rest of a batch of pairs is negative, another caption of the same video too",
    )
    batch_size: int = setting(128, "captions per batch, each with its video", least=2)
    lr: float = setting(1e-3, "highest learning rate", above=0)
    weight_decay: float = setting(0.2, "weight decay of the parameters that are decayed", least=0)
    decayed: Literal["matrices", "weights", "all"] = setting(
        "matrices", "what decays: matrices (no norms, biases, scalars), weights (all but biases), or all parameters"
    )
    decay_to: Literal["zero", "start"] = setting(
        "zero", "where they decay to: zero, or the head as it was before the first step (L2-SP)"
    )
    adam_eps: float = setting(1e-8, "AdamW's epsilon", above=0)
    adam_beta2: float = setting(0.999, "AdamW's decay of the squared gradients", above=0, most=0.99999)
    warmup: float = setting(
        0.1, "share of all steps in which the rate rises; then it falls as a cosine", least=0, most=1
    )
    clip_norm: float = setting(1.0, "largest gradient norm", above=0)
    ema: float = setting(
        0.0,
        "decay of a running average of the weights, which is then evaluated and kept; 0: no average",
        least=0,
        most=0.99999,
    )
    patience: int = setting(10, "evaluations without improvement before it stops; 0 never stops early", least=0)
    evaluate_every: int = setting(1, "epochs between evaluations on validation", least=1)
    validation: str = setting("val", "the split's part that is validation")
    holdout: float = setting(
        0.1, "share of training videos held out where the split has no validation", above=0, most=0.5
    )

    audio: Literal["own", "shuffled", "none"] = setting(
        "own", "the audio of each clip: its own, another clip's, or none; controls for what the audio contributes"
    )
    start: Literal["random", "text"] = setting(
        "random",
        "how the head starts: at random, or, as AVIGATE's published training, as the text encoder's first blocks",
    )
    sound_dropout: float = setting(
        0.0, "share of a batch's clips whose sound is left out in training, drawn anew in each epoch", least=0, most=1
    )
    keep_checkpoints: bool = setting(False, "keep the head of every evaluation, as checkpoints/step-N.safetensors")
    matmul: Literal["highest", "high"] = setting("highest", "float32 products: exact, or TF32 on a GPU")
    threads: int = setting(0, "CPU threads; 0 keeps the current number", least=0)
    tensorboard: bool = setting(False, "also write the log for TensorBoard")
    head: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "options of the head, e.g. head.dim, head.dropout"}
    )


# What may change between a run and its resumption without changing its result.
FREE = ("store", "threads", "tensorboard", "keep_checkpoints")


@dataclass(frozen=True)
class TrainRequest:
    """The arguments of `train` as they were given; nothing in them has been checked."""

    store: "str | Path | Store"
    preset: str | None = None
    out: str | Path | None = None
    seed: int | None = None
    seeds: int | None = None
    config: str | Path | Mapping[str, Any] | None = None
    set: tuple[str, ...] = ()
    device: str = "auto"
    memory: str | int = "auto"
    resume: bool = False
    overwrite: bool = False
    split_protocol: str | None = None
    protocol: str | None = None
    recipe: str | None = None
    progress: bool = True
    allow_incomplete: bool = False


def gather(request: TrainRequest) -> Layers:
    """The settings that the user gave, as layers: file < arguments < options. Raises OptionInvalid."""
    config, preset = request.config, request.preset
    in_file = dict(config) if isinstance(config, Mapping) else {} if config is None else read_settings(config)
    where = "config" if config is None or isinstance(config, Mapping) else str(config)
    given = {
        name: getattr(request, name) for name in ("preset", "seed", "seeds", "split_protocol", "protocol", "recipe")
    }
    arguments = {name: value for name, value in given.items() if value is not None}
    if preset is not None and in_file.get("preset", preset) != preset:
        raise OptionInvalid(
            f"{where}: is for preset {in_file['preset']!r}, but {preset!r} was asked for; drop one of the two"
        )
    return [(where, in_file), ("argument", arguments), ("--set", parse_options(request.set))]


def preset_of(layers: Layers) -> str:
    """The preset that the last layer that has one gives, with the whole path of a class's file."""
    name = next((layer["preset"] for _, layer in reversed(layers) if "preset" in layer), TrainConfig.preset)
    return plugins.absolute(_plain_word(name))


def decide(layers: Layers, store: "Store") -> TrainConfig:
    """One TrainConfig: default < preset < recipe < layers; the published recipe depends on the store's data set and sizes.

    Raises OptionInvalid with all faults at once.
    """
    from gaid.runs.factory import training_defaults_of

    preset = preset_of(layers)
    of_preset = (f"preset {preset}", training_defaults_of(preset))
    layers = [of_preset, *([recipe_layer(preset, store)] if _asks_for_published(layers) else []), *layers]
    faults, found, options_of_head = [], None, None
    try:
        found = resolve(TrainConfig, layers)
    except OptionInvalid as error:
        faults.append(str(error))
    try:
        options_of_head = _head_options(preset, layers)
    except OptionInvalid as error:
        faults.append(str(error))
    if found is None or options_of_head is None:
        raise OptionInvalid("; ".join(faults))
    return replace(found, preset=preset, head=options_of_head)


def _asks_for_published(layers: Layers) -> bool:
    """Whether the published recipe is asked for. Raises OptionInvalid where a file or run has all settings of another recipe."""
    asked = [(where, _plain_word(layer["recipe"])) for where, layer in layers if "recipe" in layer]
    for (before, one), (after, other) in pairwise(asked):
        if one != other:
            raise OptionInvalid(
                f"{before}: is of recipe {one!r}, but {other!r} was asked for ({after}); drop one of the two"
            )
    return bool(asked) and asked[-1][1] == "published"


def _plain_word(value: Any) -> str:
    return value.text if isinstance(value, Words) else str(value)


def _head_options(preset: str, layers: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """The [head] tables of all layers as one, each option of the type that the head's class declares."""
    from gaid.runs.factory import head_options

    tables = [(where, layer["head"]) for where, layer in layers if isinstance(layer.get("head"), Mapping)]
    known = head_options(preset)
    return open_table(tables) if known is None else resolve_table(known, tables, "head.")


def with_head(config: TrainConfig, arguments: Mapping[str, Any]) -> TrainConfig:
    """The config with every option of the head as it was built; sizes that the store decides are left out."""
    from gaid.runs.factory import SIZES

    return replace(config, head={name: value for name, value in arguments.items() if name not in SIZES})


def differences(before: TrainConfig, after: TrainConfig) -> list[str]:
    """The differences between two configs that can influence the result, in words.

    They are compared as files hold them, where an option that is off and a choice called "none" are the same word.
    """
    found = []
    old, new = to_tables(before), to_tables(after)
    for name in (f.name for f in fields(TrainConfig) if f.name not in (*FREE, "head")):
        if old[name] != new[name]:
            found.append(f"{name} was {old[name]!r} and is now {new[name]!r}")
    for name in sorted({*old["head"], *new["head"]}):
        was, is_now = old["head"].get(name), new["head"].get(name)
        if was != is_now:
            found.append(f"head.{name} was {was!r} and is now {is_now!r}")
    return found
