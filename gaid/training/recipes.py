"""The settings of training that methods were published with, as far as frozen features allow: `train-head --recipe published`.

What no training of a head over features can set (CLIP's own rate, augmentation) is listed in docs/training.md, beside the
presets' own settings, which are in `gaid.heads.presets`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gaid.errors import OptionInvalid
from gaid.settings import nearest

if TYPE_CHECKING:
    from gaid.stores import Store


@dataclass(frozen=True)
class Recipe:
    """A published training: its settings for MSR-VTT, what its scripts for other data sets change (`elsewhere`), and those of
    the head where the store has tokens of whole clips, as the method's encoder gives them (`of_clips`).

    A data set without a script of its own is trained as MSR-VTT.
    """

    training: Mapping[str, Any]
    head: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = field(default_factory=dict)
    of_clips: Mapping[str, Any] = field(default_factory=dict)
    hears: bool = False  # audio embeddings meet the others without a projection, so their size must be equal too

    def settings(self, store: "Store") -> dict[str, Any]:
        """The settings for a store; no learnt projections where the sizes of its embeddings agree."""
        training, head = self.elsewhere.get(store.dataset, ({}, {}))
        sizes = {store.visual_dim, store.text_dim} | ({store.audio_dim} if self.hears else set())
        projections = {"projections": False} if len(sizes) == 1 else {}
        of_clips = self.of_clips if store.audio_clip_token_shape else {}
        return {**self.training, **training, "head": {**self.head, **projections, **of_clips, **head}}


# X-Pool's training code, which T-MASS and GAID took over.
_X_POOL: dict[str, Any] = {
    "lr": 3e-5,
    "weight_decay": 0.2,
    "decayed": "all",
    "adam_eps": 1e-6,
    "adam_beta2": 0.999,
    "batch_size": 32,
    "epochs": 5,
    "epoch_of": "pairs",
    "warmup": 0.1,
    "clip_norm": 1.0,
    "patience": 0,
}
# CLIP4Clip's, which AVIGATE took over.
_CLIP4CLIP: dict[str, Any] = {
    **_X_POOL,
    "lr": 1e-4,
    "decayed": "weights",
    "adam_beta2": 0.98,
    "batch_size": 128,
}
# GAID's scripts for the other data sets train on two GPUs, each with its own 16 of a batch of 32.
_ON_TWO_GPUS: dict[str, Any] = {"lr": 1e-5, "batch_size": 16}
_GAID = Recipe(
    {**_X_POOL, "protocol": "published"},
    {"dropout": 0.3, "support_loss_weight": 0.8, "positive_weights": "published"},
    {
        "didemo": ({**_ON_TWO_GPUS, "epochs": 8}, {"dropout": 0.4, "support_loss_weight": 0.0}),
        "lsmdc": (_ON_TWO_GPUS, {"support_loss_weight": 0.5}),
        "vatex": (_ON_TWO_GPUS, {"dropout": 0.4, "support_loss_weight": 0.0}),
    },
    hears=True,
)

RECIPES: dict[str, Recipe] = {
    "mean-pool": Recipe(_CLIP4CLIP),
    "x-pool": Recipe(_X_POOL, {"dropout": 0.3}, {"lsmdc": ({"lr": 1e-5}, {})}),
    "t-mass": Recipe(
        _X_POOL,
        {"dropout": 0.3, "support_loss_weight": 0.8},
        {
            "didemo": ({"lr": 1e-5}, {"dropout": 0.4, "support_loss_weight": 0.0}),
            "lsmdc": ({"lr": 1e-5}, {"prior": "normal", "support_loss_weight": 0.0}),
        },
    ),
    "avigate": Recipe(_CLIP4CLIP, {"query_rate": 100.0}, of_clips={"gates_without_audio": "open"}),
    "gaid-sample": _GAID,
    "gaid-token": _GAID,
    "gaid": _GAID,
}


def recipe_layer(preset: str, store: "Store") -> tuple[str, dict[str, Any]]:
    """The published recipe of a preset as a layer of settings. Raises OptionInvalid for a preset without one."""
    if preset not in RECIPES:
        own = "a class of your own brings its settings itself" if ":" in preset else nearest(preset, RECIPES)
        raise OptionInvalid(f"--recipe published: {preset} has no published recipe; {own}")
    return "recipe published", RECIPES[preset].settings(store)
