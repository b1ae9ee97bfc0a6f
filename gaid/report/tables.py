"""Tables of results: for the terminal (rich), as markdown and as CSV. The HTML page draws its own from the same rows."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gaid import console
from gaid.evaluation.conditioning import OWN_CAPTIONS
from gaid.evaluation.figures import Figures
from gaid.evaluation.ranks import signed
from gaid.evaluation.results import DualSoftmaxGain, Results, noise_in_words
from gaid.metrics import BY_NAME, NAMES


@dataclass
class Row:
    """A line of a table: whose figures, the figures, and `kind`: `main`, `baseline`, `protocol`, `leak` or `part`.

    `sound`: the audio input of a head that may take tokens or embeddings, on its own lines and on a baseline's.
    """

    label: str
    kind: str
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    per_seed: list[dict[str, float]]
    queries: int = 0
    gallery: int = 0
    sound: str = ""

    @classmethod
    def of(cls, label: str, kind: str, figures: Figures, sound: str = "") -> "Row":
        return cls(
            label, kind, figures.values, figures.intervals, figures.per_seed, figures.queries, figures.gallery, sound
        )  # fmt: skip

    def cell(self, name: str) -> str:
        """The figure as it is printed; a leak has its sign."""
        value = self.values[name]
        return signed(value) if self.kind == "leak" else BY_NAME[name].text(value)

    def interval(self, name: str) -> str:
        """`low–high`, or nothing where there is none."""
        if name not in self.intervals:
            return ""
        low, high = self.intervals[name]
        if self.kind == "leak":
            return f"{signed(low)} to {signed(high)}"
        return BY_NAME[name].interval_text(low, high)


def labels(results: Results) -> list[str]:
    """The labels of the head and its baselines, with the audio input where two would be the same."""
    heads = [results, *results.baselines]
    shared = [sum(other.label == one.label for other in heads) > 1 for one in heads]
    return [
        f"{one.label} ({one.basis.hears})" if one.basis.hears and twice else one.label
        for one, twice in zip(heads, shared, strict=True)
    ]


def rows(results: Results, direction: str) -> list[Row]:
    """All lines of one direction: the head, its other protocol and the leak, its clips with sound, and the baselines."""
    own, *others = labels(results)
    found = [Row.of(own, "main", results.figures[direction])]
    if results.leak:
        leak = results.leak
        found.append(Row.of(f"{own}, protocol {leak.protocol}", "protocol", leak.figures[direction]))
        found.append(Row(f"leak ({leak.protocol} − query)", "leak", leak.difference[direction], {}, []))
        found += _doubled_rows(f"{own}, protocol {leak.protocol}", leak.dual_softmax, direction)
    found += _doubled_rows(own, results.dual_softmax, direction)
    if results.search is not None and direction == "t2v" and results.search.figures:
        seed = f", seed {results.basis.seeds[0]}" if len(results.basis.seeds) > 1 else ""
        label = f"{own}, best {results.search.candidates} of an index{seed}"
        found.append(Row.of(label, "part", results.search.figures))
    if results.with_sound:
        figures = results.with_sound[direction]
        found.append(Row.of(f"{own}, the {figures.gallery} clips with sound", "part", figures))
    if results.all_clips:
        figures = results.all_clips[direction]
        found.append(Row.of(f"{own}, all {figures.gallery} clips", "part", figures))
    if results.all_captions:
        figures = results.all_captions[direction]
        # Video to text a query is a video, however many captions there are.
        found.append(Row.of(f"{own}, all captions", "part", figures))
    for row in found:
        row.sound = results.basis.hears
    for label, one in zip(others, results.baselines, strict=True):
        found.append(Row.of(label, "baseline", one.figures[direction], one.basis.hears))
    return found


def _doubled_rows(who: str, doubled: DualSoftmaxGain | None, direction: str) -> list[Row]:
    """The figures with a second softmax and its gain; nothing where it was not asked for."""
    if doubled is None:
        return []
    label = f"{who}, dual softmax ({doubled.form})"
    more = doubled.difference[direction], doubled.intervals[direction]
    return [
        Row.of(label, "protocol", doubled.figures[direction]),
        Row("gain (needs all queries at once)", "leak", *more, []),
    ]


def heading(results: Results) -> str:
    """What was evaluated on what, in a line."""
    basis = results.basis
    seeds = f"{len(basis.seeds)} seeds" if len(basis.seeds) > 1 else f"seed {basis.seeds[0]}"
    what = "sounds alone" if results.sense == "sound" else "clips"
    what += " with sound" if results.subset == "with-sound" else ""
    first = next(iter(results.figures.values()))
    return (
        f"{basis.dataset}, {basis.split} ({basis.split_protocol}), gallery of {first.gallery} {what}, "
        f"protocol query, {'first captions only, ' if results.first_caption else ''}{seeds if basis.trained else 'untrained'}"
    )


def census_items(census: dict[str, Any]) -> list[tuple[str, int]]:
    """The census in reading order, without zeros except for the basic counts."""
    names = {
        "asked": "asked for",
        "found": "found",
        "unreadable": "unreadable",
        "valid": "with features",
        "failed": "failed",
        "sound": "with sound",
        "silent": "silent",
        "no track": "no audio track",
        "audio failed": "sound unreadable",
        "short": "shorter than F frames",
        "replaced": "with replaced pictures",
        "one picture": "of one picture",
        "long gap": "with one picture for more than half",
        "captions": "captions",
        "duplicate captions": "duplicate captions",
    }
    always = ("asked", "found", "valid")
    return [(names.get(name, name), int(count)) for name, count in census.items() if count or name in always]


def findings(results: Results, subject: str | None = None) -> list[str]:
    """Everything else that was measured, one sentence each; `subject` names the head, by default as in the tables."""
    subject = subject or labels(results)[0]
    lines = []
    for one in results.comparisons:
        for direction, difference in one.difference.items():
            low, high = one.intervals[direction]["R@1"]
            lines.append(
                f"{results.ways[direction]} R@1: {subject} {signed(difference['R@1'])} points over {one.baseline} "
                f"(paired 95 % interval {signed(low)} to {signed(high)})"
            )
    for label, head in zip(labels(results), (results, *results.baselines), strict=True):
        if head.basis.hears and label == head.label:  # else the label says it
            lines.append(f"{label} hears {head.basis.hears}")
    if results.leak:
        lines.append(
            f"leak: under `{results.leak.protocol}` gallery videos have read their own captions ({OWN_CAPTIONS[results.leak.own_caption]}); "
            "only the figures under `query` show how well the head finds a video"
        )
    lines += noise_in_words(results.noise, {results.leak.protocol: results.leak.noise} if results.leak else {})
    if results.sound_weight is not None:
        truth = results.sound_weight
        auc, audible = truth.auc, truth.audible
        lines.append(
            f"sound weight (attention x gate) separates frames with informative sound from the rest: AUC {auc['sound_weight']:.3f} "
            f"(gate alone {auc['gate']:.3f}, attention alone {auc['attention']:.3f}); among audible frames "
            f"{audible['sound_weight']:.3f}; {truth.informative} of {truth.frames} frames are informative"
        )
    if results.search is not None:
        search = results.search
        recall = ", ".join(f"{name} {value:.1f} %" for name, value in search.recall.items())
        seconds = search.seconds
        lines.append(
            f"index: {search.candidates} candidates per query contain {recall} of the exact ranking, and the right video for "
            f"{search.found:.1f} % (first seed); {seconds['index'] + seconds['candidates']:.2f} s for candidates and "
            f"{seconds['rescoring']:.2f} s to re-score them, against {seconds['exact']:.2f} s for all pairs"
        )
    return lines


def print_results(results: Results) -> None:
    """Everything about an evaluation, for a person."""
    for note in results.notes:
        console.show(f"! {note}", "bold yellow")
    console.show(heading(results), "bold")
    for direction, words in results.ways.items():
        queries = results.figures[direction].queries
        lines = [
            [console.label(row.label, "bold" if row.kind == "main" else ""), *(_figure(row, name) for name in NAMES)]
            for row in rows(results, direction)
        ]
        console.print_table(f"{words} ({queries} queries)", ["", *NAMES], lines)
    console.show("in brackets 95 % intervals, from a bootstrap over videos", "dim")
    if len(results.basis.seeds) > 1:
        for direction, figures in results.figures.items():
            each = ", ".join(f"{one['R@1']:.1f}" for one in figures.per_seed)
            console.show(f"{direction} R@1 of seeds {', '.join(map(str, results.basis.seeds))}: {each}", "dim")
    for line in findings(results):
        console.show(line)
    census = ", ".join(f"{name} {count}" for name, count in census_items(results.basis.census))
    console.show(f"census: {census}; gallery {results.basis.gallery_hash[:12]}", "dim")
    backbones = ", ".join(f"{kind} {name}" for kind, name in results.basis.backbones.items())
    console.show(f"features: {backbones}; {results.basis.store}", "dim")
    if results.saved_ranks:
        console.show(f"ranks: {results.saved_ranks}")


def _figure(row: Row, name: str) -> console.Cell:
    interval = row.interval(name)
    style = "bold" if row.kind in ("main", "leak") else ""
    return console.figure(row.cell(name), f"({interval})" if interval else "", style=style)


def markdown(results: Results) -> str:
    """The same tables as markdown, with heading, notes, findings and census."""
    parts = [f"**{escape_markdown(heading(results))}**", *(f"> {escape_markdown(note)}" for note in results.notes)]
    for direction, words in results.ways.items():
        queries = results.figures[direction].queries
        parts.append(f"{words} ({queries} queries)\n\n{markdown_rows(rows(results, direction))}")
    parts += [f"* {escape_markdown(line)}" for line in findings(results)]
    census = ", ".join(f"{name} {count}" for name, count in census_items(results.basis.census))
    parts.append(
        f"Census: {census}; gallery `{results.basis.gallery_hash[:12]}`. 95 % intervals: bootstrap over videos."
    )
    return "\n\n".join(parts) + "\n"


def markdown_rows(lines: Iterable[Row]) -> str:
    """A markdown table of rows: each figure with its interval."""
    out = ["| |" + "|".join(NAMES) + "|", "|---|" + "---:|" * len(NAMES)]
    for row in lines:
        cells = [f"{row.cell(name)} ({row.interval(name)})" if row.intervals else row.cell(name) for name in NAMES]
        out.append(f"| {escape_markdown(row.label)} | " + " | ".join(cells) + " |")
    return "\n".join(out)


def csv_records(results: Results) -> list[dict[str, Any]]:
    """One record a row and direction, with everything that its figures rest on."""
    found = []
    for direction in results.figures:
        for row in rows(results, direction):
            record: dict[str, Any] = {
                "dataset": results.basis.dataset,
                "split": results.basis.split,
                "split_protocol": results.basis.split_protocol,
                "direction": direction,
                "head": row.label,
                "kind": row.kind,
                "queries": row.queries or "",
                "gallery": row.gallery or "",
                "seeds": max(1, len(row.per_seed)),
                "sound": row.sound,
            }
            for name in NAMES:
                record[name] = round(row.values[name], 4)
                low, high = row.intervals.get(name, ("", ""))
                record |= {f"{name} low": _round(low), f"{name} high": _round(high)}
            found.append(
                record
                | {
                    "random_weights": results.basis.random_weights,
                    "gallery_hash": results.basis.gallery_hash,
                    **{f"census: {name}": count for name, count in results.basis.census.items()},
                }
            )
    return found


def csv_text(records: list[dict[str, Any]]) -> str:
    """Records as CSV; columns in the order of their first appearance."""
    columns = list(dict.fromkeys(name for record in records for name in record))
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, fieldnames=columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return file.getvalue()


def _round(value: float | str) -> float | str:
    return value if isinstance(value, str) else round(value, 4)


def escape_markdown(text: str) -> str:
    """Text that markdown takes as text."""
    for sign in "\\`*_|<>[]#":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
