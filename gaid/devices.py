"""Names of devices and amounts of memory: one parser each for all commands, functions and backbones."""

import re

from gaid.errors import OptionInvalid

MINIMUM_MEMORY = 16 * 2**20
"""Below this nothing of use fits: PyTorch's own scratch is of this order."""

CPU_MEMORY, MOST_MEMORY = 2**30, 8 * 2**30
"""Bounds of `auto`: with more, scoring is not faster on a CPU, and hardly on a GPU (docs/performance.md)."""

_UNITS = {
    "": 1,
    "b": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}


def parse_device(name: str) -> str:
    """A device's name as torch writes it: `auto`, `cpu`, `mps`, `cuda` or `cuda:N`; a number is a GPU's (MTEB's habit).

    Whether the device exists is checked by `pick_device`. Raises OptionInvalid for a name that is not of this form.
    """
    if re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name, re.ASCII):
        return name
    if re.fullmatch(r"\d+", name, re.ASCII):
        return f"cuda:{name}"
    raise OptionInvalid(f"--device {name}: not a device; choose auto, cpu, cuda, cuda:0 (or 0) or mps")


def pick_device(name: str = "auto") -> str:
    """The device of this name on this machine; `auto` is the GPU, if any. Raises OptionInvalid where it is not there."""
    device = parse_device(name)
    if device == "cpu":
        return device
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise OptionInvalid(f"device {device!r} can't be used here ({reason}); try auto or cpu") from error
    return device


def default_memory(device: str) -> int:
    """Bytes that scoring may take on a device: 1 GiB, and on a GPU a tenth of what is free there where that is more, up to
    8 GiB: more memory is fewer and larger launches."""
    if not device.startswith("cuda"):
        return CPU_MEMORY
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return min(max(free // 10, CPU_MEMORY), MOST_MEMORY)


def parse_memory(memory: str | int, device: str = "cpu") -> int:
    """Bytes from a number or a text as `512MiB`, `1GiB`, `2GB`; `auto` is the device's own. Raises OptionInvalid."""
    if memory == "auto":
        return default_memory(device)
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([kmgt]?i?)b?\s*", str(memory).lower())
    if match is None or match[2] not in _UNITS:
        raise OptionInvalid(f"--memory {memory!r} is no size; write it as 512MiB or 1GiB, or auto")
    size = int(float(match[1]) * _UNITS[match[2]])
    if size < MINIMUM_MEMORY:
        raise OptionInvalid(f"--memory {memory} is too little; give at least {MINIMUM_MEMORY // 2**20}MiB")
    return size
