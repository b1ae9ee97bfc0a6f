"""Stores on object storage: read from a real S3 server as from the disk, in few requests, and errors that say what to do."""

import http.server
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from gaid import evaluate, search, train
from gaid.errors import DataMissing, DependencyMissing, OptionInvalid, RemoteFailed, StoreCorrupt
from gaid.extract import extract
from gaid.retrieval import searcher
from gaid.retrieval.engines import open_engine
from gaid.retrieval.engines.push import push
from gaid.retrieval.searcher import Searcher
from gaid.stores import open_store, reader, remote
from tests.extract.folder_world import TINY, make_clip, write_captions
from tests.retrieval.test_searcher import write_store as write_library
from tests.stores.s3_server import BUCKET, S3Server
from tests.stores.toy import fill
from tests.stores.toy_library import grow
from tests.training.planted import SMALL, write_store

pytest.importorskip("obstore")
pytest.importorskip("moto")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with S3Server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(autouse=True)
def environment(server, tmp_path, monkeypatch):
    for name, value in {**server.environment(), "XDG_CACHE_HOME": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def plain(server, tmp_path_factory):
    """A small store here, and its address."""
    place = tmp_path_factory.mktemp("plain") / "s.zarr"
    fill(place)
    return place, server.copy(place, "plain.zarr")


def same(one, other):
    """Whether two stores hold the same: identity, failures and all arrays."""
    return one.content_digest() == other.content_digest()


def test_it_reads_as_from_the_disk(plain):
    place, address = plain
    here, there = open_store(place), open_store(address)
    assert same(here, there)
    assert str(there.path) == there.address == address
    mine, its = here.info(), there.info()
    assert {**mine, "path": address} == its
    np.testing.assert_array_equal(here.split("train").visual, there.split("train").visual)
    assert there.sources == here.sources


def test_a_library_that_has_grown(server, tmp_path):
    place = tmp_path / "s.zarr"
    fill(place)
    grow(place, ["new 1", "new 2"], keep=[0, 2, 3])
    assert same(open_store(place), open_store(server.copy(place, "grown.zarr")))


def test_opening_takes_few_requests(server, plain):
    """zarr.json, the list, each marker, and each array's shape: whatever the number of clips in a shard."""
    server.clear()
    store = open_store(plain[1])
    markers, arrays = len(store.shards) + 3, len(store.arrays.names())
    assert len(server.requests) <= 4 + markers + arrays
    assert sum("list-type=2" in one for one in server.requests) == 1


def test_rows_that_lie_apart_are_read_in_parts(server, tmp_path):
    place = write_store(tmp_path / "s.zarr")
    here, there = open_store(place), open_store(server.copy(place, "parts.zarr"))
    rows = np.arange(0, len(here.ids), 9)
    here.rows("videos/visual", rows[:1])
    for name in ("videos/visual", "videos/valid"):
        np.testing.assert_array_equal(there.rows(name, rows), here.rows(name, rows))
    server.clear()
    there.rows("videos/visual", rows + 1)
    shards = len(np.unique((rows + 1) // there["videos/visual"].rows_per_file))
    assert len(server.requests) <= 2 * shards


@pytest.mark.slow
def test_a_head_is_trained_evaluated_and_searched_with(server, tmp_path):
    place = write_store(tmp_path / "s.zarr")
    address = server.copy(place, "train.zarr")
    heads = {}
    for name, store in (("here", place), ("there", address)):
        run = train(open_store(store), "gaid", out=tmp_path / name, set=SMALL, progress=False)
        heads[name] = evaluate(tmp_path / name, device="cpu").to_dict()["t2v"]["R@1"]
        assert run.config["store"] == str(store)
    assert heads["here"] == heads["there"]


@pytest.mark.slow
def test_a_search_keeps_its_index_in_the_cache(server, tmp_path, monkeypatch):
    clips, out = tmp_path / "clips", tmp_path / "s.zarr"
    for number in range(4):
        make_clip(clips / f"clip {number}.mp4", number, tmp_path / "bases")
    write_captions(clips, {"clip 0.mp4": ["a red thing"]})
    extract("folder", root=clips, out=out, progress=False, **TINY)
    address = server.copy(out, "search.zarr")
    asked = {"query": "a red thing", "preset": "mean-pool", "device": "cpu"}
    exact = search(store=out, index="exact", **asked).answers[0].hits
    for index in ("exact", "faiss"):
        found = search(store=address, index=index, **asked).answers[0].hits
        assert [(hit.video, hit.score) for hit in found] == [(hit.video, pytest.approx(hit.score)) for hit in exact]
    assert [one.name for one in (tmp_path / "cache" / "gaid" / "remote").rglob("search.zarr.index")]
    assert not (tmp_path / "s3:").exists()


@pytest.mark.slow
def test_the_store_and_its_engine_are_both_there(server, tmp_path, monkeypatch):
    pytest.importorskip("lancedb")
    monkeypatch.setattr(reader, "_SPACELESS", "none of them")
    monkeypatch.setattr(searcher, "FEW", 0)
    address = server.copy(write_library(tmp_path / "s.zarr", captions=5).path, "both.zarr")
    vectors = f"s3://{BUCKET}/vectors"
    library = Searcher.open(store=address, device="cpu", index="exact")
    assert push(library, open_engine(vectors), progress=False).added == len(library.rows)
    assert push(library, open_engine(vectors), progress=False).unchanged == len(library.rows)
    asked = {"store": address, "device": "cpu", "top": 5}
    through, exact = search("a red car", engine=vectors, **asked), search("a red car", index="exact", **asked)
    assert [hit.video for hit in through.answers[0].hits] == [hit.video for hit in exact.answers[0].hits]


# Errors


def test_what_is_not_there(server, plain, tmp_path):
    with pytest.raises(DataMissing, match=r"s3://elsewhere/s.zarr: there is no such bucket"):
        open_store("s3://elsewhere/s.zarr")
    with pytest.raises(DataMissing, match=f"s3://{BUCKET}/none.zarr: no store there"):
        open_store(f"s3://{BUCKET}/none.zarr")
    place = Path(shutil.copytree(plain[0], tmp_path / "s.zarr"))
    (place / "videos" / "visual" / "c" / "1" / "0" / "0").unlink()
    with pytest.raises(StoreCorrupt, match=f"s3://{BUCKET}/gap.zarr/videos/visual/c/1/0/0: is missing"):
        open_store(server.copy(place, "gap.zarr"))


def test_no_credentials_no_answer_and_a_refusal(monkeypatch):
    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(403)
            self.end_headers()

        def log_message(self, *words):
            pass

    refusing = http.server.HTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=refusing.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{refusing.server_port}")
    with pytest.raises(RemoteFailed, match=r"s3://b/s.zarr: the credentials in the environment are refused"):
        open_store("s3://b/s.zarr")
    refusing.shutdown()
    refusing.server_close()
    with pytest.raises(RemoteFailed, match=r"s3://b/s.zarr: no answer .* check the network"):
        open_store("s3://b/s.zarr")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(RemoteFailed, match="no credentials were found; set AWS_ACCESS_KEY_ID"):
        open_store("s3://b/s.zarr")
    monkeypatch.setattr(remote, "not_installed", lambda modules: modules)
    with pytest.raises(DependencyMissing, match=r"pip install 'gaid\[s3\]'"):
        open_store("s3://b/s.zarr")


def test_the_server_goes_away_while_a_store_is_read(plain, tmp_path, monkeypatch):
    monkeypatch.setitem(remote._RETRIES, "max_retries", 0)
    with S3Server(tmp_path) as other:
        monkeypatch.setenv("AWS_ENDPOINT_URL", other.endpoint)
        gone = open_store(other.copy(plain[0], "gone.zarr"))
    with pytest.raises(RemoteFailed, match=r"gone.zarr: no answer"):
        gone["videos/visual"][:]


@pytest.mark.parametrize("address", ["http://example.org/s.zarr", "ftp://b/s.zarr"])
def test_addresses_that_nothing_is_read_from(address):
    with pytest.raises(
        OptionInvalid, match=r"is an address; stores are written on a file system .* s3://, gs:// or az://"
    ):
        open_store(address)


def test_nothing_is_written_there():
    with pytest.raises(OptionInvalid, match="is an address"):
        extract("demo", out=f"s3://{BUCKET}/new.zarr", progress=False, **TINY)


def test_an_address_survives_being_a_path():
    assert remote.address_of("s3:/library/a b.zarr/") == "s3://library/a b.zarr"
    assert remote.address_of("s3://library/a.zarr") == "s3://library/a.zarr"
    assert remote.address_of("stores/s3.zarr") is None
