"""The benchmark of scoring runs, and its rivals give the same scores. No time is looked at."""

import pytest

from benchmarks import score
from benchmarks.harness import Options


@pytest.mark.slow
def test_scoring_runs_small_and_every_way_agrees():
    found = score.run(Options(True, 1, 1, 0))
    assert found.cases
    error = next(goal for goal in found.goals if "error" in goal.text)
    assert error.met, error
