"""The results of `gaid stress` as a page, figures (PNG), a table (CSV) and numbers (JSON), and in the terminal."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from gaid import console
from gaid.evaluation.ranks import signed
from gaid.files import write_bytes
from gaid.report.figures import PAPER, SCREEN, Drawing, Palette, drawing, svg
from gaid.report.html import write_page, write_template
from gaid.report.tables import census_items, csv_text
from gaid.stress.results import KINDS, Curve, DaspEffect, Finding, Point, StressResults

PAGE = "stress.html"
METRIC = "R@1"


def write_files(results: StressResults, out: str | Path) -> list[Path]:
    """OUT/stress.html, stress.csv, stress.json, and a PNG per fault; each whole or not at all. Returns their paths."""
    out = Path(out)
    files = []
    for finding in results.findings:
        if finding.curves:
            path = out / f"{finding.name}.png"
            write_bytes(path, png(finding, list(results.heads)))
            files.append(path)
    write_bytes(out / "stress.csv", csv_text(results.records()).encode())
    write_bytes(out / "stress.json", (json.dumps(_finite(results.to_dict()), indent=1) + "\n").encode())
    page = write_page(results, out / PAGE)
    return [page, out / "stress.csv", out / "stress.json", *files]


@write_page.register
def _(results: StressResults, path: str | Path) -> Path:
    """A section per kind of fault, with a figure and a table per fault."""
    return write_template(
        path,
        PAGE,
        title=f"{next(iter(results.heads))} under stress",
        results=results,
        headline=headline(results),
        heading=heading(results),
        sections=[
            (
                words,
                [(one, figure(one, list(results.heads)), lines(one)) for one in results.findings if one.kind == kind],
            )
            for kind, words in KINDS.items()
            if any(one.kind == kind for one in results.findings)
        ],
        summary=summary(results),
        behind=behind(results),
        census=census_items(results.basis.census),
        signed=signed,
    )


def _finite(value: Any) -> Any:
    """JSON has no infinity: such a strength becomes null, and its label says what it is."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


# Words


def heading(results: StressResults) -> str:
    """What was stressed on what, in a line."""
    basis = results.basis
    seeds = sorted({len(one.seeds) for one in results.heads.values()})
    return (
        f"{basis.dataset}, {basis.split} ({basis.split_protocol}), text to video, {basis.captions} queries, gallery of "
        f"{basis.videos}, protocol query, {' or '.join(map(str, seeds))} seed{'s' if seeds != [1] else ''} per head"
        + "".join(f", {head} hears {heard}" for head, heard in results.hears.items())
    )


def headline(results: StressResults) -> str:
    """Under how many faults the run falls below a head that it leads on clean data; alone, which fault of its cached features costs it most."""
    name = next(iter(results.heads))
    findings = [one for one in results.findings if one.kind in ("sound", "picture", "caption") and one.curves]
    clean = {head: lead[1] for one in findings[:1] for head, lead in one.curves[0].points[0].lead.items()}
    led = [head for head, low in clean.items() if low > 0]
    if led:
        under = [one for one in findings if any(_side(one, head, above=False) for head in led)]
        return f"{name} leads {_listed(led)} on clean data and falls below under {len(under) or 'none'} of {len(findings)} faults."
    worst = [(point.difference[METRIC], one, point) for one in findings for point in one.curves[0].points]
    if not worst:
        return f"{name} under stress on {results.basis.dataset}"
    difference, finding, point = min(worst, key=lambda one: one[0])
    if difference >= 0:
        return f"No fault costs {name} any {METRIC} on {results.basis.dataset}."
    before = point.figures.values[METRIC] - difference
    return f"{name} falls from {METRIC} {before:.1f} to {point.figures.values[METRIC]:.1f} under {finding.title} ({point.label})."


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _side(finding: Finding, head: str, above: bool) -> list[Point]:
    """The points at which the run is above (or below) another head and the paired interval excludes 0."""
    return [one for one in finding.curves[0].points if (one.lead[head][1] > 0 if above else one.lead[head][2] < 0)]


def change(point: Point, metric: str = METRIC) -> str:
    """The difference of a point to the clean one, with its paired interval."""
    low, high = point.spread[metric]
    return f"{signed(point.difference[metric])} ({signed(low)} to {signed(high)})"


def lines(finding: Finding) -> list[tuple[str, list[tuple[str, str]]]]:
    """One row per head: (label, [(figure, change with interval) per strength])."""
    return [
        (curve.head, [(f"{point.figures.values[METRIC]:.1f}", change(point)) for point in curve.points])
        for curve in finding.curves
    ]


