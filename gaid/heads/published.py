"""Published checkpoints of X-Pool, T-MASS, GAID and AVIGATE as heads: which of their weights is which of ours.

Reading the files, and what else they hold (CLIP), is left to `gaid.imports`.
"""

from collections.abc import Collection, Mapping
from typing import TypeVar

from torch import Tensor

from gaid.errors import HeadMismatch
from gaid.heads.avigate import AvigateHead
from gaid.heads.base import HeadBase
from gaid.heads.gated import GatedHead
from gaid.heads.presets import build_head

H = TypeVar("H", bound=HeadBase)

_POOLING = {
    "cross_attn.q_proj": "query",
    "cross_attn.k_proj": "key",
    "cross_attn.v_proj": "value",
    "cross_attn.out_proj": "out",
    "linear_proj": "linear",
    "layer_norm1": "norm_inputs",
    "layer_norm2": "norm_attended",
    "layer_norm3": "norm_pooled",
}
_NAMES = {
    **{
        f"pool_frames.{theirs}.{kind}": f"pooling.{ours}.{kind}"
        for theirs, ours in _POOLING.items()
        for kind in ("weight", "bias")
    },
    **{
        f"stochastic.std_branch.{layer}.{kind}": f"perturbation.deviation.linear.{kind}"
        for layer in ("linear_proj", "linear")
        for kind in ("weight", "bias")
    },
    "stochastic.alpha": "perturbation.alpha",
    "gate_fc.weight": "gate.linear.weight",
    "gate_fc.bias": "gate.linear.bias",
}
# Part of the published modules, used by none of their computations.
_UNUSED = ("stochastic.std_branch.learnable_scalar",)

# AVIGATE's names of the layers in a block; `attn`, `cross_attn` and the norms' numbers are as CLIP has them.
_AVIGATE_BLOCK = {
    "attn": "attention",
    "cross_attn": "cross_attention",
    "ln_1": "norm_attention",
    "ln_2": "norm_mlp",
    "ln_3": "norm_cross",
    "ln_4": "norm_cross_mlp",
    "mlp.c_fc": "mlp.0",
    "mlp.c_proj": "mlp.2",
    "cross_ff.cross_fc": "cross_mlp.0",
    "cross_ff.cross_proj": "cross_mlp.2",
    "attn_gate.ag_fc": "attention_gate.0",
    "attn_gate.ag_proj": "attention_gate.2",
    "ff_gate.fg_fc": "mlp_gate.0",
    "ff_gate.fg_proj": "mlp_gate.2",
}
_AVIGATE_STACKS = {"transformer_Fusion": "resampler", "transformerClip": "fusion"}
_AVIGATE_WHOLE = ("query_tokens", "query_position_embeddings.weight", "frame_position_embeddings.weight")
# Ours that published heads don't have: their embeddings meet without a projection, and they keep no mean text.
_OURS_ALONE = ("visual_proj.weight", "audio_proj.weight", "text_proj.weight", "neutral_text")


def is_published(name: str) -> bool:
    """Whether a name, without `module.`, belongs to a published head (CLIP's own do not)."""
    of_avigate = name in _AVIGATE_WHOLE or name.partition(".resblocks.")[0] in _AVIGATE_STACKS
    return of_avigate or name in _NAMES or name in _UNUSED


def is_used(name: str) -> bool:
    """Whether a published head computes with the weight of this name."""
    return is_published(name) and name not in _UNUSED


