"""`python -m benchmarks.rounds [--clips 300] [--rounds 20] [--seed 7]`: a library through changes and kills, round by round.

Each round adds, replaces, renames, copies, deletes and brings back files and captions at random, kills an extraction at a random
moment one to three times, and lets it finish. After each it is asserted that exactly the clips were decoded whose features no
finished shard had, and at the end, and after every prune, that the library equals a first extraction of the folder: its ids, all
its arrays, its fingerprint. No time is measured.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from gaid.extract import extract
from gaid.source_files import digest_of
from gaid.stores import open_store
from gaid.stores.compaction import prune_store
from gaid.stores.library_writer import LibraryWriter
from tests.extract.folder_world import TINY, make_clip, write_captions

OPTIONS: dict[str, Any] = {"workers": 2, "progress": False, **TINY}
PROGRAM = "from tests.extract.folder_world import main; import sys; main(*sys.argv[1:])"


class Folder:
    """A folder of clips that changes at random, and the number of the clip in each of its files."""

    def __init__(self, place: Path, seed: int) -> None:
        self.root, self.bases, self.away = place / "clips", place / "bases", place / "away"
        self.files: dict[str, int] = {}
        self.gone: list[tuple[Path, int]] = []
        self.random = random.Random(seed)
        self.next = 0
        self.done: Counter[str] = Counter()
        self.away.mkdir(parents=True)

    def change(self, clips: int) -> None:
        """One round: about a tenth of the clips each way, so that there are about as many as before."""
        few = max(1, clips // 20)
        kinds = {"added": self._add, "replaced": self._replace, "renamed": self._rename, "copied": self._copy,
                 "deleted": self._delete, "brought back": self._bring_back, "touched": self._touch}  # fmt: skip
        for name in self.random.sample(sorted(kinds), len(kinds)):
            count = self.random.randrange(few + 1)
            kinds[name](count)
            self.done[name] += count
        self._add(max(0, clips - len(self.files)))
        self._caption()

    def _new_name(self) -> str:
        return f"{self.random.choice('abcd')}/clip {self.next} {self.random.randrange(10**6)}.mp4"

    def _some(self, count: int) -> list[str]:
        return self.random.sample(sorted(self.files), min(count, len(self.files)))

    def _put(self, name: str) -> None:
        make_clip(self.root / name, self.next, self.bases)
        self.files[name] = self.next
        self.next += 1

    def _add(self, count: int) -> None:
        for _ in range(count):
            self._put(self._new_name())

    def _replace(self, count: int) -> None:
        for name in self._some(count):
            self._put(name)

    def _rename(self, count: int) -> None:
        for name in self._some(count):
            to = self._new_name()
            (self.root / to).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).rename(self.root / to)
            self.files[to] = self.files.pop(name)

    def _copy(self, count: int) -> None:
        for name in self._some(count):
            to = self._new_name()
            (self.root / to).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.root / name, self.root / to)
            self.files[to] = self.files[name]

    def _delete(self, count: int) -> None:
        for name in self._some(count):
            kept = self.away / f"{len(self.gone)} {time.monotonic_ns()}.mp4"
            (self.root / name).rename(kept)
            self.gone.append((kept, self.files.pop(name)))

    def _bring_back(self, count: int) -> None:
        for _ in range(min(count, len(self.gone))):
            kept, number = self.gone.pop(self.random.randrange(len(self.gone)))
            to = self._new_name()
            (self.root / to).parent.mkdir(parents=True, exist_ok=True)
            kept.rename(self.root / to)
            self.files[to] = number

    def _touch(self, count: int) -> None:
        for name in self._some(count):
            os.utime(self.root / name)

    def _caption(self) -> None:
        said = {
            name: [f"clip {number}", f"kind {number % 5}"]
            for name, number in self.files.items()
            if self.random.random() < 0.6
        }
        write_captions(self.root, said or {name: ["a clip"] for name in self._some(1)})

    def clips(self) -> set[tuple[str, int]]:
        """What a library must decode once: every content, by the digest of its file."""
        found = set()
        for name, number in self.files.items():
            file = self.root / name
            facts = file.stat()
            found.add((digest_of(str(file), facts.st_size, facts.st_mtime_ns), number))
        return found


def lacking(folder: Folder, out: Path) -> int:
    """How many contents of the folder no finished shard has. Copies of one are decoded together: each counts."""
    digests: set[str] = set()
    if out.exists():
        with LibraryWriter.open(out) as library:
            digests = {part.source(row)[0][2] for part in library.parts.values() for row in part.rows}
    known = {number for digest, number in folder.clips() if digest in digests}
    return sum(number not in known for number in folder.files.values())


def kill_once(folder: Folder, out: Path) -> bool:
    """Extracts in a process of its own, and kills it and its children at a random moment; whether it was not done by then."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, folder.root, out],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(folder.random.uniform(1.0, 5.0))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def assert_fresh(folder: Folder, out: Path, place: Path) -> None:
    """The library is what a first extraction of the folder makes."""
    fresh = place / "fresh.zarr"
    shutil.rmtree(fresh, ignore_errors=True)
    extract("folder", root=folder.root, out=fresh, **OPTIONS)
    mine, first = open_store(out), open_store(fresh)
    assert mine.verify().problems == []
    assert mine.fingerprint == first.fingerprint
    assert mine.names() == first.names()
    rows = {name: row for row, name in enumerate(mine.ids)}
    order = np.array([rows[name] for name in first.ids])
    for name in first.names():
        values, expected = mine[name][...], first[name][...]
        by_clip = name.startswith("videos/") and len(values) == len(order)
        np.testing.assert_array_equal(values[order] if by_clip else values, expected, err_msg=name)
    assert mine.ids == first.ids


def run(clips: int, rounds: int, seed: int, place: Path) -> Counter[str]:
    """What happened, by its name."""
    folder, out = Folder(place, seed), place / "s.zarr"
    count: Counter[str] = Counter()
    for number in range(rounds):
        folder.change(clips)
        for _ in range(folder.random.randrange(1, 4)):
            count["killed"] += kill_once(folder, out)
        wanted = lacking(folder, out)
        report = extract("folder", root=folder.root, out=out, **OPTIONS)
        assert report.extracted == wanted, (
            f"round {number}: {report.extracted} clips were decoded, {wanted} were lacking"
        )
        assert report.clips == len(folder.files)
        count["decoded after kills"] += wanted
        if number % 5 == 4:
            prune_store(out)
            count["pruned"] += 1
            assert_fresh(folder, out, place)
        print(f"round {number + 1}: {len(folder.files)} clips, {wanted} decoded; {dict(count)}", flush=True)
    assert_fresh(folder, out, place)
    return count + folder.done


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.rounds", description=__doc__)
    for name, value in (("clips", 300), ("rounds", 20), ("seed", 7)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gaid-rounds-") as place:
        count = run(options.clips, options.rounds, options.seed, Path(place))
    print(
        f"equal to a first extraction after {options.rounds} rounds: {', '.join(f'{n} {name}' for name, n in count.items())}"
    )


if __name__ == "__main__":
    main()
