"""What the tests of heads share."""

import jaxtyping
import pytest


@pytest.fixture
def unchecked(monkeypatch):
    """Annotations are not checked, as outside the tests: for words that an annotation excludes and that heads refuse by themselves."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
