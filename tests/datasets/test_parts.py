"""How large a part for choosing or judging heads is."""

import pytest

from gaid.datasets.parts import hold_out, part_size


@pytest.mark.parametrize(
    ("wanted", "of", "size"),
    [
        (0, 0, 0),
        (0, 1, 0),
        (0, 2, 1),
        (1, 12, 3),  # a quarter of few
        (3, 39, 9),
        (4, 40, 10),  # ten at least
        (10, 100, 10),
        (20, 200, 20),  # as many as wanted
        (90, 100, 50),  # never most of them
    ],
)
def test_a_part_has_at_least_ten_videos_or_a_quarter_of_few(wanted, of, size):
    assert part_size(wanted, of) == size


@pytest.mark.parametrize(("count", "held"), [(0, 0), (1, 0), (2, 1), (12, 3), (60, 10), (200, 20), (9000, 500)])
def test_what_is_held_out_for_validation_can_choose(count, held):
    names = [f"video{number}" for number in range(count)]
    found = hold_out(names, "made-up")
    assert len(found) == held
    assert found <= set(names)
    assert found == hold_out(names[::-1], "made-up")
