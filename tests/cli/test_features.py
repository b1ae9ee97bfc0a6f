"""`gaid store info` and `gaid doctor --store` show how a store's features look."""

import numpy as np
import pytest

from gaid.stores import examine_features
from tests.stores.vectors import write_vectors


@pytest.fixture
def store(tmp_path):
    """Sound pictures, and a text tower that gives one vector for everything."""
    visual = np.random.default_rng(0).normal(size=(40, 32))
    return write_vectors(tmp_path / "planted.zarr", visual, np.ones((40, 32)))


@pytest.mark.slow
@pytest.mark.parametrize("line", ["store info planted.zarr", "doctor --store planted.zarr"])
def test_the_figures_of_each_kind_and_what_looks_wrong_are_printed_and_given_as_json(gaid, store, line):
    report = examine_features(store)
    shown = gaid(*line.split())
    assert shown.code == 0
    table = shown.out[shown.out.index("Features, one vector per clip") :]
    for one in report.summaries:
        row = next(row for row in table.splitlines() if row.startswith(f"{one.kind} "))
        assert f"{one.rank:.1f} of {one.most_rank}" in row
    printed = " ".join(table.split())
    assert "text: the features look collapsed: 100% of the vectors are equal to another clip's" in printed
    assert "nearer in 50% of the cases" in printed
    found = gaid(*line.split(), "--json").json["features"]
    assert [one["kind"] for one in found["summaries"]] == ["text", "text tokens", "visual"]
    assert found["summaries"][2]["cosine"] == pytest.approx(report.summaries[2].cosine)
    assert found["warnings"] == report.warnings


def test_the_doctor_says_that_there_is_no_store(gaid):
    assert "nowhere.zarr: no store there" in gaid("doctor", "--store", "nowhere.zarr").last_word
