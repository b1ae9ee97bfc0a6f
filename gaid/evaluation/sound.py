"""Which frames' sound counted, compared with a data set's ground truth where it has one (docs/method.md, section 9).

With attention pooling a gate may take any value in frames that attention ignores, so the measure is attention x gate, the
weight with which a frame's sound enters the video embedding; gate and attention are measured beside it.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from gaid.errors import GaidError

if TYPE_CHECKING:
    from gaid.evaluation.bench import Bench
    from gaid.heads import Head
    from gaid.heads.features import Features
    from gaid.stores import Split, Store

KINDS = ("sound_weight", "gate", "attention")


@dataclass
class SoundTruth:
    """How well each of `KINDS` separates frames with informative sound from the rest: AUC, means over seeds.

    `audible` counts only frames with a track that is not silent, where the mask does not reveal the answer.
    `roc[kind]` is (false positive rate, true positive rate) of the first seed.
    """

    auc: dict[str, float]
    audible: dict[str, float]
    per_seed: list[dict[str, float]]
    frames: int
    informative: int
    roc: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        return {
            "auc": {kind: round(value, 4) for kind, value in self.auc.items()},
            "auc_audible_frames": {kind: round(value, 4) for kind, value in self.audible.items()},
            "per_seed": [{kind: round(value, 4) for kind, value in one.items()} for one in self.per_seed],
            "frames": self.frames,
            "informative": self.informative,
        }


def auc(values: Float[np.ndarray, " entries"], truth: Bool[np.ndarray, " entries"]) -> float:
    """Probability that a true entry has a higher value than a false one, ties counted half; NaN where one kind is absent."""
    true = int(truth.sum())
    false = truth.size - true
    if not true or not false:
        return float("nan")
    above = rankdata(values)[truth].sum() - true * (true + 1) / 2
    return float(above / (true * false))


def roc_curve(
    values: Float[np.ndarray, " entries"], truth: Bool[np.ndarray, " entries"], points: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    """(false positive rate, true positive rate) as the threshold falls, at most about `points` of them."""
    order = np.argsort(-values, kind="stable")
    hits = np.cumsum(truth[order])
    last_of_ties = np.append(np.flatnonzero(np.diff(values[order])), values.size - 1)
    hits, false = hits[last_of_ties], last_of_ties + 1 - hits[last_of_ties]
    keep = np.unique(np.linspace(0, len(hits) - 1, min(points, len(hits))).astype(int))
    return (
        np.append(0, false[keep]) / max(1, truth.size - int(truth.sum())),
        np.append(0, hits[keep]) / max(1, int(truth.sum())),
    )


def measure_sound_weight(bench: "Bench") -> SoundTruth | None:
    """How well a bench's heads separate frames with informative sound; None without a truth, or for heads that explain nothing."""
    truth = load_split_truth(bench.store, bench.split)
    if truth is None or not truth.any():
        return None
    explained = []
    for member in bench.members:
        head = bench.head(member)
        if not head.uses_audio:
            return None
        found = explain_own(head, bench.features(head), bench.owner)
        if found is None:
            return None
        explained.append(found)
    return measure(explained, truth, bench.split)


def load_split_truth(store: "Store", split: "Split") -> np.ndarray | None:
    """(videos, frames) bool: where the sound is informative; None where the data set has no truth, or is not available."""
    from gaid.datasets import load_truth, name_in

    about = store.attrs.get("dataset") or {}
    name, root = name_in(about), about.get("root")
    if not name or not root:
        return None
    rows = []
    for video, times, duration in zip(split.video_ids, split.time, split.duration, strict=True):
        try:
            truth = load_truth(name, root, video, times.astype(float), float(duration))
        except (GaidError, OSError):  # moved or deleted since: figures go without it
            return None
        if truth is None:
            return None
        rows.append(np.asarray(truth, dtype=bool))
    return np.stack(rows) if rows else None


@torch.inference_mode()
def explain_own(
    head: "Head", features: "Features", caption_video: Int[np.ndarray, " captions"]
) -> dict[str, np.ndarray] | None:
    """Each of `KINDS` (captions, frames) for every caption with its own video; None for a head that explains nothing."""
    found: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    order = np.argsort(caption_video, kind="stable")
    for start in range(0, len(order), 64):
        rows = order[start : start + 64]
        videos, own = np.unique(caption_video[rows], return_inverse=True)
        explanation = head.explain(features.text[rows], *features.videos(torch.from_numpy(videos)))
        if explanation is None:
            return None
        for kind in KINDS:
            pairs = getattr(explanation, kind)[np.arange(len(rows)), own]
            found[kind].append(pairs.float().cpu().numpy())
    back = np.argsort(order, kind="stable")
    return {kind: np.concatenate(parts)[back] for kind, parts in found.items()}


def measure(explained: list[dict[str, np.ndarray]], truth: np.ndarray, split: "Split") -> SoundTruth:
    """AUCs of all frames of all (caption, own video) pairs; `explained` has one entry per seed."""
    of_pair, audible_frames = truth[split.caption_video], split.audio_mask[split.caption_video]
    per_seed = [{kind: auc(one[kind].ravel(), of_pair.ravel()) for kind in KINDS} for one in explained]
    audible = [{kind: auc(one[kind][audible_frames], of_pair[audible_frames]) for kind in KINDS} for one in explained]
    return SoundTruth(
        auc={kind: float(np.mean([one[kind] for one in per_seed])) for kind in KINDS},
        audible={kind: float(np.mean([one[kind] for one in audible])) for kind in KINDS},
        per_seed=per_seed,
        frames=int(truth.size),
        informative=int(truth.sum()),
        roc={kind: roc_curve(explained[0][kind].ravel(), of_pair.ravel()) for kind in KINDS},
    )
