"""The store beside other layouts of the same bytes: writing with and without sync, reading a split, an epoch of batches.

All hold the pictures' and the sounds' features of the same clips; a layout counts only after it gave back what was written.
Reads are warm: the files were written just before, as after an extraction. Batches come as training takes them: the product reads its
split once and indexes there, and so do those whose layout can be mapped; tar is read in order and shuffled a buffer at a time.
"""

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.features import draw_rows, plan_store
from benchmarks.harness import Case, Findings, Goal, Options, race
from benchmarks.limits import measure_rates
from gaid.heads.features import Features
from gaid.stores import Split, StoreWriter, open_store
from gaid.training.batches import Batches, on_device

OURS = "gaid store"
NAMES = ("visual", "audio")
Write = Callable[["Material", Path, bool], None]


@dataclass
class Material:
    """The clips' arrays and where each layout lies."""

    arrays: dict[str, np.ndarray]
    text: np.ndarray
    folder: Path
    batch: int = 128
    seed: int = 0

    @property
    def clips(self) -> int:
        return len(self.text)

    @property
    def bytes(self) -> int:
        return sum(self.arrays[name].nbytes for name in NAMES)

    def order(self) -> np.ndarray:
        return np.random.default_rng(self.seed).permutation(self.clips)


# Writing


def write_ours(of: Material, path: Path) -> None:
    plan = plan_store(of.clips, of.arrays["visual"].shape[2], of.arrays["visual"].shape[1])
    with StoreWriter.open(path, plan) as writer:
        writer.write_captions(of.text, of.text)
        for number in writer.pending_shards:
            rows = writer.shard_slice(number)
            writer.write_shard(number, {name: values[rows] for name, values in of.arrays.items()})
        writer.finish()


@contextmanager
def without_sync() -> Iterator[None]:
    """The product always syncs; here its calls of fsync do nothing, to show what they cost."""
    real = os.fsync
    os.fsync = lambda descriptor: None  # type: ignore[assignment]
    try:
        yield
    finally:
        os.fsync = real


def write_npy(of: Material, path: Path, sync: bool) -> None:
    path.mkdir()
    for name in NAMES:
        with (path / f"{name}.npy").open("wb") as file:
            np.save(file, of.arrays[name])
            _sync(file, sync)


def write_hdf5(of: Material, path: Path, sync: bool) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name in NAMES:
            values = of.arrays[name]
            file.create_dataset(name, data=values, chunks=(min(50, len(values)), *values.shape[1:]))
        file.flush()
    with path.open("rb") as written:
        _sync(written, sync)


def write_tar(of: Material, path: Path, sync: bool) -> None:
    """A WebDataset shard: a member a clip and sense, as .npy."""
    with path.open("wb") as raw, tarfile.open(fileobj=raw, mode="w") as tar:
        for clip in range(of.clips):
            for name in NAMES:
                buffer = io.BytesIO()
                np.save(buffer, of.arrays[name][clip])
                member = tarfile.TarInfo(f"{clip:07d}.{name}.npy")
                member.size = buffer.tell()
                buffer.seek(0)
                tar.addfile(member, buffer)
    with path.open("rb") as written:
        _sync(written, sync)


def write_by_zarr(of: Material, path: Path, sync: bool) -> None:
    """The same layout of chunks and shards as ours, through zarr-python (its codecs in Python, or in Rust: `zarrs_pipeline`)."""
    import zarr

    group = zarr.create_group(path, zarr_format=3)
    for name in NAMES:
        values = of.arrays[name]
        chunks, shards = ((min(rows, len(values)), *values.shape[1:]) for rows in (50, 200))
        array = group.create_array(
            name, shape=values.shape, dtype=values.dtype, chunks=chunks, shards=shards, compressors=None
        )
        array[:] = values
    for file in path.rglob("*") if sync else ():
        if file.is_file():
            with file.open("rb") as written:
                os.fsync(written.fileno())


def _sync(file: Any, sync: bool) -> None:
    if sync:
        file.flush()
        os.fsync(file.fileno())


# Reading a whole split: both arrays in memory


def read_ours(path: Path) -> dict[str, np.ndarray]:
    split = open_store(path).split("train")
    return {"visual": split.visual, "audio": split.audio}


def read_npy(path: Path) -> dict[str, np.ndarray]:
    return {name: np.load(path / f"{name}.npy") for name in NAMES}


def read_memmap(path: Path) -> dict[str, np.ndarray]:
    """Mapped, and every page touched once: a mapping alone has read nothing."""
    mapped = {name: np.load(path / f"{name}.npy", mmap_mode="r") for name in NAMES}
    for values in mapped.values():
        values.reshape(-1).view(np.uint16)[::2048].sum()
    return mapped


