"""Key names of published checkpoints: X-Pool's, T-MASS's, GAID's and AVIGATE's heads become ours. Files are read by others."""

from collections.abc import Mapping

from torch import Tensor

from gaid.errors import HeadMismatch
from gaid.heads.avigate import AvigateHead, belongs_to_avigate, is_avigate, load_avigate
from gaid.heads.gated import GatedHead
from gaid.heads.presets import build_head

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


def is_published(name: str) -> bool:
    """Whether a name, without `module.`, belongs to a published head (CLIP's own do not)."""
    return name in _NAMES or name in _UNUSED or belongs_to_avigate(name)


def is_used(name: str) -> bool:
    """Whether a published head computes with the weight of this name."""
    return is_published(name) and name not in _UNUSED


def load_published(
    state_dict: Mapping[str, Tensor], frames: int | None = None, num_heads: int | None = None
) -> GatedHead | AvigateHead:
    """A head with a published checkpoint's weights; CLIP's own (`clip.*`) are left aside.

    Which method it is follows from the names: `gate_fc` (GAID), `stochastic` without `alpha` (T-MASS), `pool_frames` alone
    (X-Pool), `query_tokens` (AVIGATE). Projections are the identity, as the published heads have none.

    Args:
        state_dict: keys as published, with or without the prefix `module.` of parallel training.
        frames: frames a video; read from the weights where they tell it, else 12.
        num_heads: attention heads of AVIGATE, which its weights do not tell; D / 64 by default.

    Raises: HeadMismatch when the head's weights are not all there, or hold names that belong to no published head.
    """
    given = {name.removeprefix("module."): value for name, value in state_dict.items()}
    given = {name: value for name, value in given.items() if not name.startswith("clip.") and name not in _UNUSED}
    if is_avigate(given):
        return load_avigate(given, frames, num_heads)
    query = given.get("pool_frames.cross_attn.q_proj.weight")
    if query is None:
        raise HeadMismatch(
            "no published head here: expected keys pool_frames.*, with stochastic.* (T-MASS) and gate_fc.* (GAID), or "
            "query_tokens (AVIGATE); "
            f"found {', '.join(sorted(given)[:5]) or 'none'}"
        )
    strange = sorted(set(given) - set(_NAMES))
    if strange:
        raise HeadMismatch(f"keys that belong to no published head: {', '.join(strange[:5])}")
    ours = {_NAMES[name]: value for name, value in given.items()}
    preset = "gaid" if "gate.linear.weight" in ours else "x-pool"
    deviation = ours.get("perturbation.deviation.linear.weight")
    if deviation is not None:
        frames = deviation.shape[1]
        if preset == "x-pool":
            preset = "t-mass"
    dim = query.shape[0]
    head = build_head(
        preset, visual_dim=dim, audio_dim=dim, text_dim=dim, dim=dim, frames=frames or 12,
        perturbation="none" if deviation is None else ("dasp" if "perturbation.alpha" in ours else "stp"),
    )  # fmt: skip
    assert isinstance(head, GatedHead)
    wanted = {
        name: value for name, value in head.state_dict().items() if "_proj." not in name and name != "neutral_text"
    }
    missing = sorted(set(wanted) - set(ours))
    if missing:
        raise HeadMismatch(f"the checkpoint lacks weights of {preset}: {', '.join(missing[:5])}")
    for name, value in wanted.items():
        if ours[name].shape != value.shape:
            raise HeadMismatch(f"{name} has shape {tuple(ours[name].shape)}, expected {tuple(value.shape)}")
    head.load_state_dict(ours, strict=False)
    return head.eval()
