"""The answer of an audit in one sentence, and one line per question: the beginning of its page and of its terminal output."""

from gaid.audit.leak import ALL
from gaid.audit.results import Line, Section
from gaid.evaluation.ranks import Estimate

R1, CHANGE = "t2v R@1", "change t2v R@1"


def answer(label: str, sections: list[Section]) -> str:
    """How much of the published figure rests on captions that the gallery has read; without that question, the figure."""
    main = next(
        (line for section in sections for line in section.lines if line.kind == "main" and R1 in line.values), None
    )
    if main is None:
        return f"{label}: no figure was measured."
    figure = f"{label} finds the right clip first for {main.values[R1].text} % of texts (95 % interval {main.values[R1].interval})"
    leak = next((section for section in sections if section.name == "leak"), None)
    return f"{figure}." if leak is None else f"{figure}{_of_leak(leak)}"


def _of_leak(section: Section) -> str:
    published = section.line("published", ALL)
    gain = published.values[CHANGE]
    if _reads_nothing(section):
        return "; it neither gates nor pools by text, so no gallery clip can have read a caption."
    if gain.low is not None and gain.low > 0:
        return (
            f"; of the {published.values[R1].text} % under the published protocol, {gain.text.lstrip('+')} points "
            f"({_bounds(gain)}) rest on gallery clips that have read their own captions."
        )
    if gain.high is not None and gain.high < 0:
        return (
            f"; the published protocol, in which gallery clips have read their own captions, does not flatter it here: "
            f"{published.values[R1].text} %, {gain} points."
        )
    return (
        f"; whether gallery clips that have read their own captions add to the {published.values[R1].text} % under the published "
        f"protocol cannot be told here: {gain} points."
    )


def _reads_nothing(section: Section) -> bool:
    own = [line for line in section.lines if line.kind == "leak" and line.group == ALL]
    return all(_unmoved(line) for line in own)


def _unmoved(line: Line) -> bool:
    return line.values["change t2v MnR"].value == 0


def _bounds(one: Estimate) -> str:
    """The interval of a gain whose sign is known."""
    return f"95 % interval {one.low:.1f}–{one.high:.1f}"


def contents(sections: list[Section]) -> list[tuple[Section, str]]:
    """Each section with its first finding, or with the reason why there is none."""
    return [(one, one.unmeasured or next(iter([*one.findings, *one.notes]), "")) for one in sections]
