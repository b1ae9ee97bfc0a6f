"""The index beside a store: a vector of each clip by a head, kept on the disk, from which a search takes candidates.

It is made when a search first asks for it, and extended when the store has grown. It only chooses which clips the head
scores; how many it takes to hold what an exact search finds is measured when it is made. Scores are the head's.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray

from gaid.errors import OptionInvalid, StoreCorrupt
from gaid.evaluation.index import check_has_vectors, default_candidates, unit
from gaid.files import check_folder, replacing
from gaid.retrieval.lens import Lens, best_clips
from gaid.source_files import digest_of, look_at
from gaid.stores import valid_rows
from gaid.stores.creation import write_marker
from gaid.stores.inventory import read_marker

if TYPE_CHECKING:
    from gaid.heads import Head
    from gaid.stores import Store

FLAT, GRAPH = 20_000, 300_000  # up to so many clips all vectors are compared, and a graph of them is walked
SAMPLED, BEST, WANTED = 64, 10, 0.99  # captions, places and the share of these that candidates must hold
LEAST = 50  # candidates
# The most of them, as a share of the clips where that is more than a thousand: an exact search costs as much as a few times that.
MOST = 0.05
WALKED = 4096  # vectors that are looked at in a graph
TRAINED = 100_000  # vectors that the cells of a large index are fitted to
DEAD = 0.25  # share of vectors of clips that are gone above which an index is made anew


def factory_of(clips: int) -> str:
    """faiss's name of the index for so many clips."""
    if clips <= FLAT:
        return "Flat"
    if clips <= GRAPH:
        return "HNSW32,SQfp16"
    return f"IVF{1 << round(np.log2(4 * clips**0.5))},SQfp16"


@dataclass(frozen=True)
class IndexAbout:
    """An index: `held` is the share of the exact ten best of `captions` captions that the candidates held, None where the
    store has none; `added` says how many clips came to it now."""

    kind: str
    clips: int
    candidates: int
    captions: int
    held: float | None
    added: int
    seconds: float

    def __str__(self) -> str:
        held = "not measured: the store has no captions"
        if self.held is not None:
            held = f"they hold {100 * self.held:.1f} % of the exact {BEST} best of {self.captions} captions"
        new = f", {self.added:,} of them new in {self.seconds:.1f} s" if self.added else ""
        return f"index {self.kind} of {self.clips:,} clips{new}; {self.candidates:,} are scored per sentence ({held})"


