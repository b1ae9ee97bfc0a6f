"""`gaid doctor`: what this machine has, and what to install for what is missing."""

import importlib.util
import os
import platform
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from gaid.cli.common import Json, give, human_bytes, option, show_features
from gaid.console import print_table, show
from gaid.versions import version_of

PACKAGES = (
    "gaid", "torch", "torchvision", "open_clip_torch", "transformers", "numpy", "zarr", "h5py", "av", "faiss-cpu", "faiss-gpu",
)  # fmt: skip
# What each extra is for, by a module that shows whether it is there. Those of encoders are in the encoders' own remedies.
EXTRAS = {
    "distributed": ("dask", "extracting on several machines (--scheduler)"),
    "ffmpeg": ("ffmpeg", "--decoder ffmpeg"),
    "pyarrow": ("parquet", "gaid export into .parquet"),
    "pytrec_eval": ("ranking", "gaid eval --save-ranks NAME.mteb.json"),
    "tensorboard": ("tensorboard", "watching a training in TensorBoard"),
}


def doctor(
    store: Annotated[
        Path | None, option("Also examine the features of this store: whether they look collapsed.", "STORE", "--store")
    ] = None,
    json: Json = False,
) -> None:
    """Report what this machine has (versions, devices, decoders, encoders' weights, disk), models, and what to install."""
    from gaid.stores import examine_features, open_store

    features = None if store is None else examine_features(open_store(store, incomplete=True))
    told = examine()
    if json:
        return give(told if features is None else told | {"features": features.to_dict()})
    for name, value in told["machine"].items():
        show(f"{name:16} {value}", hang=17)
    for name, value in told["packages"].items():
        show(f"{name:16} {value or 'not installed'}")
    rows = [
        [one["name"], one["kind"], "yes" if one["at_hand"] else "no", "" if one["remedy"] else one["weights"]]
        for one in told["backbones"]
    ]
    print_table("Encoders", ["name", "encodes", "available", "weights"], rows)
    rows = [[one["name"], f"{one['parameters']:,} M", str(one["dim"]), one["licence"]] for one in told["models"]]
    print_table("Published models", ["name", "parameters", "dims", "licence"], rows)
    for line in told["advice"]:
        show(line)
    if features is not None:
        show_features(features)
    return None


def examine() -> dict[str, Any]:
    """All that `gaid doctor` reports."""
    import torch

    from gaid.backbones import published_models, statuses

    gpus = [
        f"cuda:{number} ({torch.cuda.get_device_name(number)}, {human_bytes(torch.cuda.mem_get_info(number)[1])})"
        for number in range(torch.cuda.device_count())
    ]
    program = shutil.which("ffmpeg")
    machine = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "devices": ", ".join(["cpu", *gpus]),
        "decoder pyav": _pyav(),
        "decoder ffmpeg": program or "no ffmpeg program",
        "free disk": f"{human_bytes(shutil.disk_usage('.').free)} in {Path.cwd()}",
    }
    found = [
        {"name": one.name, "kind": one.kind, "at_hand": one.at_hand, "weights": one.weights, "remedy": one.remedy}
        for one in statuses()
    ]
    packages = {name: version_of(name) for name in PACKAGES}
    return {
        "machine": machine,
        "packages": packages,
        "backbones": found,
        "models": [asdict(one) for one in published_models()],
        "advice": _advise(found, packages, bool(gpus)),
    }


def _advise(backbones: list[dict[str, Any]], packages: dict[str, str | None], gpu: bool) -> list[str]:
    """One line for each thing that is missing."""
    wanted = dict.fromkeys((one["name"], one["remedy"]) for one in backbones if one["remedy"])
    advice = [f"for {name}: {remedy}" for name, remedy in wanted]
    for module, (extra, purpose) in EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            advice.append(f"for {purpose}: pip install 'gaid[{extra}]'")
    if shutil.which("ffmpeg") is None:
        advice.append("for --decoder ffmpeg: the ffmpeg program (such as apt install ffmpeg)")
    if packages["faiss-cpu"] and packages["faiss-gpu"]:
        advice.append("faiss-cpu and faiss-gpu are the same module: pip uninstall one of them")
    elif gpu and not packages["faiss-gpu"]:
        advice.append(
            "for --index faiss on the GPU: pip uninstall faiss-cpu, then pip install 'gaid[gpu]' (Linux, CUDA 12)"
        )
    return list(dict.fromkeys(advice))


def _pyav() -> str:
    try:
        import av
    except ImportError as error:  # a wheel for another system, say: the rest is still worth reporting
        return f"does not load ({error})"
    return f"PyAV {av.__version__}, libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"