def summary(results: StressResults) -> list[tuple[str, list[tuple[str, str]]]]:
    """The change of every head at the greatest strength of every fault."""
    rows = []
    for finding in results.findings:
        cells = {curve.head: change(curve.points[-1]) for curve in finding.curves}
        if finding.kind != "head" and cells:
            label = finding.curves[0].points[-1].label
            rows.append(
                (f"{_files(finding)}{finding.title}, {label}", [(head, cells.get(head, "")) for head in results.heads])
            )
    return rows


def behind(results: StressResults) -> list[str]:
    """One sentence per fault under which the run and another head swap order and the paired interval excludes 0."""
    told: list[str] = []
    already: set[tuple[str, bool]] = set()
    for finding in results.findings:
        points = finding.curves[0].points if finding.curves else []
        for head, clean in points[0].lead.items() if points else ():
            worse = clean[2] < 0  # below it on clean data: then the sentence is about where the run is above
            if worse and (head, finding.kind == "media") not in already:
                already.add((head, finding.kind == "media"))
                told.append(f"{_files(finding)}below {head} on clean data, {_lead(points[0], head)}")
            found = _side(finding, head, above=worse)
            if found:
                most = max(found, key=lambda point: abs(point.lead[head][0]))
                told.append(
                    f"{_files(finding)}{finding.title}: {'above' if worse else 'below'} {head} at "
                    f"{', '.join(point.label for point in found)}; at {most.label} {_lead(most, head)}"
                )
    return told


def _files(finding: Finding) -> str:
    return "real files: " if finding.kind == "media" else ""


def _lead(point: Point, head: str) -> str:
    value, low, high = (signed(one) for one in point.lead[head])
    return f"by {value} points ({low} to {high})"


def dasp_lines(effect: DaspEffect) -> list[str]:
    """The effect of DASP on single queries, one sentence each."""
    alphas = ", ".join(f"{one:.2f}" for one in effect.alphas)
    shares = ", ".join(
        f"{name} {value:.1f} % ({effect.intervals[name][0]:.1f} to {effect.intervals[name][1]:.1f})"
        for name, value in effect.shares.items()
    )
    out = [f"{effect.head}: with its trained alpha ({alphas}) against alpha = 0, queries {shares}"]
    for name, (value, low, high) in effect.correlations.items():
        told = "no evidence of a correlation" if low <= 0 <= high else "the interval excludes 0"
        out.append(f"gain against {name}: Spearman {signed(value, 2)} ({signed(low, 2)} to {signed(high, 2)}), {told}")
    return out


# Figures


def _colours(heads: list[str], palette: Palette) -> dict[str, str]:
    """One colour per head in all figures, for as many heads as there are colours."""
    return dict(zip(heads, palette.series, strict=False))


def shown(finding: Finding, heads: list[str]) -> list[Curve]:
    """The curves that have a colour."""
    return [curve for curve in finding.curves if curve.head in heads[: len(SCREEN.series)]]


def figure(finding: Finding, heads: list[str]) -> Drawing | None:
    """Curves for the page; None where no head has the part in question."""
    if not finding.curves:
        return None
    with drawing() as (canvas, axes):
        _draw(axes, finding, _colours(heads, SCREEN))
        legend = [(curve.head, heads.index(curve.head) + 1) for curve in shown(finding, heads)]
        return Drawing(svg(canvas), f"{METRIC} over {finding.axis}", legend)


def png(finding: Finding, heads: list[str]) -> bytes:
    """The same figure as a file of its own, with its title and legend."""
    with drawing(palette=PAPER) as (canvas, axes):
        _draw(axes, finding, _colours(heads, PAPER))
        axes.set_title(finding.title[:1].upper() + finding.title[1:], loc="left", fontsize=10.5)
        axes.legend(frameon=False, fontsize=8.5)
        buffer = io.BytesIO()
        canvas.savefig(buffer, format="png", dpi=160, facecolor="white", metadata={"Software": None})
        return buffer.getvalue()


