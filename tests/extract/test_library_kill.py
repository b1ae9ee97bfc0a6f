"""A library of 300 clips through additions, renames, deletions, replaced files and kills is what a first extraction makes."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gaid.extract import extract
from gaid.stores import open_store
from gaid.stores.library_writer import LibraryWriter
from tests.extract.folder_world import TINY, make_clip, write_captions

pytestmark = pytest.mark.slow
PROGRAM = Path(__file__).with_name("folder_world.py")


class Folder:
    """A folder of clips that changes at random, and what it holds: the number of each file's clip."""

    def __init__(self, place: Path) -> None:
        self.root, self.bases = place / "clips", place / "bases"
        self.files: dict[str, int] = {}
        self.random = random.Random(7)
        self.next = 0

    def add(self, count: int) -> None:
        for _ in range(count):
            self._put(f"{'abc'[self.next % 3]}/clip {self.next}.mp4")

    def replace(self, count: int) -> None:
        for name in self._some(count):
            self._put(name)

    def rename(self, count: int) -> None:
        for name in self._some(count):
            to = f"moved/{Path(name).name}"
            (self.root / to).parent.mkdir(exist_ok=True)
            (self.root / name).rename(self.root / to)
            self.files[to] = self.files.pop(name)

    def delete(self, count: int) -> None:
        for name in self._some(count):
            (self.root / name).unlink()
            del self.files[name]

    def caption(self) -> None:
        said = {name: [f"clip {number}", f"kind {number % 5}"] for name, number in self.files.items() if number % 3}
        write_captions(self.root, said)

    def change(self) -> None:
        self.add(30)
        self.replace(6)
        self.rename(8)
        self.delete(10)
        self.caption()

    def _put(self, name: str) -> None:
        make_clip(self.root / name, self.next, self.bases)
        self.files[name] = self.next
        self.next += 1

    def _some(self, count: int) -> list[str]:
        return self.random.sample(sorted(name for name in self.files if not name.startswith("moved/")), count)


def kill_during_extraction(folder: Folder, out: Path, after: int) -> None:
    """Extracts, and kills all processes of it a little after `after` more shards are done."""
    before = markers(out)
    process = subprocess.Popen(
        [sys.executable, PROGRAM, folder.root, out],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 120
    while markers(out) < before + after and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    time.sleep(folder.random.uniform(0, 0.1))
    assert process.poll() is None, "ended before it was killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def markers(out: Path) -> int:
    return len([*out.glob("shards/[0-9]*.json"), *out.glob("library/part-*/shards/[0-9]*.json")])


def finished(folder: Folder, out: Path) -> set[int]:
    """The clips whose features are in a finished shard, by what is in their files."""
    with LibraryWriter.open(out) as library:
        digests = {part.source(row)[0][2] for part in library.parts.values() for row in part.rows}
    from gaid.source_files import digest_of

    known = set()
    for name, number in folder.files.items():
        found = (folder.root / name).stat()
        if digest_of(str(folder.root / name), found.st_size, found.st_mtime_ns) in digests:
            known.add(number)
    return known


def test_a_library_of_300_clips_survives_changes_and_kills(tmp_path):
    folder, out = Folder(tmp_path), tmp_path / "s.zarr"
    folder.add(240)
    folder.caption()
    kill_during_extraction(folder, out, after=3)  # the first extraction
    folder.change()
    kill_during_extraction(folder, out, after=2)  # the first growth
    folder.change()
    lacking = set(folder.files.values()) - finished(folder, out)
    assert 0 < len(lacking) < len(folder.files) - 50
    assert extract("folder", root=folder.root, out=out, progress=False, **TINY).extracted == len(lacking)
    folder.change()
    kill_during_extraction(folder, out, after=3)  # a later growth
    before = open_store(out)
    assert len(before.ids) == 280  # the library is still what it was
    folder.change()
    lacking = set(folder.files.values()) - finished(folder, out)
    assert 36 <= len(lacking) < 72
    report = extract("folder", root=folder.root, out=out, progress=False, **TINY)
    assert report.extracted == len(lacking)
    assert report.clips == len(folder.files) == 320
    store = open_store(out)
    assert store.verify().problems == []
    extract("folder", root=folder.root, out=tmp_path / "fresh.zarr", workers=2, progress=False, **TINY)
    fresh = open_store(tmp_path / "fresh.zarr")
    assert store.ids == fresh.ids
    assert store.content_digest() == fresh.content_digest()
