"""One small store for all tests of training, and heads by the names that `train` takes."""

from pathlib import Path

import pytest

from gaid import train

from .planted import SMALL, write_store

HEADS = Path(__file__).parent / "planted.py"


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("stores") / "planted.zarr")


@pytest.fixture
def noisy():
    return f"{HEADS}:Noisy"


@pytest.fixture
def contrary():
    return f"{HEADS}:Contrary"


@pytest.fixture(scope="session")
def run(store, tmp_path_factory):
    """A finished training of `gaid`, to be read only."""
    return train(store, "gaid", out=tmp_path_factory.mktemp("runs") / "gaid", set=SMALL, progress=False)
