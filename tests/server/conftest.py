"""A small library of real files on disk, extracted with the `tiny` backbones, and a server over it that is asked in this process."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from gaid.extract import extract
from gaid.retrieval.searcher import Searcher
from gaid.server.app import make_app
from gaid.server.guard import Rules
from gaid.server.keys import key_of
from gaid.server.library import ServedLibrary
from gaid.server.rates import Rates
from tests import media_maker
from tests.server.visiting import server, tab, visit  # noqa: F401 (fixtures)


@dataclass(frozen=True)
class World:
    """The folder of the files, and the store of their features."""

    folder: Path
    store: Path

    def key(self, clip: str) -> str:
        return key_of(clip)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """`plain` and `parts/web` play in a browser, `parts/old` does not, `mute` has no sound."""
    folder = tmp_path_factory.mktemp("served") / "videos"
    media_maker.write_video(folder / "plain.mp4", frames=50, seed=1)
    media_maker.write_video(folder / "mute.mp4", frames=25, sound=None, seed=2)
    media_maker.write_video(
        folder / "parts" / "web.webm", frames=25, codec="libvpx-vp9", sound_codec="libopus", sound_rate=48000, seed=3
    )
    media_maker.write_video(
        folder / "parts" / "old.avi", frames=25, codec="mpeg4", sound_codec="pcm_s16le", bframes=0, seed=4
    )
    store = folder.parent / "videos.zarr"
    extract("folder", root=folder, out=store, visual="tiny", audio="tiny", text="tiny", frames=4, workers=0)
    return World(folder, store)


@pytest.fixture(scope="session")
def library(world):
    return ServedLibrary(Searcher.open(store=world.store, preset="av-sum", device="cpu"))


@pytest.fixture(scope="session")
def free():
    """Rates that no test reaches."""
    return Rates(per_second=1e9, burst=1e9)


@pytest.fixture(scope="module")
def client(library, free):
    with TestClient(
        make_app(library, Rules(frozenset({"localhost"}), rates=free)), base_url="http://localhost"
    ) as client:
        yield client