def load_published(
    state_dict: Mapping[str, Tensor], frames: int | None = None, num_heads: int | None = None
) -> GatedHead | AvigateHead:
    """A head with a published checkpoint's weights, in evaluation mode; CLIP's own (`clip.*`) are left aside.

    Its method follows from the names: `gate_fc` (GAID), `stochastic` without `alpha` (T-MASS), `pool_frames` alone (X-Pool),
    `query_tokens` (AVIGATE). Projections are the identity, as the published heads have none.

    Args:
        state_dict: keys as published, with or without the prefix `module.` of parallel training.
        frames: frames per video; read from the weights where they depend on it, else 12.
        num_heads: attention heads of AVIGATE, which its weights do not show; D / 64 by default.

    Raises: HeadMismatch where weights of the head are missing, or names belong to no published head.
    """
    given = {name.removeprefix("module."): value for name, value in state_dict.items()}
    given = {name: value for name, value in given.items() if not name.startswith("clip.") and name not in _UNUSED}
    if "query_tokens" in given or any(name.startswith("transformer_Fusion.") for name in given):
        return _load_avigate(given, frames, num_heads)
    query = given.get("pool_frames.cross_attn.q_proj.weight")
    if query is None:
        raise HeadMismatch(
            "no published head here: expected keys pool_frames.*, with stochastic.* (T-MASS) and gate_fc.* (GAID), or "
            "query_tokens (AVIGATE); "
            f"found {', '.join(sorted(given)[:5]) or 'none'}"
        )
    _refuse_unknown(set(given) - set(_NAMES))
    ours = {_NAMES[name]: value for name, value in given.items()}
    deviation = ours.get("perturbation.deviation.linear.weight")
    if deviation is not None:
        frames = deviation.shape[1]
    method = "gaid" if "gate.linear.weight" in ours else "x-pool" if deviation is None else "t-mass"
    dim = query.shape[0]
    head = build_head(
        method, visual_dim=dim, audio_dim=dim, text_dim=dim, dim=dim, frames=frames or 12,
        perturbation="none" if deviation is None else ("dasp" if "perturbation.alpha" in ours else "stp"),
    )  # fmt: skip
    assert isinstance(head, GatedHead)
    return _loaded(head, ours, method)


def _load_avigate(given: Mapping[str, Tensor], frames: int | None, num_heads: int | None) -> AvigateHead:
    """A full checkpoint has more frame positions than frames: the first ones are the frames'."""
    lacking = [name for name in _AVIGATE_WHOLE if name not in given]
    lacking += [
        f"{stack}.*" for stack in _AVIGATE_STACKS if not any(name.startswith(f"{stack}.resblocks.") for name in given)
    ]
    if lacking:
        raise HeadMismatch(f"the checkpoint lacks weights of avigate: {', '.join(lacking)}")
    positions = given["frame_position_embeddings.weight"]
    dim, queries = given["query_tokens"].shape
    frames = min(frames or 12, len(positions))
    layers = len({name.split(".")[2] for name in given if name.startswith("transformerClip.resblocks.")})
    head = AvigateHead(dim, dim, dim, dim, frames, attention_heads=num_heads, layers=layers, queries=queries)
    ours = {
        "queries": given["query_tokens"].t(),
        "query_positions": given["query_position_embeddings.weight"],
        "frame_positions": positions[:frames],
    }
    named = {name: _avigate_name(name) for name in given if name not in _AVIGATE_WHOLE}
    _refuse_unknown({name for name, ours_is in named.items() if ours_is is None})
    ours |= {ours_is: given[name] for name, ours_is in named.items() if ours_is is not None}
    return _loaded(head, ours, "avigate")


def _avigate_name(name: str) -> str | None:
    """Our name of a weight in one of AVIGATE's blocks; None for another."""
    stack, _, rest = name.partition(".resblocks.")
    number, _, inner = rest.partition(".")
    layers = sorted(_AVIGATE_BLOCK, key=len, reverse=True)
    layer = next((theirs for theirs in layers if inner.startswith(f"{theirs}.")), None)
    if stack not in _AVIGATE_STACKS or layer is None:
        return None
    return f"{_AVIGATE_STACKS[stack]}.{number}.{_AVIGATE_BLOCK[layer]}{inner.removeprefix(layer)}"


def _refuse_unknown(names: Collection[str]) -> None:
    if names:
        raise HeadMismatch(f"keys that belong to no published head: {', '.join(sorted(names)[:5])}")


def _loaded(head: H, ours: Mapping[str, Tensor], method: str) -> H:
    """The head with these weights. Raises HeadMismatch where some are missing or of another shape."""
    wanted = {name: value for name, value in head.state_dict().items() if name not in _OURS_ALONE}
    missing = sorted(wanted.keys() - ours.keys())
    if missing:
        raise HeadMismatch(f"the checkpoint lacks weights of {method}: {', '.join(missing[:5])}")
    for name, value in wanted.items():
        if ours[name].shape != value.shape:
            raise HeadMismatch(f"{name} has shape {tuple(ours[name].shape)}, expected {tuple(value.shape)}")
    head.load_state_dict(ours, strict=False)
    return head.eval()
