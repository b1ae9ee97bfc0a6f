"""A server over a folder that grows: what is new is found without a restart, and what can't be opened is served as it was."""

import shutil
import time
from functools import partial

import pytest
from starlette.testclient import TestClient

from gaid.errors import StoreIncomplete
from gaid.extract import extract
from gaid.retrieval.search import open_library
from gaid.server import served as served_module
from gaid.server.app import make_app
from gaid.server.guard import Rules
from gaid.server.library import ServedLibrary
from gaid.server.renewal import Renewal
from gaid.stores import convert_store, open_store
from gaid.stores.reader import state_of
from tests import media_maker

pytestmark = pytest.mark.slow


@pytest.fixture
def growing(world, tmp_path):
    """A copy of the world, and what extracts it again."""
    folder, store = tmp_path / "videos", tmp_path / "videos.zarr"
    shutil.copytree(world.folder, folder)
    again = partial(extract, "folder", root=folder, out=store, visual="tiny", audio="tiny", text="tiny", frames=4, workers=0,
                    device="cpu", progress=False)  # fmt: skip
    again()
    return folder, store, again


def opening_of(store):
    return partial(open_library, store=store, preset="av-sum", device="cpu")


def add(folder, name, seed=9):
    media_maker.write_video(folder / name, frames=25, seed=seed)


def test_a_library_is_opened_again_when_it_has_grown_and_only_then(growing):
    folder, store, again = growing
    opening = opening_of(store)
    library, renewal = ServedLibrary(opening()), Renewal(opening)
    assert renewal.newer(library) is None
    add(folder, "new.mp4")
    assert renewal.newer(library) is None  # not extracted yet
    again()
    newer = renewal.newer(library)
    assert newer.facts().clips == library.facts().clips + 1
    assert newer.searcher.encoder is library.searcher.encoder  # models are loaded once
    assert renewal.newer(newer) is None
    (folder / "new.mp4").unlink()
    again()
    assert renewal.newer(newer).facts().clips == library.facts().clips


def test_a_page_finds_what_was_extracted_since(growing, free, monkeypatch, capsys):
    folder, store, again = growing
    monkeypatch.setattr(served_module, "SECONDS", 0.05)
    opening = opening_of(store)
    app = make_app(ServedLibrary(opening()), Rules(frozenset({"localhost"}), rates=free), Renewal(opening))
    with TestClient(app, base_url="http://localhost") as client:
        clips = client.get("/api/library").json()["clips"]
        add(folder, "new.mp4")
        again()
        end = time.monotonic() + 30
        while client.get("/api/library").json()["clips"] == clips and time.monotonic() < end:
            time.sleep(0.05)
        assert client.get("/api/library").json()["clips"] == clips + 1
        found = client.get("/api/search", params={"q": "anything", "top": 20}).json()["hits"]
        (new,) = [hit for hit in found if hit["video"] == "new"]
        picture = client.get(new["thumbnails"][0])
        assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
        assert client.get(f"/api/clips/{new['key']}").json()["video"] == "new"
    assert f"the library has changed: {clips + 1} clips now" in capsys.readouterr().out


@pytest.mark.parametrize("fault", [StoreIncomplete("half of it is there"), RuntimeError("half of it is there")])
def test_what_can_not_be_opened_is_told_once_and_served_as_it_was(growing, capsys, fault):
    folder, store, again = growing
    calls = []

    def opening():
        calls.append(1)
        if len(calls) == 2:
            raise fault
        return opening_of(store)()

    library, renewal = ServedLibrary(opening()), Renewal(opening)
    for name in ("one.mp4", "two.mp4"):
        add(folder, name)
        again()
        newer = [renewal.newer(library) for _ in range(3)]
        if name == "one.mp4":
            assert newer == [None] * 3
            assert capsys.readouterr().err.count("half of it is there") == 1
            assert library.facts().clips == 4
    assert newer[0].facts().clips == 6


def test_agents_are_answered_by_the_library_as_it_is(growing):
    import anyio

    pytest.importorskip("mcp")
    from mcp import Client

    from gaid.server.agents import make_tools

    folder, store, again = growing
    opening = opening_of(store)

    async def ask():
        async with Client(make_tools(ServedLibrary(opening()), Renewal(opening))) as client:
            before = (await client.call_tool("library", {})).structured_content["clips"]
            add(folder, "new.mp4")
            again()
            after = (await client.call_tool("library", {})).structured_content["clips"]
            return before, after

    assert anyio.run(ask) == (4, 5)


def test_the_state_of_a_store_changes_with_it(growing, tmp_path):
    folder, store, again = growing
    before = state_of(store)
    assert open_store(store).state == before == state_of(store)
    add(folder, "new.mp4")
    again()
    assert state_of(store) != before
    file = tmp_path / "s.h5"
    convert_store(store, file)
    before = state_of(file)
    assert open_store(file).state == before
    file.unlink()
    convert_store(store, file)
    assert state_of(file) != before
