"""Pages: one self-contained file each, that fetches nothing, runs no script and shows every name and caption as text."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

import gaid
from gaid.evaluation.results import Results
from gaid.files import write_bytes
from gaid.metrics import NAMES
from gaid.report import figures, tables
from gaid.report.queries import draw_queries

if TYPE_CHECKING:
    from jinja2 import Environment


def write_page(results: Results, path: str | Path, *, seed: int = 0) -> Path:
    """`report.html` of an evaluation: tables, histogram, curve, sound weights against the truth, and queries in pictures.

    `seed` chooses the queries. Results that were read from JSON have no evidence to draw queries from.
    """
    cards, absent, has_truth = draw_queries(results, seed)
    drawings = []
    if "t2v" in results.ranks:
        drawings = [figures.rank_histogram(results), figures.recall_curve(results)]
    truth = results.sound_weight
    return write_template(
        path,
        "evaluation.html",
        title=f"{results.label} on {results.basis.dataset}",
        results=results,
        headline=_headline(results),
        heading=tables.heading(results),
        sections=[
            (words, results.figures[direction], tables.rows(results, direction))
            for direction, words in results.ways.items()
        ],
        findings=tables.findings(results),
        drawings=drawings,
        truth=truth,
        roc=figures.roc(truth) if truth is not None and truth.roc else None,
        cards=cards,
        absent=absent,
        has_truth=has_truth,
        census=tables.census_items(results.basis.census),
    )


def write_template(path: str | Path, template: str, **context: Any) -> Path:
    """Renders one of the templates beside this file to `path`, whole or not at all."""
    text = _environment().get_template(template).render(version=gaid.__version__, names=NAMES, **context)
    path = Path(path)
    write_bytes(path, text.encode("utf-8", "replace"))
    return path


def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("gaid.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # matplotlib escapes the little text that our figures hold, and no name or caption is among it.
    environment.filters["drawn"] = lambda svg: Markup(svg)
    return environment


def _headline(results: Results) -> str:
    if "t2v" not in results.figures:
        return f"{results.label} on {results.basis.dataset}"
    figures_ = results.figures["t2v"]
    low, high = figures_.intervals["R@1"]
    return (
        f"For {figures_.values['R@1']:.1f} % of {figures_.queries} texts, {results.label} puts the right one of "
        f"{figures_.gallery} clips first (95 % interval {low:.1f}–{high:.1f})."
    )