def read_hdf5(path: Path) -> dict[str, np.ndarray]:
    import h5py

    with h5py.File(path) as file:
        return {name: file[name][:] for name in NAMES}


def read_tar(path: Path) -> dict[str, np.ndarray]:
    import webdataset

    found: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    for sample in webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False).decode():
        for name in NAMES:
            found[name].append(sample[f"{name}.npy"])
    return {name: np.stack(values) for name, values in found.items()}


def read_by_zarr(path: Path) -> dict[str, np.ndarray]:
    """Our store's features through zarr-python."""
    import zarr

    return {name: np.asarray(zarr.open_array(path / "videos" / name, mode="r")[:]) for name in NAMES}


@contextmanager
def zarrs_pipeline() -> Iterator[None]:
    """zarr's codecs in Rust, for the time of a reading or writing."""
    import zarr
    import zarrs  # noqa: F401  (registers the pipeline)

    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        yield


# An epoch of shuffled batches, widened to float32 as a head takes them


def epoch_ours(of: Material, path: Path) -> int:
    return epoch_resident(of, open_store(path).split("train"))


def epoch_resident(of: Material, split: Split) -> int:
    batches = Batches(split, of.batch, of.seed).epoch(0)
    return sum(len(inputs[0]) for inputs, _ in on_device(Features.of(split, "cpu"), batches))


def epoch_arrays(of: Material, arrays: dict[str, np.ndarray]) -> int:
    order, seen = of.order(), 0
    for start in range(0, of.clips, of.batch):
        rows = order[start : start + of.batch]
        seen += min(len(torch.from_numpy(arrays[name][rows]).float()) for name in NAMES)
    return seen


def epoch_hdf5(of: Material, path: Path) -> int:
    import h5py

    order, seen = of.order(), 0
    with h5py.File(path) as file:
        for start in range(0, of.clips, of.batch):
            rows = np.sort(order[start : start + of.batch])
            seen += min(len(torch.from_numpy(file[name][rows]).float()) for name in NAMES)
    return seen


def epoch_tar(of: Material, path: Path) -> int:
    import webdataset

    seen = 0
    samples = webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False).shuffle(1000).decode()
    for batch in samples.to_tuple("visual.npy", "audio.npy").batched(of.batch):
        seen += min(len(torch.from_numpy(np.asarray(part)).float()) for part in batch)
    return seen


def write_cases(of: Material, options: Options) -> list[Case]:
    """Writing, with sync and without; each into an empty place."""
    cases = []
    for sync in (True, False):

        def ours(sync: bool = sync) -> None:
            with nullcontext() if sync else without_sync():
                write_ours(of, of.folder / "ours.zarr")

        rivals: dict[str, Callable[[], Any]] = {OURS: ours}
        for name, write, file in _writers():
            rivals[name] = partial(write, of, of.folder / file, sync)

        def clear() -> None:
            for place in of.folder.iterdir():
                _clear(place)

        timings = race(rivals, options, rounds=3, before=clear)
        name = f"write {of.clips:,} clips, {'synced' if sync else 'not synced'}"
        cases.append(Case(name, OURS, timings, units=of.bytes, unit="bytes"))
    clear()
    for call in rivals.values():
        call()
    return cases


def _writers() -> list[tuple[str, Write, str]]:
    found: list[tuple[str, Write, str]] = [
        ("npy", write_npy, "npy"),
        ("h5py, 50 clips per chunk", write_hdf5, "clips.h5"),
        ("zarr-python, the same layout", write_by_zarr, "by-zarr.zarr"),
    ]
    if find_spec("webdataset"):
        found.append(("WebDataset tar", write_tar, "clips.tar"))
    if find_spec("zarrs"):

        def by_zarrs(of: Material, path: Path, sync: bool) -> None:
            with zarrs_pipeline():
                write_by_zarr(of, path, sync)

        found.append(("zarr-python with zarrs", by_zarrs, "by-zarrs.zarr"))
    return found


def read_case(of: Material, options: Options) -> Case:
    """A whole split into memory."""
    rivals: dict[str, Callable[[], dict[str, np.ndarray]]] = {
        OURS: lambda: read_ours(of.folder / "ours.zarr"),
        "npy": lambda: read_npy(of.folder / "npy"),
        "memory map, every page": lambda: read_memmap(of.folder / "npy"),
        "h5py, 50 clips per chunk": lambda: read_hdf5(of.folder / "clips.h5"),
        "zarr-python, our store": lambda: read_by_zarr(of.folder / "ours.zarr"),
    }
    if find_spec("webdataset"):
        rivals["WebDataset tar"] = lambda: read_tar(of.folder / "clips.tar")
    if find_spec("zarrs"):

        def by_zarrs() -> dict[str, np.ndarray]:
            with zarrs_pipeline():
                return read_by_zarr(of.folder / "ours.zarr")

        rivals["zarr-python with zarrs, our store"] = by_zarrs
    for who, read in rivals.items():
        for name, values in read().items():
            assert np.array_equal(values, of.arrays[name]), f"{who} gave back other {name} features"
    seconds = of.bytes * 2 / measure_rates(options.threads).copied
    return Case(
        f"read {of.clips:,} clips",
        OURS,
        race(rivals, options),
        seconds,
        "copying as many bytes in memory",
        of.bytes,
        "bytes",
    )


