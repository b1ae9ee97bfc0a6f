"""Figures as inline SVG by matplotlib, coloured by the page's style sheet so that they read in light and in dark.

Lines and words carry place-holder colours that become CSS variables; the legend is the page's, in its own type.
"""

import io
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from gaid.evaluation.results import Results
from gaid.evaluation.sound import KINDS, SoundTruth

# Colours that nothing else in a figure has, and the variables that they become.
_INK, _GRID = "#010203", "#040506"
_SERIES = ("#110101", "#110202", "#110303", "#110404", "#110505", "#110606")
_VARIABLES = {_INK: "var(--ink-soft)", _GRID: "var(--line)"} | {
    colour: f"var(--series-{number})" for number, colour in enumerate(_SERIES, start=1)
}


@dataclass(frozen=True)
class Palette:
    """The colours of a figure: place-holders on the page, real ones in a file of its own."""

    ink: str
    grid: str
    series: tuple[str, ...]


SCREEN = Palette(_INK, _GRID, _SERIES)
# The light colours of templates/style.css.
PAPER = Palette("#626b76", "#e0ddd5", ("#0b6e99", "#d9822b", "#7a8793", "#8a5fb0", "#3f9a6b", "#b8476a"))
_STYLE: Any = {
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.7,
    "font.size": 9.5,
    "lines.linewidth": 2.0,
}


@dataclass
class Drawing:
    """A figure for the page: SVG, what it shows in words, and its legend (words, number of the series)."""

    svg: str
    words: str
    legend: list[tuple[str, int]]


def rank_histogram(results: Results) -> Drawing:
    """Share of queries (%) per range of ranks of the right video; each head beside the others."""
    heads = _heads(results)
    gallery = results.figures["t2v"].gallery
    edges = [1, 2, 6, 11, 21, 51, 101, 201, 501, 1001, 10**9]
    edges = [edge for edge in edges if edge <= gallery] + [gallery + 1]
    names = [str(a) if b == a + 1 else f"{a}–{b - 1}" for a, b in pairwise(edges)]
    with drawing() as (figure, axes):
        width = 0.8 / len(heads)
        for number, (_, ranks) in enumerate(heads):
            share = 100 * np.histogram(ranks.ravel(), edges)[0] / ranks.size
            places = np.arange(len(names)) + width * (number + 0.5) - 0.4
            axes.bar(places, share, width * 0.92, color=_SERIES[number])
        axes.set_xticks(range(len(names)), names)
        axes.grid(axis="x", visible=False)
        axes.set_xlabel("rank of the right clip")
        axes.set_ylabel("% of texts")
        return Drawing(svg(figure), "Histogram of ranks, text to video", _legend(heads))


def recall_curve(results: Results) -> Drawing:
    """R@k over k, up to 50, with chance as a thin line."""
    heads = _heads(results)
    gallery = results.figures["t2v"].gallery
    places = np.arange(1, min(50, gallery) + 1)
    with drawing() as (figure, axes):
        for number, (_, ranks) in enumerate(heads):
            recalls = 100 * (ranks.ravel()[:, None] <= places).mean(axis=0)
            axes.plot(places, recalls, color=_SERIES[number], zorder=10 - number)
        axes.plot(places, 100 * places / gallery, color=_INK, linewidth=1, linestyle=(0, (1, 2)))
        axes.annotate(
            "chance", (places[-1], 100 * places[-1] / gallery), (0, 4), textcoords="offset points", ha="right"
        )
        axes.set_xlim(0.5, places[-1] + 0.5)
        axes.set_ylim(0, 102)
        axes.set_xlabel("k")
        axes.set_ylabel("R@k, %")
        return Drawing(svg(figure), "Recall at k, text to video", _legend(heads))


def roc(truth: SoundTruth) -> Drawing:
    """How sound weight, gate and attention separate informative frames from the rest (curves of the first seed)."""
    words = {"sound_weight": "sound weight", "gate": "gate alone", "attention": "attention alone"}
    with drawing(square=True) as (figure, axes):
        for number, kind in enumerate(KINDS):
            x, y = truth.roc[kind]
            axes.plot(x, y, color=_SERIES[number], zorder=10 - number)
        axes.plot([0, 1], [0, 1], color=_INK, linewidth=1, linestyle=(0, (1, 2)))
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(-0.01, 1.02)
        axes.set_xlabel("share of the other frames above the threshold")
        axes.set_ylabel("share of informative frames above it")
        legend = [(f"{words[kind]}: AUC {truth.auc[kind]:.3f}", n) for n, kind in enumerate(KINDS, start=1)]
        return Drawing(svg(figure), "ROC of the sound weight against the ground truth", legend)


def _heads(results: Results) -> list[tuple[str, np.ndarray]]:
    """(label, ranks) of the head and as many baselines as there are colours."""
    found = [(results.label, results.ranks["t2v"]), *((one.label, one.ranks["t2v"]) for one in results.baselines)]
    return found[: len(_SERIES)]


def _legend(heads: list[tuple[str, np.ndarray]]) -> list[tuple[str, int]]:
    return [(label, number) for number, (label, _) in enumerate(heads, start=1)]


@contextmanager
def own_style(style: Any) -> Iterator[None]:
    """matplotlib with this style over its own defaults, whatever a matplotlibrc or MPLBACKEND asks for.

    No text is mathematics: a caption's dollars are dollars. A sign that the font lacks is drawn as a box, without a word.
    """
    matplotlib = _matplotlib()
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"text.parse_math": False, "svg.hashsalt": "gaid", **style})
        yield


def _matplotlib() -> Any:
    """matplotlib, which refuses to be imported where MPLBACKEND names a backend that it does not know."""
    if "matplotlib" not in sys.modules and "MPLBACKEND" in os.environ:
        named = os.environ.pop("MPLBACKEND")
        import matplotlib

        os.environ["MPLBACKEND"] = named
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = named  # as the import would have done
    import matplotlib

    return matplotlib


class drawing:  # noqa: N801  (used as a function)
    """A figure and its axes under our style; no window, no global state of pyplot."""

    def __init__(
        self, square: bool = False, palette: Palette = SCREEN, size: tuple[float, float] | None = None
    ) -> None:
        self.size = size or ((4.4, 4.0) if square else (5.6, 3.3))
        self.colours = {"text.color": palette.ink, "axes.labelcolor": palette.ink, "axes.edgecolor": palette.grid,
                        "xtick.color": palette.ink, "ytick.color": palette.ink, "grid.color": palette.grid}  # fmt: skip

    def __enter__(self) -> tuple[Any, Any]:
        self.context = own_style(_STYLE | self.colours)
        self.context.__enter__()
        from matplotlib.figure import Figure

        figure = Figure(figsize=self.size, layout="constrained")
        return figure, figure.subplots()

    def __exit__(self, *error: Any) -> None:
        self.context.__exit__(*error)


def svg(figure: Any) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # The page says how wide; the type is the page's.
    text = re.sub(
        r'(<svg [^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", text, count=1), count=1
    )
    text = re.sub(r"font-family: [^;\"]+; ", "", text)
    # matplotlib's style sheet would apply to the whole page, and its groups' names occur in every figure.
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return text
