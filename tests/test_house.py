"""The rules of the house that no linter keeps: who may import whom, how large a room may be, and who may import by name."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GAID = ROOT / "gaid"
ROOMS = runpy.run_path(str(ROOT / "docs" / "figures" / "rooms.py"))


@pytest.fixture(scope="module")
def house():
    return ROOMS["survey"](GAID)


def test_no_rooms_and_no_modules_import_one_another_in_a_circle(house):
    """Imports for the type checker count: what needs them to hide a circle is one idea in two files."""
    assert house.room_circles == []
    assert house.module_circles == []


def test_no_room_holds_more_than_an_eighth_of_the_package(house):
    assert max(house.shares.values()) <= 0.12


def test_every_room_has_a_layer(house):
    assert set(house.lines) - {""} == {room for row in ROOMS["layers"](ROOT / "pyproject.toml") for room in row}


def test_circles_are_found():
    graph = {"a": ["b"], "b": ["c"], "c": ["a", "d"], "d": [], "e": ["a"]}
    assert ROOMS["circles"](graph, graph.__getitem__) == [{"a", "b", "c"}]


def test_no_module_imports_another_room_by_a_string():
    """import-linter sees no such import, so an arrow upward would go unnoticed; `plugins` and the lazy names alone may."""
    by_string = re.compile(r"import_module\(\s*f?[\"']gaid\.(\w+)")
    for path in GAID.rglob("*.py"):
        place = path.relative_to(GAID)
        if place.as_posix() not in ("plugins.py", "__init__.py"):
            rooms = set(by_string.findall(path.read_text("utf-8")))
            assert rooms <= {place.parts[0]}, place


def test_no_file_is_longer_than_400_lines():
    files = [file for folder in ("gaid", "tests", "benchmarks") for file in (ROOT / folder).rglob("*.py")]
    assert {str(file.relative_to(ROOT)) for file in files if len(file.read_text("utf-8").splitlines()) > 400} == set()


@pytest.mark.parametrize(
    ("pattern", "rooms", "why"),
    [
        (r"(?:getattr|hasattr)\((?:self\.|bench\.)?head\b", "", "heads.adapt makes a user's module a Head once"),
        (r"isinstance\([^)]*(?:Gate|Pooling|Perturbation)\b", "heads/", "a part answers for itself"),
    ],
)
def test_nothing_is_asked_of_heads_and_parts_behind_their_back(pattern, rooms, why):
    found = [
        f"{file.relative_to(ROOT)}:{number}: {why}"
        for file in GAID.glob(f"{rooms}**/*.py")
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1)
        if re.search(pattern, line)
    ]
    assert found == []
