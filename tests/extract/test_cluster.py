"""Shards as dask tasks: the same store as a local run, with a worker killed on the way; and who may be asked at all."""

import os
import signal
import threading
import time
import warnings

import pytest

from gaid.errors import DataMissing, ExtractInterrupted, OptionInvalid, StoresDisagree
from gaid.extract import extract
from gaid.extract.cluster import check_address
from gaid.stores import open_store
from tests.extract.folder_world import make_clip
from tests.extract.world import content, load_world, make_world

pytestmark = pytest.mark.slow

distributed = pytest.importorskip("distributed")

TINY = {"visual": "tiny", "audio": "tiny", "text": "tiny"}


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8786", "tcp://127.0.0.1:8786", "tcp://localhost:1", "tcp://[::1]:8786", "tls://node7:8786"]
)
def test_schedulers_on_this_machine_or_with_certificates_are_asked(address):
    check_address(address)


@pytest.mark.parametrize("address", ["tcp://192.0.2.1:8786", "node7:8786", "tcp://0.0.0.0:8786", "ucx://127.0.0.1:1"])
def test_open_schedulers_elsewhere_are_refused(address, monkeypatch):
    monkeypatch.delenv("GAID_TRUST_NETWORK", raising=False)
    with pytest.raises(OptionInvalid):
        check_address(address)


def test_a_network_that_the_user_trusts_is_used(monkeypatch):
    monkeypatch.setenv("GAID_TRUST_NETWORK", "1")
    check_address("tcp://192.0.2.1:8786")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("cluster") / "clips", clips=24)


@pytest.fixture(scope="module")
def reference(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "store.zarr"
    extract(world, out=out, progress=False, **TINY)
    return content(open_store(out))


@pytest.fixture
def cluster():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of dask's own making
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", processes=True
        ) as running:
            yield running


@pytest.mark.filterwarnings("default")
def test_a_cluster_that_loses_a_worker_makes_the_same_store(cluster, world, reference, tmp_path):
    out = tmp_path / "store.zarr"
    killed = []

    def kill_one():
        while len(list(out.glob("shards/[0-9]*.json"))) < 2:
            time.sleep(0.005)
        killed.append(cluster.workers[0].pid)
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill_one)
    thread.start()
    report = extract(world, out=out, scheduler=cluster.scheduler_address, progress=False, **TINY)
    thread.join()
    assert killed
    store = open_store(out)
    assert report.done == 23
    assert content(store) == reference
    assert store.verify().ok


@pytest.mark.filterwarnings("default")
def test_a_cluster_and_this_machine_go_on_with_each_others_store(cluster, world, reference, tmp_path):
    out = tmp_path / "store.zarr"

    def interrupt():
        while not list(out.glob("shards/[0-9]*.json")):
            time.sleep(0.005)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(ExtractInterrupted, match="the same command resumes"):
        extract(world, out=out, scheduler=cluster.scheduler_address, progress=False, **TINY)
    thread.join()
    done = len(list(out.glob("shards/[0-9]*.json")))
    assert 1 <= done < 8
    report = extract(world, out=out, progress=False, **TINY)
    assert report.extracted == 24 - 3 * done
    assert content(open_store(out)) == reference


def job_of(world, out, **changes):
    """A job as the driver would send it, changed."""
    import dataclasses

    from gaid.extract.options import BackboneChoice, Resources
    from gaid.extract.plan import make_plan, make_requests
    from gaid.extract.rows import ShardShape
    from gaid.extract.shard import ShardJob
    from gaid.media.clip import Sampling
    from gaid.stores import StoreWriter

    choice = BackboneChoice("tiny", "tiny", "tiny", "cpu")
    backbones = choice.load()
    plan = make_plan(world, backbones, Sampling(), False)
    with StoreWriter.open(out, plan) as writer:
        rows = writer.shard_slice(1)
    job = ShardJob(
        number=1,
        store=out,
        fingerprint=plan.fingerprint,
        ids=tuple(plan.video_ids[rows]),
        requests=tuple(make_requests(world, backbones, Sampling())[rows]),
        shape=ShardShape(12, plan.visual_dim, plan.audio_dim),
        backbones=choice,
        provenance=plan.attrs["backbones"],
        resources=Resources(),
    )
    return dataclasses.replace(job, **changes)


def test_a_job_travels_and_is_done_once(world, tmp_path):
    import pickle

    from gaid.extract.shard import extract_shard

    job = pickle.loads(pickle.dumps(job_of(world, tmp_path / "store.zarr")))
    report = extract_shard(job)
    assert (report.number, report.clips, report.already) == (1, 3, False)
    marker = (tmp_path / "store.zarr/shards/00001.json").read_bytes()
    assert extract_shard(job).already
    assert (tmp_path / "store.zarr/shards/00001.json").read_bytes() == marker


def test_a_worker_with_other_weights_is_refused(world, tmp_path):
    from gaid.extract.shard import extract_shard

    job = job_of(world, tmp_path / "store.zarr")
    job.provenance["visual"] = {**job.provenance["visual"], "weights": "others"}
    with pytest.raises(StoresDisagree, match=r"the visual backbone of the worker .* weights differ"):
        extract_shard(job)


def test_a_worker_that_does_not_see_the_files_does_not_mark_them_missing(world, tmp_path):
    import dataclasses

    from gaid.extract.shard import extract_shard

    job = job_of(world, tmp_path / "store.zarr")
    elsewhere = tuple(dataclasses.replace(one, path="/elsewhere" + one.path) for one in job.requests)
    with pytest.raises(DataMissing, match="every worker must see the files"):
        extract_shard(dataclasses.replace(job, requests=elsewhere))
    assert not (tmp_path / "store.zarr/shards/00001.json").exists()
    known = dataclasses.replace(job, requests=elsewhere, missing=frozenset(job.ids))
    assert len(extract_shard(known).failures) == 3


def test_no_scheduler_at_an_address_is_one_line(world, tmp_path, monkeypatch):
    monkeypatch.setattr("gaid.extract.cluster.CONNECT_SECONDS", 0.5)
    with pytest.raises(OptionInvalid, match="no dask scheduler answers") as caught:
        extract(load_world(world.root), out=tmp_path / "s.zarr", scheduler="tcp://127.0.0.1:9", progress=False, **TINY)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("default")
def test_a_library_grows_on_a_cluster_as_on_this_machine(cluster, tmp_path):
    for number in range(12):
        make_clip(tmp_path / f"clips/clip {number}.mp4", number, tmp_path / "bases")
        if number == 3:
            extract("folder", root=tmp_path / "clips", out=tmp_path / "store.zarr", progress=False, **TINY)
    (tmp_path / "clips/clip 1.mp4").unlink()
    options = {"root": tmp_path / "clips", "progress": False, **TINY}
    report = extract("folder", out=tmp_path / "store.zarr", scheduler=cluster.scheduler_address, **options)
    assert report.extracted == 8
    extract("folder", out=tmp_path / "fresh.zarr", **options)
    assert content(open_store(tmp_path / "store.zarr")) == content(open_store(tmp_path / "fresh.zarr"))
