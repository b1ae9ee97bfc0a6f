"""An audit as tables for the terminal and as a page with one figure per question. Measures nothing."""

from pathlib import Path

from gaid import console
from gaid.audit import Audit, Line, RunComparison, Section
from gaid.audit.answer import contents
from gaid.evaluation.basis import Basis
from gaid.evaluation.ranks import Estimate
from gaid.evaluation.results import DIRECTION_NAMES
from gaid.metrics import NAMES
from gaid.report import figures
from gaid.report.html import write_page, write_template
from gaid.report.tables import census_items

# The colour, by number of the series, of each kind of line.
_COLOURS = {"main": 1, "leak": 2, "control": 3, "baseline": 4, "part": 5, "chance": 6}
_KINDS = {"main": "as gaid reports it", "leak": "as published, or optimistic", "control": "control", "baseline": "another run",
          "part": "part of the same", "chance": "chance"}  # fmt: skip


@write_page.register
def _(audit: Audit, path: str | Path) -> Path:
    """A section per question, with findings, figure and table."""
    return write_template(
        path,
        "audit.html",
        title=f"Audit of {audit.basis.preset} on {audit.basis.dataset}",
        audit=audit,
        heading=heading(audit),
        contents=contents(audit.sections),
        drawings={section.name: forest(section) for section in audit.sections if section.lines},
        census=census_items(audit.basis.census),
        column=column_name,
    )


def heading(audit: Audit) -> str:
    """What was audited on what, in a line."""
    basis = audit.basis
    seeds = f"seeds {', '.join(map(str, basis.seeds))}" if len(basis.seeds) > 1 else f"seed {basis.seeds[0]}"
    return (
        f"{basis.preset} on {basis.dataset}, {basis.split} ({basis.split_protocol}): {basis.videos} clips, "
        f"{basis.captions} captions, {seeds}{_hears(basis)}"
    )


def _hears(basis: Basis) -> str:
    return f", hears {basis.hears}" if basis.hears else ""


def column_name(name: str) -> str:
    """A column's words: `change t2v R@1` is "± t2v R@1"."""
    return name.replace("change ", "± ")


def forest(section: Section) -> figures.Drawing:
    """One figure of a section: each line's value as a dot and its interval as a bar, groups apart."""
    rows: list[tuple[str, Line | None]] = []
    for group, lines in section.groups:
        drawn = [line for line in lines if section.drawn in line.values]
        if group and drawn:
            rows.append((group, None))
        rows += [(line.label, line) for line in drawn]
    canvas = figures.drawing(size=(7.2, 0.75 + 0.25 * len(rows)))
    with canvas as (figure, axes):
        for place, (_, line) in enumerate(rows):
            if line is None:
                continue
            one, colour = line.values[section.drawn], figures.SCREEN.series[_COLOURS[line.kind] - 1]
            if one.low is not None and one.high is not None:
                axes.plot([one.low, one.high], [place, place], color=colour, linewidth=2.2, solid_capstyle="round")
            axes.plot([one.value], [place], "o", color=colour, markersize=6)
            axes.annotate(one.text, (max(one.value, one.high or one.value), place), (6, 0), textcoords="offset points", va="center",
                          fontsize=8.5)  # fmt: skip
        axes.set_yticks(range(len(rows)), [label for label, _ in rows])
        for tick, (_, line) in zip(axes.get_yticklabels(), rows, strict=True):
            if line is None:
                tick.set_fontweight("bold")
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.margins(x=0.08)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"{section.drawn}, % (bars: 95 % intervals)")
        kinds = dict.fromkeys(line.kind for _, line in rows if line is not None)
        legend = [(_KINDS[kind], _COLOURS[kind]) for kind in kinds]
        return figures.Drawing(figures.svg(figure), f"{section.title}: {section.drawn}", legend)


def print_audit(audit: Audit) -> None:
    """The answer, one line per question, and all sections, for a person."""
    console.show(audit.answer, "bold")
    for note in audit.notes:
        console.show(f"! {note}", "bold yellow")
    console.show(heading(audit), "dim")
    console.show()
    for section, line in contents(audit.sections):
        console.show(f"{section.title}: {line}", hang=2)
    for section in audit.sections:
        console.show()
        console.show(f"{section.title}. {section.question}", "bold")
        print_section(section)
    console.show()
    console.show(
        "in brackets 95 % intervals, from a bootstrap over videos; ± is a paired difference, in points, to the figures that gaid reports",
        "dim",
    )
    census = ", ".join(f"{name} {count}" for name, count in census_items(audit.basis.census))
    console.show(f"census: {census}; gallery {audit.basis.gallery_hash[:12]}; {audit.basis.store}", "dim")


def print_section(section: Section) -> None:
    """A section's table, findings and notes."""
    if section.lines:
        _print_lines(section)
    if section.unmeasured:
        console.show(section.unmeasured, "yellow")
    for line in section.findings:
        console.show(f"* {line}", hang=2)
    for line in section.notes:
        console.show(f"  {line}", "dim", hang=2)


def _print_lines(section: Section) -> None:
    rows: list[list[console.Cell]] = []
    for group, lines in section.groups:
        if group:
            rows.append([console.label(group, "italic")])
        for line in lines:
            style = "bold" if line.kind == "main" else ""
            cells = [_figure(line.values.get(name), style) for name in section.shown]
            rows.append([console.label(line.label, style, 2 if group else 0), *cells])
    console.print_table("", ["", *map(column_name, section.shown)], rows)


def _figure(one: Estimate | None, style: str = "") -> console.Cell:
    if one is None:
        return console.figure("")
    return console.figure(one.text, f"({one.interval})" if one.interval else "", style=style)


def print_compared(found: RunComparison) -> None:
    """Two runs side by side, their paired differences and the tests."""
    for note in found.notes:
        console.show(f"! {note}", "bold yellow")
    first = found.bases[0]
    console.show(f"{first.dataset}, {first.split} ({first.split_protocol}), gallery of {first.videos} clips", "bold")
    for way, words in DIRECTION_NAMES.items():
        rows = []
        for label, basis, values in zip(found.labels, found.bases, found.values, strict=True):
            count = f" ({len(basis.seeds)} seeds)" if len(basis.seeds) > 1 else ""
            figures_ = [_figure(values[f"{way} {name}"]) for name in NAMES]
            rows.append([console.label(label + count + _hears(basis)), *figures_])
        differences = [_figure(found.difference[f"change {way} {name}"]) for name in NAMES]
        rows.append([console.label("difference, paired", "bold"), *differences])
        console.print_table(f"{words} ({found.queries[way]} queries)", ["", *NAMES], rows)
        for name, test in found.tests[way].items():
            console.show(
                f"{name}: {test.only_first} queries that only {found.labels[0]} found, {test.only_second} that only {found.labels[1]} found; "
                f"McNemar p {_p(test.p)}, by videos {_p(test.by_video)}"
            )
    turned, pairs = found.pairs_turned
    console.show(
        f"text to video R@1: {turned:g} of {pairs} pairs of trainings rank the runs in the opposite order of their means; with the "
        f"test videos resampled and one training of each, {100 * found.draws_turned:.1f} % of draws do"
    )
    console.show("in brackets 95 % intervals, from a bootstrap over videos", "dim")


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"
