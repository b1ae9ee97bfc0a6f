"""Figure 5: frames, waveform, gate, attention and sound weight of some clips, over time."""

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from gaid.console import printable
from gaid.errors import DataMissing, HeadMismatch
from gaid.evaluation.bench import Bench, open_bench
from gaid.evaluation.sound import load_split_truth
from gaid.files import writing
from gaid.media.clip import Sampling
from gaid.report.figures import own_style
from gaid.report.thumbnails import load_clips
from gaid.specs import AudioSpec

if TYPE_CHECKING:
    from gaid.runs import Run
    from gaid.stores import Store

CLIPS = 4
LINE = 130  # characters of a caption per line
RATE = 16_000
LANES = (("gate", "#2a9d8f"), ("attention", "#6c757d"), ("sound weight", "#c1440e"))
_WAVE, _TRUTH = "#3b3b3b", "#9ad1b3"


@dataclass
class Panel:
    """One clip: its frames side by side, its waveform, and one value per frame for each of LANES; `truth` where it is known."""

    caption: str
    duration: float
    strip: np.ndarray
    wave: np.ndarray
    lanes: dict[str, np.ndarray]
    truth: np.ndarray | None


def draw_figure5(run: "Run", store: "Store", out: Path, device: str, seed: int = 0) -> list[Path]:
    """OUT/figure5.png and .svg for the run's first head: three test clips with sound and one without where there is one,
    chosen by `seed`, each under its own first caption. Raises HeadMismatch for a head without gates."""
    bench = open_bench(run, store=store, device=device, seeds=1)
    if not bench.head().uses_audio:
        raise HeadMismatch(f"{run.path}: {run.preset} has no gates to draw; give a run of gaid or gaid-sample")
    panels = _panels(bench, seed)
    title = f"{run.preset} on {store.dataset}"
    if Sampling.of_store(store).audio_sampling != "aligned":
        title += "; under each frame the audio of its part of 30 s, as published"
    return _draw(panels, title, out)


def _panels(bench: Bench, seed: int) -> list[Panel]:
    rng, split, head = np.random.default_rng(seed), bench.split, bench.head()
    quiet = rng.permutation(np.flatnonzero(~bench.sounding))[:1]
    loud = rng.permutation(np.flatnonzero(bench.sounding))[: CLIPS - len(quiet)]
    chosen = [int(row) for row in (*loud, *quiet)]
    clips, absent = load_clips(bench.store, [split.video_ids[row] for row in chosen], AudioSpec(RATE, 0.01, 1e6))
    if not clips:
        raise DataMissing(f"figure 5 needs the clips themselves: {absent}")
    features, truth = bench.features(), load_split_truth(bench.store, split)
    panels = []
    for row in chosen:
        clip = clips.get(split.video_ids[row])
        if clip is None:
            continue
        caption = int(np.flatnonzero(split.caption_video == row)[0])
        with torch.inference_mode():
            told = head.explain(features.text[[caption]], *features.videos([row]))
        lanes = {name: getattr(told, name.replace(" ", "_"))[0, 0].float().cpu().numpy() for name, _ in LANES}
        panels.append(
            Panel(
                split.caption_texts[caption],
                clip.duration,
                np.concatenate(list(clip.frames), axis=1),
                clip.audio.ravel(),
                lanes,
                None if truth is None else truth[row],
            )
        )
    return panels


def _draw(panels: list[Panel], title: str, out: Path) -> list[Path]:
    with own_style({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 2.9 * len(panels) + 0.4), layout="constrained")
        figure.suptitle(
            f"Figure 5: which frames' audio the model relies on, for each clip's own caption. {title}", fontsize=10
        )
        for group, panel in zip(figure.subfigures(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
            group.suptitle(_shortened(panel.caption), fontsize=9, x=0.01, ha="left")
            picture, wave, *bars = group.subplots(5, 1, sharex=False, height_ratios=[1.5, 1, 0.7, 0.7, 0.7])
            frames = len(panel.lanes["gate"])
            picture.imshow(panel.strip, aspect="auto", extent=(0, frames, 0, 1))
            picture.set_axis_off()
            wave.plot(np.linspace(0, frames, len(panel.wave)), panel.wave, color=_WAVE, linewidth=0.4)
            wave.set_ylim(-1.05 * max(0.05, np.abs(panel.wave).max()), 1.05 * max(0.05, np.abs(panel.wave).max()))
            wave.set_yticks([])
            wave.set_ylabel("sound", rotation=0, ha="right", va="center")
            scale = max(1e-9, float(panel.lanes["attention"].max()))
            for axes, (name, colour) in zip(bars, LANES, strict=True):
                values = panel.lanes[name] / (1 if name == "gate" else scale)
                axes.bar(np.arange(frames) + 0.5, values, width=0.85, color=colour)
                axes.set_ylim(0, 1)
                axes.set_yticks([])
                axes.set_ylabel(name, rotation=0, ha="right", va="center")
            for axes in (wave, *bars):
                axes.set_xlim(0, frames)
                axes.set_xticks([])
                for frame in np.flatnonzero(panel.truth) if panel.truth is not None else ():
                    axes.axvspan(frame, frame + 1, color=_TRUTH, alpha=0.5, linewidth=0, zorder=0)
            bars[-1].set_xlabel(
                f"{panel.duration:.1f} s, {frames} frames; attention and sound weight share a scale"
                + ("; shading: the sound is informative (ground truth)" if panel.truth is not None else "")
            )
        paths = [out / "figure5.png", out / "figure5.svg"]
        with writing(paths[0]) as png, writing(paths[1]) as svg:
            figure.savefig(png, format="png", dpi=130)
            figure.savefig(svg, format="svg", metadata={"Date": None})
    return paths


def _shortened(caption: str) -> str:
    """A caption in at most two lines of the figure, of characters that can be drawn."""
    return textwrap.fill(printable(" ".join(caption.split())), LINE, max_lines=2, placeholder=" ...")
