"""How a frozen torch model is run: no gradients, half precision on a GPU, and the same weights from the same seed."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gaid.backbones.protocol import Features, Frames


@contextmanager
def inferring(device: str, half_weights: bool = False) -> Iterator[None]:
    """Inference mode; on a GPU in float16, which keeps more digits of a feature than bfloat16 does and is what a store keeps
    anyway: by autocast, unless the weights are float16 themselves."""
    autocasts = device.startswith("cuda") and not half_weights
    with torch.inference_mode(), torch.autocast("cuda", dtype=torch.float16, enabled=autocasts):
        yield


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers from `seed` inside, and those of the caller untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def quietly() -> Iterator[None]:
    """Keeps a library's words while it builds a model off the user's terminal; its errors are still raised.

    open_clip speaks through the root logger and sets up handlers on it by doing so: none is needed while one is there.
    """
    root, silent = logging.getLogger(), logging.NullHandler()

    def is_an_error(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR

    root.addHandler(silent)
    root.addFilter(is_an_error)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeFilter(is_an_error)
        root.removeHandler(silent)


def frames_to_tensor(frames: Frames, mean: list[float], std: list[float], device: str) -> Tensor:
    """Frames (n, H, W, 3) as normalised (n, 3, H, W); the bytes travel to the GPU, not the floats."""
    pixels = to_device(frames, device).permute(0, 3, 1, 2)
    scaled = pixels.float().div_(255)
    return scaled.sub_(torch.tensor(mean, device=device)[:, None, None]).div_(
        torch.tensor(std, device=device)[:, None, None]
    )


def to_device(array: NDArray[Any], device: str) -> Tensor:
    """A copy of an array on a device; to a GPU through memory that its driver reads without copying once more."""
    if not device.startswith("cuda"):
        return torch.from_numpy(np.array(array)).to(device)  # a copy: the array may be read-only
    staged = torch.empty(array.shape, dtype=torch.from_numpy(np.empty(0, array.dtype)).dtype, pin_memory=True)
    staged.numpy()[...] = array
    return staged.to(device, non_blocking=True)


def to_numpy(features: Tensor) -> Features:
    """Features as float32 in memory of their own."""
    return features.float().cpu().numpy()


def is_still(frames: Frames) -> bool:
    """Whether a clip (F, H, W, 3) shows one picture all the time, so that encoding one frame is encoding them all."""
    return len(frames) > 1 and bool((frames[1:] == frames[0]).all())