def _draw(axes: Any, finding: Finding, colours: dict[str, str]) -> None:
    curves = [one for one in finding.curves if one.head in colours]
    kinds = [point.strength for point in curves[0].points]
    trained, swept = kinds[0] is None, [one for one in kinds[1:] if one is not None]
    if trained and len(swept) == len(kinds) - 1:  # the head as trained is a horizontal line, not a point on the axis
        for curve in curves:
            axes.axhline(
                curve.points[0].figures.values[METRIC], color=colours[curve.head], linewidth=1, linestyle=(0, (1, 2))
            )
        _line(axes, [Curve(one.head, one.points[1:]) for one in curves], colours, swept)
    elif trained:
        _dots(axes, curves, colours)
    elif all(one is not None and np.isfinite(one) for one in kinds):
        _line(axes, curves, colours, [float(one) for one in kinds if one is not None])
        if max(one for one in kinds if one is not None) <= 1:
            axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    else:
        _line(axes, curves, colours, list(range(len(kinds))))
        axes.set_xticks(range(len(kinds)), [point.label.removesuffix(" alone") for point in curves[0].points])
    seconds = any(point.label.endswith(" s") for point in curves[0].points)
    axes.set_xlabel(f"{finding.axis}, s" if seconds else finding.axis)
    axes.set_ylabel(f"{METRIC}, %")
    axes.set_ylim(bottom=0)


def _line(axes: Any, curves: list[Curve], colours: dict[str, str], places: list[float] | list[int]) -> None:
    for number, curve in enumerate(curves):
        values = [point.figures.values[METRIC] for point in curve.points]
        low, high = zip(*(point.figures.intervals[METRIC] for point in curve.points), strict=True)
        colour = colours[curve.head]
        axes.fill_between(places, low, high, color=colour, alpha=0.16, linewidth=0)
        axes.plot(places, values, color=colour, marker="o", markersize=3.5, label=curve.head, zorder=10 - number)


def _dots(axes: Any, curves: list[Curve], colours: dict[str, str]) -> None:
    names = [point.label for point in curves[0].points]
    for number, curve in enumerate(curves):
        places = np.arange(len(names)) + 0.14 * (number - (len(curves) - 1) / 2)
        values = np.array([point.figures.values[METRIC] for point in curve.points])
        low, high = np.array([point.figures.intervals[METRIC] for point in curve.points]).T
        axes.errorbar(
            places, values, [values - low, high - values], color=colours[curve.head], fmt="o", markersize=4.5, label=curve.head
        )  # fmt: skip
    axes.set_xticks(range(len(names)), names)
    axes.grid(axis="x", visible=False)


# The terminal


def print_stress(results: StressResults) -> None:
    """All curves as tables, for a person."""
    for note in results.notes:
        console.show(f"! {note}", "bold yellow")
    console.show(headline(results), "bold")
    console.show(heading(results), "dim")
    for finding in results.findings:
        for head, reason in finding.not_applicable.items():
            console.show(f"{finding.title}: not applicable to {head}, which {reason}", "dim")
        if finding.curves:
            _print_curves(finding, results)
    for line in behind(results):
        console.show(line)
    console.show("beside each figure: its change from the clean one, with the paired 95 % interval", "dim")
    for effect in results.dasp:
        for number, line in enumerate(dasp_lines(effect)):
            console.show(line if number == 0 else f"  {line}", hang=2)
    if results.media:
        console.show(media_line(results))


def print_files(files: list[Path]) -> None:
    """Which files were written, for a person."""
    for path in files:
        if path.suffix != ".png":
            console.show(f"written: {path}")
    pictures = [path for path in files if path.suffix == ".png"]
    if pictures:
        console.show(f"figures: {len(pictures)} in {pictures[0].parent}")


def _print_curves(finding: Finding, results: StressResults) -> None:
    real = f" (real files of {results.media.clips} clips)" if results.media and finding.kind == "media" else ""
    rows = []
    for points in zip(*(curve.points for curve in finding.curves), strict=True):
        figures = []
        for point in points:
            value, (low, high) = signed(point.difference[METRIC]), point.spread[METRIC]
            figures.append(
                console.figure(f"{point.figures.values[METRIC]:.1f}", value, f"({signed(low)} to {signed(high)})")
            )
        rows.append([console.label(points[0].label), *figures])
    columns = [finding.axis, *(curve.head for curve in finding.curves)]
    console.print_table(f"{finding.title}{real}: {METRIC}", columns, rows)


def media_line(results: StressResults) -> str:
    """Which files were corrupted, and how closely files without a fault reproduce the cached features."""
    media = results.media
    assert media is not None
    failed = f"; {len(media.failed)} could not be decoded: {', '.join(media.failed[:5])}" if media.failed else ""
    return (
        f"real files: {media.clips} of {media.of} clips ({media.queries} queries), which are the whole gallery there; without a fault "
        f"their features differ from the cached ones by at most {media.greatest_difference:.2g}{failed}"
    )