def epoch_case(of: Material, options: Options) -> Case:
    """Every clip once in shuffled batches; ours with its split in memory, as every epoch of a training but the first's reading."""
    split = open_store(of.folder / "ours.zarr").split("train")
    mapped = {name: np.load(of.folder / "npy" / f"{name}.npy", mmap_mode="r") for name in NAMES}
    rivals: dict[str, Callable[[], int]] = {
        OURS: lambda: epoch_resident(of, split),
        f"{OURS}, reading the split too": lambda: epoch_ours(of, of.folder / "ours.zarr"),
        "memory map": lambda: epoch_arrays(of, mapped),
        "h5py, 50 clips per chunk": lambda: epoch_hdf5(of, of.folder / "clips.h5"),
    }
    if find_spec("webdataset"):
        rivals["WebDataset tar"] = lambda: epoch_tar(of, of.folder / "clips.tar")
    for who, call in rivals.items():
        assert call() == of.clips, f"{who} left clips out"
    # Two bytes read and written by the index, two read and four written by the widening.
    seconds = of.bytes * (2 + 3) / measure_rates(options.threads).copied
    name = f"an epoch of {of.clips:,} clips in shuffled batches of {of.batch}"
    return Case(
        name, OURS, race(rivals, options, rounds=3), seconds, "copying as many bytes in memory", of.bytes, "bytes"
    )


def sizes(folder: Path) -> dict[str, dict[str, int]]:
    """Bytes and files of each layout."""
    found = {}
    for place in sorted(folder.iterdir()):
        files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
        if not place.name.startswith("."):
            found[place.name] = {"bytes": sum(file.stat().st_size for file in files), "files": len(files)}
    return found


def _clear(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def run(options: Options) -> Findings:
    """Writing, reading, an epoch."""
    clips, dim, frames = (300, 32, 4) if options.quick else (10_000, 512, 12)
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DISK")) as folder:
        text = rng.standard_normal((clips, dim), np.float32).astype(np.float16)
        of = Material(draw_rows(rng, clips, dim, frames), text, Path(folder), seed=options.seed)
        cases = [*write_cases(of, options), read_case(of, options), epoch_case(of, options)]
        on_disk = sizes(of.folder)
    notes = [
        f"{of.bytes / 2**20:,.0f} MiB of features (float16, {frames} frames, {dim} wide, two senses): MB/s are "
        + ", ".join(f"{case.name}: {_rate(case, OURS):,.0f}" for case in cases[:3]) + ".",
        "On disk: " + "; ".join(f"{name} {of_it['bytes'] / 2**20:,.1f} MiB in {of_it['files']} files" for name, of_it in on_disk.items()) + ".",
        "A memory map reads nothing before it is asked: its reading touches each page once and copies nothing.",
        "The store's writing includes a digest (sha256) of every byte, captions, times and masks, which the others have not.",
        *(f"{package} is not installed: its rows are missing." for package in ("webdataset", "zarrs") if not find_spec(package)),
    ]  # fmt: skip
    return Findings("store", cases, _goals(cases, of), notes, {"on disk": on_disk, "bytes": of.bytes})


def _rate(case: Case, who: str) -> float:
    return (case.units or 0) / case.timings[who].median / 1e6


def _goals(cases: list[Case], of: Material) -> list[Goal]:
    synced, _, read, epoch = cases
    over = epoch.over_limit or float("inf")
    per_clip = (synced.timings[OURS].median + read.timings[OURS].median) / of.clips
    return [
        Goal("write 300 MB/s", f"{_rate(synced, OURS):,.0f} MB/s synced", _rate(synced, OURS) >= 300),
        Goal("read 800 MB/s", f"{_rate(read, OURS):,.0f} MB/s", _rate(read, OURS) >= 800),
        Goal("an epoch at memory speed", f"{over:.2g} times the copying's time", over <= 2),
        Goal(
            "writing and reading under 3 % of extraction's time (at 20 clips/s)",
            f"{100 * per_clip * 20:.2g} %",
            per_clip * 20 <= 0.03,
        ),
    ]
