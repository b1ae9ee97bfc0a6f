"""The picture of docs/protocols.md: what it does to a clip to have read its caption. `python docs/figures/leak.py FILE`.

Frames of noise in a plane, pooled by the attention of X-Pool with identity weights, and the same measured with as many
numbers as CLIP has. Nothing in it is a data set's, and nothing was trained.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from gaid import metrics
from gaid.evaluation.conditioning import PROTOCOLS
from gaid.files import write_bytes
from gaid.heads import build_head
from gaid.report.figures import PAPER, own_style

CLIPS, SHOWN_FRAMES = 4, 12
VIDEOS, DIM, FRAMES, DRAWS = 1000, 512, 12, 5


def noise_recalls(
    videos: int = VIDEOS, dim: int = DIM, frames: int = FRAMES, draws: int = DRAWS
) -> dict[str, np.ndarray]:
    """R@1, R@5, R@10 (draws, 3) in per cent of an untrained x-pool among videos of noise, a text each, by protocol."""
    import torch

    head = build_head("x-pool", visual_dim=dim, audio_dim=dim, text_dim=dim, frames=frames)
    found: dict[str, list[list[float]]] = {"query": [], "published": []}
    for seed in range(draws):
        random = torch.Generator().manual_seed(seed)
        text = torch.randn(videos, dim, generator=random)
        visual = torch.randn(videos, frames, dim, generator=random)
        for name in found:
            scores = head.score(text, visual, torch.zeros_like(visual), pool_by=PROTOCOLS[name].pool_by)
            recalls = metrics.retrieval_metrics(scores.numpy(), np.arange(videos))
            found[name].append([recalls[f"R@{k}"] for k in metrics.RECALLS])
    return {name: np.array(rows) for name, rows in found.items()}


def pool(text: np.ndarray, frames: np.ndarray, sharpness: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """(attention (frames), pooled vector) of a text over frames: softmax of their products, as attention pooling does."""
    logits = sharpness * frames @ text
    weights = np.exp(logits - logits.max())
    weights /= weights.sum()
    return weights, weights @ frames


def draw(path: str | Path, measured: dict[str, np.ndarray] | None = None) -> Path:
    """Writes the picture as SVG: frames and captions, both ways of pooling them, and what is found among noise."""
    import io

    measured = noise_recalls() if measured is None else measured
    rng = np.random.default_rng(1)
    frames = rng.normal(0, 0.52, (CLIPS, SHOWN_FRAMES, 2))
    angles = np.deg2rad([75, 350, 250, 165])
    captions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    style: Any = {"svg.fonttype": "path", "font.size": 9.5, "text.color": "#1d2126", "axes.titlesize": 10.5,
                  "axes.titlelocation": "left", "axes.facecolor": "#fbfaf7"}  # fmt: skip
    with own_style(style):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11.6, 3.9), layout="constrained")
        axes = figure.subplots(1, 4, width_ratios=[1, 1, 1, 0.82])
        _plane(
            axes[0],
            "1. Four clips of pure noise",
            "dots: frames, a colour a clip\narrows: the captions they were given",
        )
        _plane(
            axes[1],
            "2. Asked as it should be (query)",
            "caption A pools every clip (diamonds):\nall lean to A, none stands out",
        )
        _plane(
            axes[2],
            "3. As published (own caption)",
            "each clip was pooled by its own caption:\nA's clip leans to A, the others elsewhere",
        )
        for number in range(CLIPS):
            colour, name = PAPER.series[(0, 1, 3, 4)[number]], "ABCD"[number]
            for place, axis in enumerate(axes[:3]):
                _, asked = pool(captions[0 if place == 1 else number], frames[number])
                axis.scatter(*frames[number].T, s=12, color=colour, alpha=0.9 if place == 0 else 0.22, linewidths=0)
                if place != 1 or number == 0:
                    axis.annotate(
                        "",
                        captions[number] * 1.32,
                        (0, 0),
                        arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.6},
                    )
                    axis.text(*captions[number] * 1.5, name, color=colour, ha="center", va="center", weight="bold")
                if place:
                    axis.plot(*asked, linestyle="none", marker="D", markersize=8, color=colour, markeredgecolor="white")
        _bars(axes[3], measured)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", facecolor="#fbfaf7", metadata={"Date": None, "Creator": None})
    write_bytes(Path(path), buffer.getvalue())
    return Path(path)


def _plane(axis: Any, title: str, words: str) -> None:
    axis.set_title(title, weight="bold")
    axis.set_xlim(-1.75, 1.75)
    axis.set_ylim(-1.75, 1.75)
    axis.set_aspect("equal")
    axis.axhline(0, color=PAPER.grid, lw=0.8, zorder=0)
    axis.axvline(0, color=PAPER.grid, lw=0.8, zorder=0)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.set_xlabel(words, color="#1d2126")


def _bars(axis: Any, measured: dict[str, np.ndarray]) -> None:
    names = [f"R@{k}" for k in metrics.RECALLS]
    places = np.arange(len(names))
    chance = [100 * k / VIDEOS for k in metrics.RECALLS]
    rows = [("chance", np.array(chance)[None], PAPER.series[2]), ("query", measured["query"], PAPER.series[0]),
            ("published", measured["published"], PAPER.series[1])]  # fmt: skip
    for number, (label, found, colour) in enumerate(rows):
        at = places + 0.28 * (number - 1)
        axis.bar(at, found.mean(0), 0.26, color=colour, label=label)
        for x, value in zip(at, found.mean(0), strict=True):
            axis.annotate(f"{value:.1f}", (x, value), (0, 2), textcoords="offset points", ha="center", fontsize=7.5)
    axis.set_xticks(places, names)
    axis.set_title(f"4. {VIDEOS:,} noise clips", weight="bold")
    axis.set_xlabel("measured: % of texts that\nfind “their” clip")
    axis.set_yticks([])
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.legend(frameon=False, fontsize=8.5, loc="upper left")


def main(arguments: list[str]) -> int:
    """`python docs/figures/leak.py FILE`: draws, and prints what it measured."""
    if len(arguments) != 1:
        print("usage: python docs/figures/leak.py FILE.svg", file=sys.stderr)
        return 2
    measured = noise_recalls()
    for name, found in measured.items():
        figures = ", ".join(
            f"R@{k} {mean:.1f} ({low:.1f} to {high:.1f})"
            for k, mean, low, high in zip(metrics.RECALLS, found.mean(0), found.min(0), found.max(0), strict=True)
        )
        print(f"{name}: {figures}; mean and range of {len(found)} draws")
    print(draw(arguments[0], measured))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
