"""`gaid serve` under load: clients that search, look at thumbnails and strips, and play parts of clips, without a pause.

The server is a process of its own, on loopback, over a library of real files that was extracted with `tiny`. Each client has an
address of its own where the system gives loopback more than one, since a server bounds what one client may ask.
"""

import asyncio
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil

from benchmarks.harness import Case, Findings, Goal, Options, Timing
from benchmarks.media import make_clip
from gaid.extract import extract

OURS = "gaid"
FILES = 4  # videos that the clips share
GROWTH = 64 << 20  # bytes by which memory may grow and still count as flat
WORDS = [
    "a",
    "red",
    "blue",
    "dog",
    "car",
    "boat",
    "bird",
    "bell",
    "rings",
    "drum",
    "beats",
    "child",
    "runs",
    "sings",
    "house",
    "tree",
    "water",
    "wind",
    "fast",
    "slow",
]


def make_library(folder: Path, clips: int, workers: int) -> Path:
    """A folder of clips, a few files under many names, and its store."""
    sources = [make_clip("360p", 30, 1.0, seed) for seed in range(FILES)]
    videos = folder / "videos"
    videos.mkdir()
    for number in range(clips):
        os.link(_beside(folder, sources[number % FILES]), videos / f"clip-{number:04d}.mp4")
    store = folder / "videos.zarr"
    extract("folder", root=videos, out=store, visual="tiny", audio="tiny", text="tiny", frames=4, workers=workers,
            device="cpu", progress=False)  # fmt: skip
    return store


def _beside(folder: Path, source: Path) -> Path:
    """A copy of a file on the file system of `folder`, for links."""
    copy = folder / source.name
    if not copy.exists():
        copy.write_bytes(source.read_bytes())
    return copy


@contextmanager
def serving(store: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A server over a store: its address and its process."""
    command = [sys.executable, "-m", "gaid", "serve", "--store", str(store), "--preset", "av-sum", "--port", "0"]
    with subprocess.Popen([*command, "--device", "cpu"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            found = next(filter(None, (re.search(r"http://\S+?(?=/)", line) for line in process.stdout)))
            yield found[0], psutil.Process(process.pid)
        finally:
            process.terminate()


async def client(number: int, address: str, end: float, times: dict[str, list[float]], errors: list[str]) -> None:
    """Asks until the end; keeps how long each answer took."""
    rng = random.Random(number)
    own = f"127.0.1.{number + 1}" if sys.platform == "linux" else None
    transport = httpx.AsyncHTTPTransport(local_address=own)

    async def ask(kind: str, place: str, **headers: str) -> httpx.Response:
        started = time.perf_counter()
        try:
            answer = await browser.get(place, headers=headers)
        except httpx.HTTPError as error:
            errors.append(f"{kind}: {type(error).__name__}")
            raise
        times[kind].append(time.perf_counter() - started)
        if answer.status_code >= 400:
            errors.append(f"{kind}: {answer.status_code}")
        return answer

    async with httpx.AsyncClient(base_url=address, transport=transport, timeout=60) as browser:
        while time.monotonic() < end:
            try:
                sentence = "+".join(rng.choices(WORDS, k=4))
                hit = (await ask("search", f"/api/search?q={sentence}&top=10")).json()["hits"][0]
                await ask("thumbnail", hit["thumbnails"][0])
                await ask("strip", f"/api/clips/{hit['key']}/weights?q={sentence}")
                await ask("part of a file", hit["media"], Range="bytes=0-65535")
            except (httpx.HTTPError, KeyError, ValueError):
                await asyncio.sleep(0.1)


async def load(address: str, clients: int, seconds: float) -> tuple[dict[str, list[float]], list[str]]:
    """Times of all answers by what was asked, and errors."""
    times: dict[str, list[float]] = defaultdict(list)
    errors: list[str] = []
    end = time.monotonic() + seconds
    await asyncio.gather(*(client(number, address, end, times, errors) for number in range(clients)))
    return times, errors


def memory(process: psutil.Process) -> int:
    """Bytes of the server and of the processes that decode for it."""
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)])


def run(options: Options) -> Findings:
    """50 clients for 60 s over 1,000 clips, after a tenth of that to warm up."""
    clips, clients, seconds = (8, 4, 1.0) if options.quick else (1000, 50, 60.0)
    with tempfile.TemporaryDirectory() as folder:
        store = make_library(Path(folder), clips, options.threads)
        with serving(store) as (address, process):
            asyncio.run(load(address, clients, seconds / 10))
            before = memory(process)
            times, errors = asyncio.run(load(address, clients, seconds))
            after = memory(process)
    cases = [
        Case(f"{kind}, {clients} clients", OURS, {OURS: Timing(found, after)}, about=_percentiles(found))
        for kind, found in times.items()
    ]
    asked = sum(map(len, times.values()))
    notes = [
        f"{case.name.split(',')[0]}: {len(case.timings[OURS].seconds):,} answers, p50 {1e3 * case.about['p50']:.0f} ms, "
        f"p99 {1e3 * case.about['p99']:.0f} ms"
        for case in cases
    ]
    notes += [
        f"{clients} clients for {seconds:.0f} s without a pause, on the machine of the server; {clips:,} clips: {asked / seconds:.0f} "
        "answers per second. Searches take turns, so that a client waits for those of the others.",
        f"Memory of the server with its decoding processes: {before >> 20:,} MiB at the beginning, {after >> 20:,} at the end.",
    ]
    goals = [
        Goal(
            "no error",
            f"{len(errors)} of {asked:,}{''.join(f', {one}' for one in sorted(set(errors))[:3])}",
            not errors,
        ),
        Goal(
            "memory flat (under 64 MiB more at the end)",
            f"{(after - before) / 2**20:+.0f} MiB",
            after - before < GROWTH,
        ),
    ]
    return Findings("serve", cases, goals, notes)


def _percentiles(found: list[float]) -> dict[str, float]:
    return {name: float(np.percentile(found, share)) for name, share in (("p50", 50), ("p99", 99))}
