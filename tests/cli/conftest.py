"""The commands, run in this process as the console script runs them, in a folder of the test's own."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gaid.cli import run
from tests.checkpoint_maker import KINDS, register_small_clip, write_checkpoint


@dataclass
class Told:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def last_word(self) -> str:
        """The last line on stderr."""
        return self.err.strip().splitlines()[-1]


@pytest.fixture
def gaid(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Told]:
    """`gaid("extract", "--dataset", "demo")` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Told:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        return Told(code, *capfd.readouterr())

    return call


@pytest.fixture(autouse=True)
def empty_hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub's cache with nothing in it: which weights this machine holds must not matter."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.delenv("GAID_DOWNLOAD", raising=False)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One published checkpoint a kind, over a CLIP small enough to be built here, which open_clip then knows."""
    register_small_clip(tmp_path_factory.mktemp("open_clip"))
    folder = tmp_path_factory.mktemp("published")
    return {kind: write_checkpoint(folder / f"{kind}.pth", kind) for kind in KINDS}
