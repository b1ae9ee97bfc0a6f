"""One small world, and one store of it by the stubs, for all tests that extract with stubs."""

import pytest

from gaid.extract import extract
from tests.extract.stubs import NAMES, StubText, StubVisual
from tests.extract.world import make_world


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world") / "clips")


@pytest.fixture(scope="session")
def reference(world, tmp_path_factory):
    StubVisual.reset()
    out = tmp_path_factory.mktemp("reference") / "store.zarr"
    extract(world, out=out, progress=False, **NAMES)
    return out


@pytest.fixture(autouse=True)
def fresh_stubs():
    StubVisual.reset()
    yield
    StubVisual.reset()
    StubText.extra = 0
