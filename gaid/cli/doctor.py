"""`gaid doctor`: what this machine has, and what to install for what it lacks."""

import importlib.util
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from gaid.cli.common import Json, give, table

# What each extra is for, by the module that tells whether it is there.
EXTRAS = {
    "transformers": "clap",
    "efficientnet_lite_pytorch": "offline",
    "distributed": "dask",
    "ffmpeg": "ffmpeg",
    "tensorboard": "tensorboard",
}


def doctor(json: Json = False) -> None:
    """Versions, devices, decoders, backbones whose weights are at hand, disk, and what to install."""
    told = examine()
    if json:
        return give(told)
    table("This machine", ["what", "found"], [[name, value] for name, value in told["machine"].items()])
    rows = [
        [one["name"], one["kind"], "yes" if one["at_hand"] else "no", one["remedy"] or one["weights"]]
        for one in told["backbones"]
    ]
    table("Backbones", ["name", "for", "at hand", "weights, or what to do"], rows)
    for line in told["advice"]:
        print(line)
    return None


def examine() -> dict[str, Any]:
    """All that `gaid doctor` tells, as JSON holds it."""
    import av
    import torch

    from gaid.backbones import statuses

    machine: dict[str, Any] = {"python": platform.python_version(), "system": platform.platform()}
    for name in (
        "gaid",
        "torch",
        "torchvision",
        "open_clip_torch",
        "numpy",
        "zarr",
        "h5py",
        "av",
        "faiss-cpu",
        "faiss-gpu",
        "transformers",
    ):
        try:
            machine[name] = version(name)
        except PackageNotFoundError:
            continue
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    machine["devices"] = ", ".join(["cpu", *(f"cuda:{number} ({name})" for number, name in enumerate(gpus))])
    machine["decoder pyav"] = "FFmpeg " + ".".join(map(str, av.library_versions["libavcodec"]))
    machine["decoder ffmpeg"] = shutil.which("ffmpeg") or "no ffmpeg program"
    machine["free disk here"] = f"{shutil.disk_usage('.').free / 1e9:.0f} GB"
    advice = [
        f"for {extra}: pip install 'gaid[{extra}]'"
        for module, extra in EXTRAS.items()
        if importlib.util.find_spec(module) is None
    ]
    if shutil.which("ffmpeg") is None:
        advice.append("for --decoder ffmpeg: install the ffmpeg program")
    backbones = [vars(status) for status in statuses()]
    return {"machine": machine, "backbones": backbones, "advice": advice}
