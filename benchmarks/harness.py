"""How a benchmark measures: rivals run in turn, threads are set and put back, memory is watched in a run that is not timed.

On a GPU the clock waits for the device, and memory is the most that PyTorch's allocator held there beyond what it held before.

Times are compared within one round, since a machine that others use is faster at one time than at another: a ratio here
is the median of the rounds' ratios, with the smallest and the largest beside it.
"""

import gc
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil


@dataclass(frozen=True)
class Options:
    """What the command line says: `quick` is the form for tests, small and once; `threads` are those of every rival; `device` is
    `cpu` or a GPU's, as torch writes it."""

    quick: bool = False
    threads: int = 1
    rounds: int = 5
    seed: int = 0
    device: str = "cpu"

    @property
    def on_a_gpu(self) -> bool:
        return self.device != "cpu"


@dataclass
class Timing:
    """One rival's rounds. `share` is the part of the work that was done, where the whole would take too long; seconds are of the whole."""

    seconds: list[float]
    peak_bytes: int
    share: float = 1.0
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def to_dict(self) -> dict[str, Any]:
        return {
            "seconds": {"min": min(self.seconds), "median": self.median, "max": max(self.seconds)},
            "rounds": len(self.seconds),
            "peak_bytes": self.peak_bytes,
            "share_measured": self.share,
            "note": self.note,
        }


@dataclass
class Ratio:
    """Median of the rounds' ratios, and their range."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, above: Timing, below: Timing) -> "Ratio":
        """`above` over `below`, round by round where both have as many rounds."""
        if len(above.seconds) == len(below.seconds):
            found = [a / b for a, b in zip(above.seconds, below.seconds, strict=True)]
        else:
            found = [a / below.median for a in above.seconds]
        return cls(statistics.median(found), min(found), max(found))

    def to_dict(self) -> dict[str, float]:
        return {"median": self.median, "low": self.low, "high": self.high}


@dataclass
class Case:
    """One thing measured: who did it and how fast, what the machine would allow, and how far the results differed."""

    name: str
    ours: str
    timings: dict[str, Timing]
    limit_seconds: float | None = None
    limit: str = ""
    units: float | None = None
    unit: str = ""
    error: float | None = None
    about: dict[str, Any] = field(default_factory=dict)

    def times_faster(self, peer: str) -> Ratio:
        """How many times longer a peer took than we."""
        return Ratio.of(self.timings[peer], self.timings[self.ours])

    @property
    def over_limit(self) -> float | None:
        """Our time over the limit's."""
        return None if self.limit_seconds is None else self.timings[self.ours].median / self.limit_seconds

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "ours": self.ours,
            "timings": {who: timing.to_dict() for who, timing in self.timings.items()},
            "times_faster": {
                who: self.times_faster(who).to_dict() for who in self.timings if who != self.ours and self.ours in self.timings
            },
            "limit": {"seconds": self.limit_seconds, "of": self.limit, "ours_over_it": self.over_limit},
            "units": self.units,
            "unit": self.unit,
            "error": self.error,
            **self.about,
        }  # fmt: skip


@dataclass
class Goal:
    """What was wished for, what was found, and whether that is enough."""

    text: str
    found: str
    met: bool


@dataclass
class Findings:
    """All that one benchmark found. `notes` go under its table."""

    name: str
    cases: list[Case]
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "cases": [case.to_dict() for case in self.cases],
            "goals": [vars(goal) for goal in self.goals],
            "notes": self.notes,
            "figures": self.figures,
        }


def race(
    rivals: Mapping[str, Callable[[], Any]],
    options: Options,
    *,
    rounds: int | None = None,
    before: Callable[[], None] | None = None,
) -> dict[str, Timing]:
    """Each rival once to warm up, with its memory watched, then all in turn, round after round.

    `before` runs before every call and is not counted (an emptied cache, a removed file).
    """
    rounds = 1 if options.quick else (rounds or options.rounds)
    timings = {}
    with threads(options.threads):
        for name, call in rivals.items():
            if before:
                before()
            timings[name] = Timing([], peak_bytes(call, options))
        for _ in range(rounds):
            for name, call in rivals.items():
                if before:
                    before()
                gc.collect()
                timings[name].seconds.append(seconds_of(call, options.device))
    return timings


def seconds_of(call: Callable[[], Any], device: str = "cpu") -> float:
    """Of a call and of all that it started on the device."""
    wait_for(device)
    started = time.perf_counter()
    call()
    wait_for(device)
    return time.perf_counter() - started


def wait_for(device: str) -> None:
    """Until the device has done what it was given."""
    if device != "cpu":
        import torch

        torch.cuda.synchronize(device)


def peak_bytes(call: Callable[[], Any], options: Options) -> int:
    """The most memory that a call holds, beyond what was held before: of this process and its children, or on the GPU.

    There the call runs once before, since the first one also makes what later ones reuse.
    """
    if not options.on_a_gpu:
        return watch_memory(call)[1]
    import torch

    call()
    before = torch.cuda.memory_allocated(options.device)
    torch.cuda.reset_peak_memory_stats(options.device)
    call()
    wait_for(options.device)
    return torch.cuda.max_memory_allocated(options.device) - before


def once(call: Callable[[], Any], options: Options) -> Timing:
    """A call of minutes: run once, timed and watched at the same time, by which it is a hundredth slower at most. On a GPU its
    memory is not watched."""
    with threads(options.threads):
        gc.collect()
        if options.on_a_gpu:
            return Timing([seconds_of(call, options.device)], 0)
        started = time.perf_counter()
        peak = watch_memory(call, every=0.05)[1]
        return Timing([time.perf_counter() - started], peak)


def in_part(call: Callable[[], Any], share: float, options: Options, rounds: int | None = None) -> Timing:
    """A rival of which only a part is run: its seconds are scaled to the whole, and its table says so."""
    timing = race({"part": call}, options, rounds=rounds)["part"]
    timing.seconds = [seconds / share for seconds in timing.seconds]
    timing.share = share
    return timing


@contextmanager
def threads(count: int) -> Iterator[None]:
    """torch, BLAS and OpenMP at `count` threads, and as they were afterwards."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    with threadpool_limits(count):
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def watch_memory(call: Callable[[], Any], every: float = 0.005) -> tuple[Any, int]:
    """A call's result, and the most bytes that this process and its children held beyond what they held before.

    Freed memory is given back to the system first, so that a call can't hide in what an earlier one left.
    """
    gc.collect()
    give_back_memory()
    begun = resident_bytes()
    most, done = begun, threading.Event()

    def look() -> None:
        nonlocal most
        while not done.wait(every):
            most = max(most, resident_bytes())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        result = call()
        most = max(most, resident_bytes())
    finally:
        done.set()
        watcher.join()
    return result, most - begun


def resident_bytes() -> int:
    """Resident memory of this process and all its descendants."""
    this = psutil.Process()
    total = 0
    for process in [this, *this.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.Error:  # it ended between the two looks
            continue
    return total


def give_back_memory() -> None:
    """Asks the C library to return freed memory, where it knows how to."""
    import ctypes

    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
