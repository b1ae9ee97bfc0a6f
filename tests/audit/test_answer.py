"""What an audit answers in a sentence, by what was measured."""

import pytest

from gaid.audit.answer import answer
from gaid.audit.leak import ALL, PUBLISHED
from gaid.audit.results import Line, Section
from gaid.evaluation.ranks import Estimate


def leak(published: float, gain: Estimate, moved: float = 3.0) -> list[Section]:
    """The section of a leak: 50.0 under query; the published figure and its difference."""
    section = Section("leak", "Leak", "?")
    section.lines = [Line("query", {"t2v R@1": Estimate(50.0, 45.0, 55.0)}, "main", ALL)]
    for name in PUBLISHED:
        values = {"t2v R@1": Estimate(published), "change t2v R@1": gain, "change t2v MnR": Estimate(moved)}
        section.lines.append(Line(name, values, "leak", ALL))
    return [section]


FIGURE = "x finds the right clip first for 50.0 % of texts (95 % interval 45.0–55.0)"


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        (
            leak(58.3, Estimate(8.3, 5.1, 11.2, signed=True)),
            "; of the 58.3 % under the published protocol, 8.3 points (95 % interval 5.1–11.2) rest on gallery clips that have read "
            "their own captions.",
        ),
        (
            leak(36.8, Estimate(-13.2, -16.2, -10.1, signed=True)),
            "; the published protocol, in which gallery clips have read their own captions, does not flatter it here: 36.8 %, "
            "−13.2 (−16.2 to −10.1) points.",
        ),
        (
            leak(50.3, Estimate(0.3, -1.0, 1.6, signed=True)),
            "; whether gallery clips that have read their own captions add to the 50.3 % under the published protocol cannot be "
            "told here: +0.3 (−1.0 to +1.6) points.",
        ),
        (
            leak(50.0, Estimate(0.0, 0.0, 0.0, signed=True), moved=0.0),
            "; it neither gates nor pools by text, so no gallery clip can have read a caption.",
        ),
    ],
)
def test_it_says_how_much_of_the_published_figure_rests_on_reading_captions(sections, said):
    assert answer("x", sections) == FIGURE + said


def test_without_that_question_it_is_the_figure():
    section = Section("pool", "Pool", "?", [Line("all", {"t2v R@1": Estimate(50.0, 45.0, 55.0)}, "main")])
    assert answer("x", [section]) == f"{FIGURE}."
    assert answer("x", [Section("captions", "Captions", "?", unmeasured="no")]) == "x: no figure was measured."
