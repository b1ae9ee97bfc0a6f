"""What is said in a store's clips: segments of speech with their times and embeddings, in ragged arrays (docs/format.md).

They belong to clips, not to the plan of a store, so they can be added when all else is done, and the fingerprint of the
features stays. In zarr each shard has a piece of its own, `speech/NNNNN`, with a marker that is written last; a store has
speech once every shard with clips of its own has a piece by the same transcriber. Writing pieces is left to `speech_writer`, transcribing to `gaid.extract`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import StoreCorrupt
from gaid.specs import Segment
from gaid.stores.inventory import Inventory, fault_of
from gaid.stores.remote import Place
from gaid.stores.schema import decode_texts, digest_json, encode_texts

GROUP = "speech"
TYPES = {
    "offsets": "int64", "start": "float32", "end": "float32", "text_bytes": "uint8", "text_offsets": "int64",
    "embedding": "float16",
}  # fmt: skip
NAMES = tuple(f"{GROUP}/{name}" for name in TYPES)
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Speech:
    """The segments of clips, clip after clip, each clip's in the order of time.

    `offsets` (V + 1): where each clip's segments begin. `start`, `end` (S): seconds from the clip's start. `text_bytes`,
    `text_offsets` (S + 1): the words, as UTF-8. `embedding` (S, Dt): the words by the store's text encoder. `transcriber`:
    its provenance.
    """

    offsets: NDArray[np.int64]
    start: NDArray[np.float32]
    end: NDArray[np.float32]
    text_bytes: NDArray[np.uint8]
    text_offsets: NDArray[np.int64]
    embedding: NDArray[np.float16]
    transcriber: Mapping[str, Any]

    @classmethod
    def of(
        cls, clips: Sequence[Sequence[Segment]], embedding: NDArray[np.floating[Any]], transcriber: Mapping[str, Any]
    ) -> "Speech":
        """The segments of some clips, and the embeddings (S, Dt) of all of them."""
        said = [segment for of_clip in clips for segment in of_clip]
        text, offsets = encode_texts([segment.text for segment in said])
        return cls(
            np.cumsum([0, *map(len, clips)], dtype=np.int64),
            np.array([segment.start for segment in said], np.float32),
            np.array([segment.end for segment in said], np.float32),
            text,
            offsets,
            embedding.astype(np.float16),
            transcriber,
        )

    def __len__(self) -> int:
        """The number of segments."""
        return len(self.start)

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """By their names in a store."""
        return {f"{GROUP}/{name}": getattr(self, name) for name in TYPES}

    @property
    def clips(self) -> NDArray[np.int64]:
        """(S) the row of each segment's clip."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @property
    def summary(self) -> dict[str, Any]:
        """What `gaid store info` shows."""
        speaking = int((np.diff(self.offsets) > 0).sum())
        return {"transcriber": self.transcriber.get("name"), "segments": len(self), "clips": speaking}

    @property
    def texts(self) -> list[str]:
        """The words of all segments."""
        return decode_texts(self.text_bytes, self.text_offsets)

    def segment(self, number: int) -> Segment:
        """One segment by its number."""
        first, last = self.text_offsets[number : number + 2].tolist()
        text = self.text_bytes[first:last].tobytes().decode("utf-8", "surrogatepass")
        return Segment(text, float(self.start[number]), float(self.end[number]))

    def take(self, rows: Rows) -> "Speech":
        """The speech of some clips, in any order and any number of times."""
        if np.array_equal(rows, np.arange(len(self.offsets) - 1)):
            return self
        offsets, segments = _ragged(self.offsets, rows)
        text_offsets, places = _ragged(self.text_offsets, segments)
        return replace(
            self, offsets=offsets, start=self.start[segments], end=self.end[segments], text_bytes=self.text_bytes[places],
            text_offsets=text_offsets, embedding=self.embedding[segments],
        )  # fmt: skip


def _ragged(offsets: Rows, rows: Rows) -> tuple[Rows, Rows]:
    """Offsets of some rows of a ragged array put one after the other, and the places of their items."""
    counts = np.diff(offsets)[rows]
    found = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return found, np.repeat(offsets[rows] - found[:-1], counts) + np.arange(found[-1])


def join(pieces: Sequence[Speech]) -> Speech:
    """The speech of several stretches of clips as one."""
    if len(pieces) == 1:
        return pieces[0]

    def chain(name: str) -> NDArray[np.int64]:
        counts = [np.diff(getattr(one, name)) for one in pieces]
        return np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)

    columns: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in pieces]) for name in TYPES if "offsets" not in name
    }
    return replace(pieces[0], offsets=chain("offsets"), text_offsets=chain("text_offsets"), **columns)


# In a zarr folder


def marker_of(shard: int) -> str:
    """The name of the marker of a shard's speech."""
    return f"{GROUP}-{shard:05d}"


def piece_of(name: str, shard: int) -> str:
    """The place of a shard's piece of one of NAMES in a folder."""
    return f"{GROUP}/{shard:05d}/{name.removeprefix(f'{GROUP}/')}"


def _belongs_to(marker: Mapping[str, Any], inventory: Inventory, shard: int) -> bool:
    """Whether speech is that of the shard as it is: not of one that was made anew since."""
    of_shard = inventory.markers.get(f"{shard:05d}")
    return of_shard is not None and marker["shard"] == digest_json(of_shard["files"])


def transcriber_of(inventory: Inventory, shards: Iterable[int]) -> dict[str, Any] | None:
    """Who transcribed all of these shards; None where one is not transcribed, or not by the same."""
    found: dict[str, Any] | None = None
    for shard in shards:
        marker = inventory.markers.get(marker_of(shard))
        if marker is None or not _belongs_to(marker, inventory, shard):
            return None
        if found is not None and found != marker["transcriber"]:
            return None
        found = marker["transcriber"]
    return found


def lacking_rows(inventory: Inventory, shard: int, transcriber: Mapping[str, Any]) -> set[int] | None:
    """Rows of a shard, counted from its first, that this transcriber has not heard, since their files were not at hand or they
    were not live; None where all of the shard is to be transcribed."""
    if transcriber_of(inventory, [shard]) != transcriber:
        return None
    return set(inventory.markers[marker_of(shard)]["lacking"])


def read_piece(root: Place, inventory: Inventory, shard: int) -> Speech:
    """The speech of a shard that has it. Raises StoreCorrupt."""
    marker = inventory.markers[marker_of(shard)]
    arrays = {}
    for name, dtype in TYPES.items():
        shape = tuple(marker["shapes"][name])
        place = f"{piece_of(f'{GROUP}/{name}', shard)}/c" + "/0" * len(shape)
        arrays[name] = np.zeros(shape, dtype)
        if not arrays[name].size:
            continue
        fault = fault_of(root / place, inventory.files[place], read=dtype != "float16")
        if not fault:
            raw = np.frombuffer((root / place).read_bytes(), np.dtype(dtype).newbyteorder("<"))
            fault = "" if raw.size == arrays[name].size else "is not of the size that its marker lists"
        if fault:
            raise StoreCorrupt(
                f"{root / place}: {fault}; put it back, or delete shards/{marker_of(shard)}.json and run `gaid extract` "
                "with --speech again, which makes that piece anew"
            )
        arrays[name] = raw.reshape(shape)
    return Speech(**arrays, transcriber=marker["transcriber"])
