"""Runs on planted features, trained once for all tests of audits."""

from pathlib import Path

import numpy as np
import pytest

from gaid import train
from gaid.audit import audit
from tests.training.planted import write_store

TRAINED = ["epochs=6", "batch_size=50", "lr=5e-3", "patience=0", "keep_checkpoints=true", "head.dim=16"]


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    """Planted features: 60 test videos with two captions each on average, all with sound."""
    return write_store(tmp_path_factory.mktemp("audit") / "planted.zarr", parts={"train": 200, "val": 16, "test": 60})


@pytest.fixture(scope="session")
def run(store, tmp_path_factory):
    """Two seeds of gaid, every evaluation kept."""
    return train(store, "gaid", out=tmp_path_factory.mktemp("runs") / "gaid", seeds=2, set=TRAINED, progress=False)


@pytest.fixture(scope="session")
def deaf(store, tmp_path_factory):
    """Two seeds of x-pool, which takes no audio."""
    return train(store, "x-pool", out=tmp_path_factory.mktemp("runs") / "x-pool", seeds=2, set=TRAINED, progress=False)


@pytest.fixture(scope="session")
def work(tmp_path_factory) -> Path:
    """Where the controls are trained."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def whole(run, deaf, work):
    """An audit of everything, with the trained controls."""
    return audit(run, against=[deaf], retrain=True, work=work)


@pytest.fixture
def rng():
    return np.random.default_rng(0)
