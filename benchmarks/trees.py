"""`python -m benchmarks.trees OLD NEW`: whether a checkout of gaid takes more time than an older one.

Both do the same work in turn, each time in a process of its own: the least processor time of one thread counts, which other
programs on the machine disturb least.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

FILES = [("360p", 12, 30.0), ("360p", 30, 30.0), ("360p", 250, 30.0), ("1080p", 30, 10.0)]
PRESETS = ("gaid", "x-pool", "t-mass")
CALLS, CLIPS = 9, 36


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser("python -m benchmarks.trees", description=__doc__)
    parser.add_argument(
        "trees", nargs=2, metavar="TREE", type=Path, help="folders of two checkouts, the older one first"
    )
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args(arguments)
    found: list[dict[str, float]] = [{}, {}]
    for turn in range(options.rounds):
        for tree, least in zip(options.trees, found, strict=True):
            for name, seconds in _run_in(tree.resolve()).items():
                least[name] = min(seconds, least.get(name, seconds))
        print(f"round {turn + 1} of {options.rounds}", file=sys.stderr)
    old, new = found
    print("| what | older, s | newer, s | ratio |\n| --- | ---: | ---: | ---: |")
    for name in old:
        print(f"| {name} | {old[name]:.3f} | {new[name]:.3f} | {new[name] / old[name]:.2f} |")
    return 0


def _run_in(tree: Path) -> dict[str, float]:
    """What `measure` finds there: this file runs as a script, so that both trees are measured by the same lines."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    ran = subprocess.run(
        [sys.executable, __file__, "--here"], cwd=tree, env=environment, stdout=subprocess.PIPE, check=True
    )
    times: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return times


def measure() -> dict[str, float]:
    """The least seconds of processor time of each piece of work, by the gaid that is imported."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="gaid-trees-") as folder:
        place = Path(folder)
        return (
            measure_decoding()
            | measure_extraction(place)
            | measure_store(place)
            | measure_scoring()
            | measure_training(place)
        )


def measure_decoding() -> dict[str, float]:
    from benchmarks.decode import ours, without_sound
    from benchmarks.media import FOLDER, make_clip

    found = {}
    for size, gop, length in FILES:
        path, height = make_clip(size, gop, length, folder=FOLDER), int(size[:-1])
        silent = without_sound(path)
        name = f"decode {size}, a key frame every {gop}"
        found[name] = least(partial(ours, silent, height))
        found[f"{name}, with sound"] = least(partial(ours, path, height))
    return found


def measure_extraction(folder: Path) -> dict[str, float]:
    from benchmarks.extract import make_dataset
    from benchmarks.media import FOLDER
    from gaid import extract

    dataset = make_dataset(CLIPS, 10.0, FOLDER)
    stores = iter(range(CALLS))

    def run() -> None:
        out = folder / f"{next(stores)}.zarr"
        extract(dataset, out=out, visual="tiny", audio="tiny", text="tiny", device="cpu", workers=1, progress=False)

    return {f"extract {CLIPS} clips by tiny, one worker": least(run, 2)}


def measure_store(folder: Path) -> dict[str, float]:
    import numpy as np

    from benchmarks.features import draw_rows
    from benchmarks.store import Material, read_ours, write_ours

    rng = np.random.default_rng(0)
    text = rng.standard_normal((2000, 512), np.float32).astype(np.float16)
    material = Material(draw_rows(rng, 2000, 512, 12), text, folder)
    places = (folder / f"written-{number}.zarr" for number in range(CALLS))
    found = {"write 2,000 clips": least(lambda: write_ours(material, next(places)), 3)}
    return found | {"read 2,000 clips": least(partial(read_ours, folder / "written-0.zarr"), 3)}


def measure_scoring() -> dict[str, float]:
    import torch

    from gaid.heads import build_head

    found = {}
    text, visual, audio = torch.randn(400, 512), torch.randn(400, 12, 512), torch.randn(400, 12, 512)
    mask = torch.ones(400, 12, dtype=torch.bool)
    for preset in PRESETS:
        head = build_head(preset, visual_dim=512, audio_dim=512, text_dim=512, dim=512, frames=12).eval()
        for texts in (400, 1):
            with torch.inference_mode():
                found[f"score {preset}, {texts} x 400"] = least(partial(head.score, text[:texts], visual, audio, mask))
    return found


def measure_training(folder: Path) -> dict[str, float]:
    import gaid
    from benchmarks.features import write_store

    store = write_store(folder / "s.zarr", 512, 512, 12, validation=64)
    runs = iter(range(CALLS))

    def train() -> None:
        settings = ["epochs=3", "batch_size=128", "threads=1"]
        gaid.train(store, "gaid", out=folder / f"run-{next(runs)}", set=settings, progress=False)

    return {"train gaid, 3 epochs of 448 clips": least(train, 2)}


def least(call: Callable[[], object], calls: int = CALLS) -> float:
    call()
    seconds = []
    for _ in range(calls):
        started = processor_seconds()
        call()
        seconds.append(processor_seconds() - started)
    return min(seconds)


def processor_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    if sys.argv[1:] == ["--here"]:
        print(json.dumps(measure()))
    else:
        sys.exit(main())
