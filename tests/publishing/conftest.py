"""A small store under the backbones `tiny`, a run on it, and its head published once."""

from pathlib import Path

import pytest

from gaid import train
from gaid.publishing import publish
from gaid.runs import Run
from tests.cli.test_code_of_others import write_store

QUICK = ["epochs=1", "head.dim=8", "threads=1"]


@pytest.fixture(scope="package")
def store(tmp_path_factory) -> Path:
    return write_store(tmp_path_factory.mktemp("place-of-the-author") / "store.zarr")


@pytest.fixture(scope="package")
def run(store) -> Run:
    """Two seeds of `gaid`."""
    return train(store, "gaid", out=store.parent / "run", seeds=2, set=QUICK, progress=False)


@pytest.fixture(scope="package")
def published(run, tmp_path_factory):
    return publish(run, tmp_path_factory.mktemp("published") / "my-head", license="mit", dataset_id="someone/noise")


@pytest.fixture
def folder(published, tmp_path) -> Path:
    """A copy of the published folder that a test may change."""
    import shutil

    return Path(shutil.copytree(published.model.path, tmp_path / "copy"))
