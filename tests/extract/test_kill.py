"""SIGKILL at any moment: what was marked done stays, the same command resumes, the store is the undisturbed one."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gaid.extract import extract
from gaid.stores import open_store
from tests.extract.world import content, load_world, make_world

KILLS = 10
PROGRAM = Path(__file__).with_name("world.py")
TINY = {"visual": "tiny", "audio": "tiny", "text": "tiny"}


def start(root: Path, out: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, PROGRAM, root, out, "1"],
        start_new_session=True,  # a process group to be killed as one
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def markers(out: Path) -> int:
    return len(list(out.glob("shards/[0-9]*.json")))


def wait_for(condition, process: subprocess.Popen, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        if process.poll() is not None:
            return
        time.sleep(0.002)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The world, its whole store's content, and the seconds that a shard takes."""
    root = tmp_path_factory.mktemp("kill") / "clips"
    make_world(root, clips=32)
    out = root.parent / "store.zarr"
    process = start(root, out)
    wait_for(lambda: markers(out) >= 1, process)
    first = time.monotonic()
    assert process.wait(60) == 0
    store = open_store(out)
    assert len(list((out / "shards").glob("[0-9]*.json"))) == 8
    return root, content(store), max((time.monotonic() - first) / 8, 0.01)


@pytest.mark.slow
def test_a_store_killed_at_ten_moments_is_the_undisturbed_one(undisturbed, tmp_path):
    root, expected, seconds = undisturbed
    chance = random.Random(11)
    found = []
    for kill in range(KILLS):
        out = tmp_path / f"store-{kill}.zarr"
        process = start(root, out)
        # A moment between the store's creation (-1: before) and the last shard, whatever the machine's speed.
        after = chance.randrange(-1, 8)
        wait_for(lambda after=after, out=out: after < 0 or (out.exists() and markers(out) >= after), process)
        time.sleep(chance.uniform(0, 0.8 if after < 0 else 1.5 * seconds))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        found.append(markers(out))
        before = {path.name: path.read_bytes() for path in out.glob("shards/[0-9]*.json")}
        report = extract(load_world(root), out=out, progress=False, **TINY)
        assert report.extracted <= 32 - 4 * found[-1]  # what was done is not done again
        for name, marker in before.items():
            assert (out / "shards" / name).read_bytes() == marker
        store = open_store(out)
        assert content(store) == expected, f"killed after {after} shards"
        assert store.verify().ok
    assert sum(0 < number < 8 for number in found) >= 4, found  # or nothing was tested


@pytest.mark.slow
def test_one_store_killed_again_and_again_is_finished_in_the_end(undisturbed, tmp_path):
    root, expected, seconds = undisturbed
    out = tmp_path / "store.zarr"
    chance = random.Random(5)
    for life in range(3):
        process = start(root, out)
        wait_for(lambda life=life: out.exists() and markers(out) >= 2 * life + 1, process)
        time.sleep(chance.uniform(0, seconds))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    extract(load_world(root), out=out, progress=False, **TINY)
    assert content(open_store(out)) == expected


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_reaches_all_processes_and_loses_nothing(undisturbed, tmp_path):
    root, expected, _ = undisturbed
    out = tmp_path / "store.zarr"
    process = start(root, out)
    wait_for(lambda: markers(out) >= 2, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the decode workers get it as well
    assert process.wait(30) == 130
    done = markers(out)
    assert 2 <= done < 8
    report = extract(load_world(root), out=out, progress=False, **TINY)
    assert report.extracted == 32 - 4 * done
    assert content(open_store(out)) == expected


@pytest.mark.slow
def test_decode_children_end_with_a_parent_that_was_killed(undisturbed, tmp_path):
    root, _, _ = undisturbed
    out = tmp_path / "store.zarr"
    process = start(root, out)
    wait_for(lambda: markers(out) >= 1, process)
    children = psutil.Process(process.pid).children(recursive=True)
    assert any("gaid.media.worker" in " ".join(child.cmdline()) for child in children)
    process.kill()  # it alone: nobody tells the children
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
