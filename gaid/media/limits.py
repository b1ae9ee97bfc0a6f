"""What one clip may cost to decode, and the deadline. The limit on memory is set by the decode worker."""

import time
from dataclasses import dataclass

from gaid.errors import MediaError


@dataclass(frozen=True)
class DecodeLimits:
    """Limits per clip: wall clock seconds (`gaid extract --clip-seconds`), address space of its process, pixels of one
    frame."""

    seconds: float = 60.0
    memory_bytes: int = 4 << 30
    pixels: int = 64_000_000


class Deadline:
    """The moment by which a clip must be decoded. It is checked between packets, so that no call into a codec is
    interrupted."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def check(self, name: str) -> None:
        if time.monotonic() > self._end:
            raise too_slow(name, self.seconds)


def too_slow(name: str, seconds: float) -> MediaError:
    return MediaError(
        "too slow", f"{name}: not decoded within {seconds:g} s; gaid extract --clip-seconds lets clips take longer"
    )


def encrypted(name: str) -> MediaError:
    return MediaError("encrypted", f"{name}: most of its pictures could not be decoded, since they are encrypted (DRM)")


def too_large(name: str, width: int, height: int, pixels: int) -> MediaError:
    return MediaError(
        "too large",
        f"{name}: a picture of {width} x {height} pixels; more than {pixels / 1e6:g} million are not decoded",
    )


def no_memory(name: str) -> MediaError:
    return MediaError("too large", f"{name}: does not fit the memory limit")


def check_size(name: str, width: int, height: int, limits: DecodeLimits) -> None:
    """Raises MediaError for a picture whose file declares too large a size, before memory is allocated for it."""
    if width * height > limits.pixels:
        raise too_large(name, width, height, limits.pixels)
