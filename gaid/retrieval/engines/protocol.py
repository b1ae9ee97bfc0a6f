"""What an engine must do, and what is pushed into one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gaid.retrieval.filters import Filters


@dataclass(frozen=True)
class Rows:
    """Clips as they are pushed (N).

    `clips`: their ids. `keys`: numbers of their features (`Store.row_keys`). `marks`: numbers that change with anything of a clip.
    `folders`: where their files lie, by `folder_text`. `seconds`: their lengths. `changed`: when their files were last changed, in seconds since
    1970, NaN where that is not known. `vectors`: by sense, each (N, dim).
    """

    clips: list[str]
    keys: NDArray[np.uint64]
    marks: NDArray[np.uint64]
    folders: list[str]
    seconds: NDArray[np.float32]
    changed: NDArray[np.float64]
    vectors: Mapping[str, NDArray[np.float32]]


class Held(NamedTuple):
    """What an engine holds of each clip (N): id, key and mark."""

    clips: list[str]
    keys: NDArray[np.uint64]
    marks: NDArray[np.uint64]


class Engine(Protocol):
    """A collection of one library's clips. Every method raises RemoteFailed where the engine does not do what it is asked.

    The largest product of vectors is the nearest. `effort` is what a query may cost: all clips are compared at `most_effort`.
    """

    uri: str

    def about(self) -> dict[str, Any]:
        """What `describe` was given last; empty where nothing was pushed."""

    def describe(self, about: Mapping[str, Any]) -> None:
        """Keeps what is said of the collection, JSON types only, in place of what was said before."""

    def held(self) -> Held:
        """What is there."""

    def push(self, rows: Rows) -> None:
        """Adds clips, or replaces those that are there, all or none of them."""

    def remove(self, clips: Sequence[str]) -> None:
        """Removes clips."""

    def clear(self) -> None:
        """Removes all clips and what is said of them."""

    def settle(self) -> str:
        """Builds or extends the indexes after clips were pushed or removed. Returns how they are searched, in words."""

    @property
    def most_effort(self) -> int:
        """The effort at which nothing is passed over."""

    def nearest(
        self, sense: str, query: NDArray[np.float32], count: int, effort: int, filters: "Filters"
    ) -> NDArray[np.uint64]:
        """The keys of up to `count` clips that pass the filters and whose vectors of the sense are nearest to a query's (dim), best
        first."""


def folder_text(folder: str) -> str:
    """A folder as `Rows.folders` has it: a clip lies within another folder where its text holds that folder's."""
    return f"/{folder}/".casefold()