class ClipIndex:
    """The index of a store by the head of a lens, up to date. Made by `open`."""

    def __init__(self, store: "Store", lens: Lens, folder: Path) -> None:
        self.store, self.lens, self.folder = store, lens, folder
        self.rows = valid_rows(store)
        keys = store.row_keys()[self.rows]
        self._order = np.argsort(keys, kind="stable")
        self._sorted = keys[self._order]
        self.keys: NDArray[np.uint64] = np.empty(0, np.uint64)  # of the index's vectors, in their order
        self.about: dict[str, Any] = {}
        self._index: Any = None

    @classmethod
    def open(cls, store: "Store", lens: Lens) -> tuple["ClipIndex", IndexAbout]:
        """Reads the index of the store by the lens's head, extends it or makes it; the lens's queries take no part.

        Raises OptionInvalid for a head that none can be made with, and where none can be written.
        """
        started = time.perf_counter()
        check_head(lens.head)
        folder = store.path.with_name(f"{store.path.name}.index") / key_of(lens)
        check_folder(folder, "--index")
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            index = cls(store, lens, folder)
            added = index._bring_up_to_date()
        about = index.about
        seconds = time.perf_counter() - started
        told = {name: about[name] for name in ("kind", "candidates", "captions", "held")}
        return index, IndexAbout(clips=len(index.rows), added=added, seconds=seconds, **told)

    def _bring_up_to_date(self) -> int:
        """Returns how many vectors were added."""
        wanted = np.unique(self._sorted)
        kind, stale = factory_of(len(wanted)), True
        if self._read():
            stale = self.about["size"] != kind or not np.isin(self.keys, wanted).mean() > 1 - DEAD
        if stale:
            self.keys, self._index, self.about = (
                np.empty(0, np.uint64),
                None,
                {"kind": kind, "size": kind, "measured": 0},
            )
        new = np.setdiff1d(wanted, self.keys)
        if len(new):
            self._add(new)
        if len(wanted) > 1.25 * self.about["measured"]:
            self._measure()
        if len(new) or stale:
            self._write()
        return len(new)

    # On the disk

    def _read(self) -> bool:
        """Whether there is an index that was written whole; it is mapped, not read."""
        import faiss

        try:
            self.about = read_marker(self.folder / "index.json")
        except StoreCorrupt:
            return False
        for name, told in self.about["files"].items():
            place = self.folder / name
            facts = look_at(place)
            # faiss trusts what it reads, so only a file that was written here is given to it.
            if facts is None or facts[0] != told["bytes"] or digest_of(str(place), *facts) != told["digest"]:
                return False
        names = sorted(self.about["files"])
        self.keys = np.load(self.folder / names[1], allow_pickle=False)
        self._index = faiss.read_index(str(self.folder / names[0]), faiss.IO_FLAG_MMAP_IFC)
        return True

    def _write(self) -> None:
        import faiss

        numbers = [int(one.stem.removeprefix("clips-")) for one in self.folder.glob("clips-*.faiss")]
        number = max(numbers, default=0) + 1
        names = f"clips-{number:05d}.faiss", f"keys-{number:05d}.npy"
        with replacing(self.folder / names[0]) as part:
            faiss.write_index(self._index, str(part))
        with replacing(self.folder / names[1]) as part, part.open("wb") as file:
            np.save(file, self.keys, allow_pickle=False)
        files = {}
        for name in names:
            facts = look_at(self.folder / name) or (0, 0)
            files[name] = {"bytes": facts[0], "digest": digest_of(str(self.folder / name), *facts)}
        self.about = {**self.about, "files": files}
        write_marker(self.folder / "index.json", self.about)
        for left in [*self.folder.glob("clips-*.faiss"), *self.folder.glob("keys-*.npy")]:
            if left.name not in names:
                left.unlink()

    # Making it

    def _add(self, keys: NDArray[np.uint64]) -> None:
        """Adds the vectors of the clips with these keys."""
        import faiss

        rows = np.sort(self.rows[self._order[np.searchsorted(self._sorted, keys)]])
        if self._index is None:
            sample = rows[np.linspace(0, len(rows) - 1, min(TRAINED, len(rows))).astype(np.int64)]
            first = np.concatenate([vectors for _, vectors in self._embed(np.unique(sample))])
            self._index = faiss.index_factory(first.shape[1], self.about["kind"], faiss.METRIC_INNER_PRODUCT)
            self._index.train(first)
        else:  # a mapped index can't be added to
            name = min(self.about["files"])
            self._index = faiss.read_index(str(self.folder / name))
        of_row = self.store.row_keys()
        for block, vectors in self._embed(rows):
            self._index.add(vectors)
            self.keys = np.concatenate([self.keys, of_row[block]])

    @torch.inference_mode()
    def _embed(self, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Unit vectors of clips by the head, a block of clips at a time."""
        for block, features in self.lens.blocks(self.store, rows):
            yield block, unit(self.lens.head.embed_videos(*features.videos(slice(None))))

    def _measure(self) -> None:
        """Chooses the number of candidates by captions of the store, whose exact best are known."""
        store, count = self.store, len(self.rows)
        captions = store.layout["captions"]
        some = np.unique(np.linspace(0, captions - 1, min(SAMPLED, captions)).astype(np.int64))
        self.about |= {"measured": count, "held": None, "captions": len(some), "candidates": default_candidates(count)}
        if not captions:
            return
        asked = self.lens.ask(captions_as(self.lens.head, store, some))
        best = best_clips(asked, store, min(BEST, count))[0]
        if not self._find_candidates(asked.text, best) and self.about["kind"].startswith("HNSW"):
            self._compare_all()  # the graph loses too many of these clips
            self._find_candidates(asked.text, best)

    def _find_candidates(self, text: torch.Tensor, best: NDArray[np.int64]) -> bool:
        """Doubles the candidates until they hold enough of the best; whether they do."""
        count = len(self.rows)
        most = min(count, max(1000, int(MOST * count)))
        wanted = min(LEAST, most)
        while True:
            found = self.nearest(text, wanted)
            held = float(np.mean([np.isin(of_exact, one).mean() for of_exact, one in zip(best, found, strict=True)]))
            self.about |= {"held": held, "candidates": wanted}
            if held >= WANTED or wanted == most:
                return held >= WANTED
            wanted = min(2 * wanted, most)

    def _compare_all(self) -> None:
        """Makes the graph of vectors a plain list of them."""
        import faiss

        vectors = self._index.reconstruct_n(0, self._index.ntotal)
        self._index = faiss.index_factory(vectors.shape[1], "Flat", faiss.METRIC_INNER_PRODUCT)
        self._index.add(vectors)
        self.about["kind"] = "Flat"

    # Searching

    def candidates(self, text: torch.Tensor, count: int) -> list[NDArray[np.int64]]:
        """For each query the rows that are scored to find its `count` best, ascending."""
        return [np.sort(one) for one in self.nearest(text, max(int(self.about["candidates"]), 2 * count))]

    @torch.inference_mode()
    def nearest(self, text: torch.Tensor, count: int) -> list[NDArray[np.int64]]:
        """For each query the rows of the store whose vectors are nearest, `count` of them; all rows where there are no more."""
        import faiss

        if count >= len(self.rows):
            return [self.rows] * len(text)
        if not self.about["kind"].startswith("Flat"):
            name, value = (
                ("efSearch", min(2 * count, WALKED)) if self.about["kind"].startswith("HNSW") else ("nprobe", 64)
            )
            faiss.ParameterSpace().set_index_parameter(self._index, name, value)
        dead = len(self.keys) - len(np.unique(self._sorted))
        found = self._index.search(unit(self.lens.head.embed_text(text)), min(count + dead, len(self.keys)))[1]
        rows = [self._rows_of(self.keys[one[one >= 0]])[:count] for one in found]
        return [one if len(one) == count else self.rows for one in rows]  # too few in the cells that were looked at

    def _rows_of(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The rows with these keys, in their order: none for clips that are gone, several for copies."""
        starts, ends = (np.searchsorted(self._sorted, keys, side) for side in ("left", "right"))
        places = [np.arange(start, end) for start, end in zip(starts, ends, strict=True)]
        return self.rows[self._order[np.concatenate([np.empty(0, np.int64), *places])]]


def captions_as(head: "Head", store: "Store", rows: NDArray[np.int64]) -> NDArray[np.float16]:
    """Captions of a store (each row once, ascending) as the vectors that a head compares with clips."""
    text = store.rows("captions/embedding", rows)
    if head.text_input != "both":
        return text
    return np.concatenate([text, store.rows("captions/audio_embedding", rows)], axis=1)


def check_head(head: "Head") -> None:
    """Raises OptionInvalid for a head that an index can't be made with."""
    check_has_vectors(head)
    if head.has_trials:
        raise OptionInvalid("--index faiss: this head draws trials for every clip of a store; use --index exact")


def key_of(lens: Lens) -> str:
    """By which an index is found: the head's class, sizes and weights, as it meets this store, and the sound that it hears."""
    head = lens.head
    digest = hashlib.sha256(
        json.dumps([type(head).__name__, dict(head.config), lens.audio], default=str, sort_keys=True).encode()
    )
    for name, values in sorted(head.state_dict().items()):
        digest.update(name.encode() + values.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()[:16]
