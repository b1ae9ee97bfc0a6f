"""Runs a frozen torch model: no gradients, half precision on a GPU, and the same random weights from the same seed."""

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gaid.backbones.protocol import Features, Frames
from gaid.errors import BackboneUnavailable, OptionInvalid

SAME_TEXT = 1e-4  # of a vector's length: two sentences that differ by less are the same to a text tower


@contextmanager
def inferring(device: str, half_weights: bool = False) -> Iterator[None]:
    """Inference mode; on a GPU in float16, which is more precise than bfloat16 and what a store keeps: by autocast, unless
    the weights are float16 already."""
    autocasts = device.startswith("cuda") and not half_weights
    with torch.inference_mode(), torch.autocast("cuda", dtype=torch.float16, enabled=autocasts):
        yield


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers from `seed` inside; the caller's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def quietly() -> Iterator[None]:
    """Keeps a library's messages off the terminal while it builds a model; errors are still raised.

    open_clip logs through the root logger, which adds a handler unless one is there.
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


@contextmanager
def loading(backbone: str, folder: Path, what: str) -> Iterator[None]:
    """Loading of a checkpoint in transformers' layout, without its words and bars. Whatever is wrong with the files (damaged,
    of another model, a pickle that would run code) becomes BackboneUnavailable; OptionInvalid passes."""
    from transformers.utils import logging as transformers_logging

    bars, verbosity = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        with quietly():
            yield
    except (OptionInvalid, BackboneUnavailable):
        raise
    except Exception as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BackboneUnavailable(f"{backbone}: {folder} does not load as {what}: {line}") from error
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def check_complete(backbone: str, folder: Path, lacking: Iterable[str], part: str) -> None:
    """Raises BackboneUnavailable where weights of a part are not in the checkpoint: transformers would draw them."""
    missing = sorted(lacking)
    if missing:
        raise BackboneUnavailable(
            f"{backbone}: the weights in {folder} lack {len(missing)} of the {part}'s tensors ({missing[0]}, ...)"
        )


def check_texts_differ(backbone: str, encode: Callable[[list[str]], Features]) -> None:
    """Raises BackboneUnavailable where a text tower gives one vector for every sentence, or numbers that are not finite, as
    weights of another model or a precision that the model can't take do."""
    first, second = encode(["a dog barks at night", "two people cook in a small kitchen, 1987"])
    if not np.isfinite([first, second]).all():
        raise BackboneUnavailable(f"{backbone}: its text tower gives numbers that are not finite")
    if np.linalg.norm(first - second) <= SAME_TEXT * np.linalg.norm(first):
        raise BackboneUnavailable(
            f"{backbone}: its text tower gives the same vector for different sentences, so it can't be searched by text; "
            "its weights are not those of a trained text tower"
        )


def frames_to_tensor(frames: Frames, mean: list[float], std: list[float], device: str) -> Tensor:
    """Frames (n, H, W, 3) as normalised (n, 3, H, W); bytes are copied to the GPU, not floats."""
    pixels = to_device(frames, device).permute(0, 3, 1, 2)
    scaled = pixels.float().div_(255)
    return scaled.sub_(_per_channel(tuple(mean), device)).div_(_per_channel(tuple(std), device))


@lru_cache(maxsize=32)
def _per_channel(numbers: tuple[float, ...], device: str) -> Tensor:
    """Kept on the device: to copy them there would wait for all that it has been asked for."""
    return torch.tensor(numbers, device=device)[:, None, None]


def to_device(array: NDArray[Any], device: str) -> Tensor:
    """A copy of an array on a device; to a GPU through pinned memory and on a stream of its own, so that it is copied while
    the tower is at work on what came before."""
    if not device.startswith("cuda"):
        return torch.from_numpy(np.array(array)).to(device)  # a copy: the array may be read-only
    staged = torch.empty(array.shape, dtype=torch.from_numpy(np.empty(0, array.dtype)).dtype, pin_memory=True)
    staged.numpy()[...] = array
    copying, working = _copies(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(copying):
        copied = staged.to(device, non_blocking=True)
    working.wait_stream(copying)
    copied.record_stream(working)  # its memory is not given to the next copy before the tower has read it
    return copied


@lru_cache(maxsize=8)
def _copies(device: str) -> "torch.cuda.Stream":
    return torch.cuda.Stream(device)


def to_numpy(features: Tensor) -> Features:
    """Features as float32 on the CPU; waits for them."""
    return features.cpu().float().numpy()


def is_still(frames: Frames) -> bool:
    """Whether all frames of a clip (F, H, W, 3) are the same picture, so that encoding one is enough."""
    return len(frames) > 1 and bool((frames[1:] == frames[0]).all())
