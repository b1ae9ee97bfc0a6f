"""The environment of a training, for the record, and the process-wide settings that it changes while it runs."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from gaid.versions import version_of

_PACKAGES = ("gaid", "torch", "numpy", "scipy", "safetensors")


def describe_environment(device: str) -> dict[str, Any]:
    """Versions, device, threads, platform and commit; no names of users and no paths."""
    versions = {name: version_of(name) or "not installed" for name in _PACKAGES}
    on_gpu = torch.device(device).type == "cuda"
    return {
        "versions": {"python": platform.python_version(), **versions},
        "device": device,
        "device_name": torch.cuda.get_device_name(device) if on_gpu else _processor(),
        "cuda": torch.version.cuda if on_gpu else None,
        "threads": torch.get_num_threads(),
        "platform": f"{platform.system()} {platform.machine()} {sys.implementation.name}",
        "commit": _commit(),
    }


def _processor() -> str:
    """The processor's name as Linux reports it; elsewhere as Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of the code, where it lies in a repository of its own."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():  # a virtual environment within somebody else's repository
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


@contextmanager
def process_settings(device: str, threads: int, matmul: str) -> Iterator[None]:
    """Sets threads and matmul precision, and restores them and the random state afterwards."""
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    devices = [torch.device(device)] if torch.device(device).type == "cuda" else []
    try:
        if threads:
            torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(matmul)
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])
