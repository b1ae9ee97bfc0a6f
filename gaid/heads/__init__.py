"""Heads, which stage two trains on stored features: gate, pooling, perturbation, losses, and scoring of all pairs. No files, no printing."""

from gaid.heads.avigate import AvigateHead
from gaid.heads.base import Explanation, Head, HeadBase, LossParts, adapt
from gaid.heads.features import Features
from gaid.heads.gated import GatedHead
from gaid.heads.presets import PRESETS, Preset, build_head, get_preset, training_defaults
from gaid.heads.published import load_published
from gaid.heads.senses import SensesHead

__all__ = [
    "PRESETS",
    "AvigateHead",
    "Explanation",
    "Features",
    "GatedHead",
    "Head",
    "HeadBase",
    "LossParts",
    "Preset",
    "SensesHead",
    "adapt",
    "build_head",
    "get_preset",
    "load_published",
    "training_defaults",
]
