"""An extraction says in one line which of its features look collapsed."""

import numpy as np
import pytest

from gaid.backbones.protocol import TextFeatures
from gaid.stores import features
from tests.extract.stubs import StubText, StubVisual, run


@pytest.fixture
def dead_text(monkeypatch):
    """A text tower that gives one vector for everything."""
    alive = StubText.encode_text

    def encode(self, texts):
        found = alive(self, texts)
        return TextFeatures(np.ones_like(found.embedding), found.tokens)

    monkeypatch.setattr(StubText, "encode_text", encode)
    monkeypatch.setattr(features, "FEWEST", 15)  # one of the world's 16 clips is no video


@pytest.mark.slow
def test_a_dead_text_tower_is_reported(world, tmp_path, dead_text, capsys):
    report = run(world, tmp_path / "store.zarr", progress=True)
    lines = [line for line in report.features if line.startswith("text:")]
    assert len(lines) == 1
    assert "the features look collapsed: 100% of the vectors are equal to another clip's" in lines[0]
    assert lines[0] in capsys.readouterr().err
    assert report.to_dict()["features"] == report.features


@pytest.mark.slow
def test_features_of_random_weights_are_not_judged(world, tmp_path, dead_text, monkeypatch):
    monkeypatch.setattr(StubVisual, "provenance", {"name": "stub", "weights": "v1", "dim": 12, "random_weights": True})
    assert run(world, tmp_path / "store.zarr").features == []
