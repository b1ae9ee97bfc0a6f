"""One vector per clip on the disk, and those that lie nearest to a query's vector. What the vectors are is the caller's.

They lie in one half-precision file that is appended to and mapped into memory. Above FLAT clips a faiss index
keeps a bit per number (RaBitQ) in memory: it finds a shortlist, whose products are then taken from the file.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaid.errors import StoreCorrupt
from gaid.files import replacing
from gaid.source_files import digest_of, look_at
from gaid.stores.creation import write_marker
from gaid.stores.inventory import read_marker

FLAT, SCANNED = 20_000, 3_000_000  # up to so many clips all vectors are compared, and all codes
TRAINED = 200_000  # vectors that codes and cells are fitted to
PROBED = 1 / 8  # share of the cells that are looked at
_BLOCK = 1 << 16  # vectors that are widened at once

Vectors = NDArray[np.float32]
Places = NDArray[np.int64]


def factory_of(vectors: int) -> str:
    """faiss's name of the index of so many vectors; `Flat` where there are no codes."""
    if vectors <= FLAT:
        return "Flat"
    if vectors <= SCANNED:
        return "RaBitQ"
    return f"IVF{1 << round(np.log2(vectors**0.5))},RaBitQ"


class ClipVectors:
    """Vectors (N, D) in a folder, each with the key of its clip; none before `read` or `append`.

    `about`: what the caller keeps beside them, JSON types only.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clear()

    def clear(self) -> None:
        """As if there were none."""
        self.keys: NDArray[np.uint64] = np.empty(0, np.uint64)
        self.values: NDArray[np.float16] = np.empty((0, 0), np.float16)
        self.about: dict[str, Any] = {}
        self._kind = "Flat"
        self._codes: Any = None
        self._names: list[str] = []

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def kind(self) -> str:
        """faiss's name of how they are searched."""
        return self._kind

    # On the disk

    def read(self) -> bool:
        """Whether there are vectors that were written whole."""
        try:
            marker = read_marker(self.folder / "index.json")
        except StoreCorrupt:
            return False
        for name, told in marker["files"].items():
            place = self.folder / name
            facts = look_at(place)
            # faiss trusts what it reads, so only a file that was written here is given to it.
            if facts is None or facts[0] != told["bytes"] or digest_of(str(place), *facts) != told["digest"]:
                return False
        # Vectors, keys and, of a large library, codes: the alphabet backwards, since JSON's members have no order.
        self._names, self._kind, self.about = sorted(marker["files"], reverse=True), marker["kind"], marker["about"]
        self.keys = np.load(self.folder / self._names[1], allow_pickle=False)
        self._map(marker["dim"])
        if len(self._names) > 2:
            import faiss

            self._codes = faiss.read_index(str(self.folder / self._names[2]))
        return True

    def _map(self, dim: int) -> None:
        shape = (len(self.keys), dim)
        self.values = np.memmap(self.folder / self._names[0], np.float16, "r", shape=shape)

    def append(self, blocks: Iterable[tuple[NDArray[np.uint64], NDArray[np.floating]]]) -> None:
        """Adds vectors, block by block with their keys; `write` makes them count."""
        keys, dim = [self.keys], self.values.shape[1]
        if not self._names:
            self._names = [f"vectors-{self._number('vectors'):05d}.f16"]
            (self.folder / self._names[0]).touch()
        with (self.folder / self._names[0]).open("r+b") as file:
            file.truncate(len(self) * dim * 2)  # what a killed process left
            file.seek(0, 2)
            for of_block, vectors in blocks:
                keys.append(of_block)
                dim = vectors.shape[1]
                file.write(np.ascontiguousarray(vectors, np.float16).tobytes())
        self.keys = np.concatenate(keys)
        self._map(dim)

    def keep(self, alive: NDArray[np.bool_]) -> None:
        """Drops all others, by a file of those that stay."""
        names, old, keys = self._names, self.values, self.keys
        self.keys, self._names, self._codes = np.empty(0, np.uint64), [], None
        self.values = np.empty((0, old.shape[1]), np.float16)
        places = np.flatnonzero(alive)
        self.append((keys[some], old[some]) for some in np.split(places, range(_BLOCK, len(places), _BLOCK)))
        assert self._names != names

    def write(self) -> None:
        """Makes what was added count, and brings the codes up to date."""
        self._encode()
        number = self._number("keys")
        names = [self._names[0], f"keys-{number:05d}.npy"]
        with replacing(self.folder / names[1]) as part, part.open("wb") as file:
            np.save(file, self.keys, allow_pickle=False)
        if self._codes is not None:
            import faiss

            names.append(f"codes-{number:05d}.faiss")
            with replacing(self.folder / names[2]) as part:
                faiss.write_index(self._codes, str(part))
        files = {}
        for name in names:
            facts = look_at(self.folder / name) or (0, 0)
            files[name] = {"bytes": facts[0], "digest": digest_of(str(self.folder / name), *facts)}
        self._names = names
        marker = {"kind": self._kind, "dim": self.values.shape[1], "files": files, "about": self.about}
        write_marker(self.folder / "index.json", marker)
        for left in self.folder.glob("*-[0-9]*.*"):
            if left.name not in names:
                left.unlink()

    def _number(self, kind: str) -> int:
        """A number that no file of this kind has."""
        return max((int(one.stem.split("-")[1]) for one in self.folder.glob(f"{kind}-*.*")), default=0) + 1

    def _encode(self) -> None:
        """Codes of the vectors that have none yet, or of all where another kind of index is due."""
        kind = factory_of(len(self))
        if kind != self._kind:
            self._kind, self._codes = kind, None
        if kind == "Flat":
            return
        import faiss

        if self._codes is None:
            sample = np.unique(np.linspace(0, len(self) - 1, min(TRAINED, len(self))).astype(np.int64))
            self._codes = faiss.index_factory(self.values.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
            self._codes.train(self.values[sample].astype(np.float32))
        for start in range(self._codes.ntotal, len(self), _BLOCK):
            self._codes.add(self.values[start : start + _BLOCK].astype(np.float32))

    # Searching

    def nearest(
        self, query: NDArray[np.float32], count: int, allowed: NDArray[np.bool_] | None
    ) -> tuple[Places, Vectors]:
        """Places of the `count` vectors nearest to a query (D), of those that are `allowed` (N), and their products with it, the
        largest first. With codes, they are the nearest of a shortlist of `count`."""
        if allowed is not None and (self._codes is None or allowed.sum() <= FLAT):
            places = np.flatnonzero(allowed)
        elif self._codes is None:
            places = np.arange(len(self))
        else:
            places = self._shortlist(query, min(count, len(self)), allowed)
        products = self._products(query, places)
        if count < len(places):
            best = np.argpartition(-products, count - 1)[:count]
            places, products = places[best], products[best]
        order = np.argsort(-products, kind="stable")
        return places[order], products[order]

    def _shortlist(self, query: NDArray[np.float32], count: int, allowed: NDArray[np.bool_] | None) -> Places:
        import faiss

        options: dict[str, Any] = {}
        if allowed is not None:
            bits: Any = np.packbits(allowed, bitorder="little")
            options["sel"] = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg]
        if not self._kind.startswith("IVF"):
            found = self._codes.search(query[None], count, params=faiss.SearchParameters(**options))[1][0]
            return np.sort(found[found >= 0])
        cells = self._codes.nlist
        for probed in (max(1, int(PROBED * cells)), cells):  # all of them where these have too few
            given = faiss.SearchParametersIVF(nprobe=probed, **options)  # type: ignore[call-arg]
            found = self._codes.search(query[None], count, params=given)[1][0]
            if (found >= 0).all():
                break
        return np.sort(found[found >= 0])

    def _products(self, query: NDArray[np.float32], places: Places) -> Vectors:
        import torch

        wide, whole = torch.from_numpy(query), len(places) == len(self)
        blocks = [slice(start, start + _BLOCK) for start in range(0, len(places), _BLOCK)]
        found = [
            torch.from_numpy(np.array(self.values[one] if whole else self.values[places[one]])).float() @ wide
            for one in blocks
        ]
        return torch.cat(found).numpy() if found else np.empty(0, np.float32)
