"""The page of an evaluation: tables, histogram, curve, sound weights against the truth, and queries in pictures."""

from pathlib import Path

from gaid.evaluation.results import Results
from gaid.report import figures, tables
from gaid.report.html import write_page, write_template
from gaid.report.queries import draw_queries


@write_page.register
def _(results: Results, path: str | Path) -> Path:
    """Queries are drawn only from results that still hold their bench."""
    cards, absent, has_truth = draw_queries(results)
    drawings = []
    if "t2v" in results.ranks:
        drawings = [figures.rank_histogram(results), figures.recall_curve(results)]
    truth = results.sound_weight
    return write_template(
        path,
        "evaluation.html",
        title=f"{results.label} on {results.basis.dataset}",
        results=results,
        headline=headline(results),
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


def headline(results: Results) -> str:
    """The figure that counts, in a sentence."""
    if "t2v" not in results.figures:
        return f"{results.label} on {results.basis.dataset}"
    figures_ = results.figures["t2v"]
    low, high = figures_.intervals["R@1"]
    return (
        f"For {figures_.values['R@1']:.1f} % of {figures_.queries} texts, {results.label} puts the right one of "
        f"{figures_.gallery} clips first (95 % interval {low:.1f}–{high:.1f})."
    )
