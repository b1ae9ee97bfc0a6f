"""Which queries DASP helps and which it hurts, and which properties these queries share."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from gaid.evaluation.bench import Bench
from gaid.evaluation.sound import explain_own
from gaid.evaluation.sound_words import named_sounds
from gaid.stress import probes
from gaid.stress.captions import words
from gaid.stress.measure import ranks_changed
from gaid.stress.results import DaspEffect

RESAMPLES = 1000


def dasp_effect(label: str, bench: Bench) -> DaspEffect | None:
    """Ranks with the trained alpha against ranks without DASP, query by query; None for a head without DASP."""
    heads = [bench.head(member) for member in bench.members]
    if not all(probes.has_dasp(head) for head in heads):
        return None
    trained = bench.ranks.by["t2v"]
    without = ranks_changed(bench, lambda head, _: probes.set_alpha(head, 0.0)).by["t2v"]
    times = resampled(bench.owner, bench.seed)
    kinds = {"helped": trained < without, "hurt": trained > without, "unchanged": trained == without}
    shares = {name: 100 * found.mean(axis=0) for name, found in kinds.items()}
    gain = np.log2(without / trained).mean(axis=0)
    return DaspEffect(
        head=label,
        alphas=[probes.alpha(head) for head in heads],
        shares={name: float(share.mean()) for name, share in shares.items()},
        intervals={name: _interval((times @ share) / times.sum(axis=1)) for name, share in shares.items()},
        correlations={
            name: correlation(gain, values, times) for name, values in _properties(bench).items() if np.ptp(values) > 0
        },
    )


def _properties(bench: Bench) -> dict[str, NDArray[np.float64]]:
    """Properties of queries, means over seeds: one number per caption each."""
    split, owner = bench.split, bench.owner
    found: dict[str, NDArray[np.float64]] = {
        "words in the caption": np.array([len(words(text)) for text in split.caption_texts], float),
        "sounds named in the caption": np.array([len(named_sounds(text)) for text in split.caption_texts], float),
        "sounding frames of the clip": split.audio_mask.sum(axis=1)[owner].astype(float),
    }
    features = bench.features()
    sounding = features.audio_mask.cpu().numpy()[owner]
    gates, weights, lengths = [], [], []
    for head in map(bench.head, bench.members):
        lengths.append(probes.own_deviation(head, features, owner))
        explained = explain_own(head, features, owner) if probes.has_gate(head) else None
        if explained is not None:
            gates.append((explained["gate"] * sounding).sum(axis=1) / np.maximum(1, sounding.sum(axis=1)))
            weights.append(explained["sound_weight"].sum(axis=1))
    if gates:
        found["mean gate of the sounding frames"] = np.mean(gates, axis=0)
        found["weight of the sound in the clip"] = np.mean(weights, axis=0)
    found["length of std"] = np.mean(lengths, axis=0)
    return found


def resampled(owner: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """(draws, captions) how often each caption counts in each bootstrap draw of whole videos."""
    _, cluster = np.unique(owner, return_inverse=True)
    videos = int(cluster.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(videos, np.full(videos, 1 / videos), size=RESAMPLES)
    return drawn[:, cluster].astype(float)


def correlation(
    first: NDArray[np.float64], second: NDArray[np.float64], times: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Spearman's correlation and its 95 % interval from draws of whole videos; NaN where one of the two is constant.

    Captions are ranked once, over all of them, and keep that rank in every draw.
    """
    a, b = rankdata(first), rankdata(second)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan"), float("nan"), float("nan")
    everyone = np.ones((1, len(a)))
    low, high = _interval(_weighted(a, b, times))
    return float(_weighted(a, b, everyone)[0]), low, high


def _weighted(a: NDArray[np.float64], b: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    total = times.sum(axis=1)
    mean_a, mean_b = times @ a / total, times @ b / total
    across = times @ (a * b) / total - mean_a * mean_b
    spread = (times @ (a * a) / total - mean_a**2) * (times @ (b * b) / total - mean_b**2)
    return across / np.sqrt(np.maximum(spread, 1e-12))


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
