"""Names of devices: one parser for every command, function and backbone. What runs on a device is left to the callers."""

import re

from gaid.errors import OptionInvalid


def parse_device(name: str) -> str:
    """A device's name as torch writes it: `auto`, `cpu`, `mps`, `cuda` or `cuda:N`; a number is a GPU's (MTEB's habit).

    Whether it is there is asked by `pick_device`. Raises OptionInvalid for what no device is called.
    """
    if re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name, re.ASCII):
        return name
    if re.fullmatch(r"\d+", name, re.ASCII):
        return f"cuda:{name}"
    raise OptionInvalid(f"--device {name}: no device is called that; it is auto, cpu, cuda or cuda:0 (or 0), or mps")


def pick_device(name: str = "auto") -> str:
    """The device that a name means here; `auto` is the GPU where there is one. Raises OptionInvalid where it is not there."""
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
