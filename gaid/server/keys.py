"""Keys of clips: short names for addresses, which follow from the clips' ids and hold no path."""

import base64
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BYTES = 8
LENGTH = 11  # of a key: its bytes in base64, without padding


def key_of(clip: str) -> str:
    """The key of a clip, by its id: letters, digits, `-` and `_`. The same id has the same key in every library."""
    return base64.urlsafe_b64encode(_digest(clip)).decode().rstrip("=")


def _digest(clip: str) -> bytes:
    return hashlib.blake2b(clip.encode("utf-8", "surrogatepass"), digest_size=BYTES).digest()


class Keys:
    """The clips of a library by their keys, in 16 bytes per clip."""

    def __init__(self, ids: Sequence[str], rows: "NDArray[np.int64]") -> None:
        numbers = np.frombuffer(b"".join(_digest(ids[row]) for row in rows.tolist()), ">u8").astype(np.uint64)
        order = np.argsort(numbers, kind="stable")
        self._numbers, self._rows = numbers[order], rows[order]

    def row(self, key: str) -> int | None:
        """The row of the clip with this key; None where the library has no such clip."""
        if len(key) != LENGTH or not key.isascii():
            return None
        try:
            digest = base64.b64decode(f"{key}=", altchars=b"-_", validate=True)
        except ValueError:
            return None
        number = np.uint64(int.from_bytes(digest, "big"))
        place = int(np.searchsorted(self._numbers, number))
        there = place < len(self._numbers) and self._numbers[place] == number
        return int(self._rows[place]) if there else None
