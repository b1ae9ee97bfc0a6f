"""A store as notebooks and the other rooms open it: parts of its data set in memory, what is in it, whether it is intact."""

import hashlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gaid.stores.arrays import read_all
from gaid.stores.census import census_of, census_of_parts, members_of
from gaid.stores.gallery import read_clips
from gaid.stores.reader import StoreReader
from gaid.stores.remote import Place
from gaid.stores.schema import digest_json
from gaid.stores.split import Split
from gaid.stores.verify import VerifyReport, verify_store


class Store(StoreReader):
    """A finished store (or, if asked for, an unfinished one), read only. `store["videos/visual"][:]` reads an array."""

    def split(self, part: str = "test", protocol: str | None = None) -> Split:
        """A part of the data set in memory. Raises OptionInvalid for a part or a split protocol that is not there."""
        protocol = protocol or self.default_protocol
        members = members_of(self, part, protocol)
        place = np.full(len(members.valid), -1, np.int64)
        place[members.gallery] = np.arange(len(members.gallery))
        texts, ids = self.texts("captions/text"), self.texts("captions/id")
        return replace(
            read_clips(self, members.gallery),
            part=part,
            protocol=protocol,
            caption_ids=[ids[row] for row in members.captions],
            caption_texts=[texts[row] for row in members.captions],
            text=self.rows("captions/embedding", members.captions),
            audio_text=self.rows("captions/audio_embedding", members.captions) if self.has_audio_text else None,
            caption_video=place[members.caption_video],
            census=census_of(self, members.videos, members.captions),
        )

    def info(self) -> dict[str, Any]:
        """What `gaid store info` shows, as JSON holds it."""
        arrays = {
            name: {
                "shape": list(self.arrays[name].shape),
                "dtype": str(self.arrays[name].dtype),
                "bytes": self.arrays.bytes_on_disk(name),
            }
            for name in self.arrays.names()
        }
        sizes = _sizes(self.path)
        return {
            "path": str(self.path),
            "format": self.arrays.format,
            "complete": self.complete,
            "missing_shards": list(self.missing_shards),
            "bytes": sum(sizes),
            "files": len(sizes),
            "splits": self.protocols,
            "parts": census_of_parts(self),
            "failures": len(self.failures),
            "sources_recorded": len(self.sources),
            "speech": None if (said := self.speech) is None else said.summary,
            **({"library": told} if (told := self.arrays.growth) else {}),
            "arrays": arrays,
            "attributes": self.attrs,
        }

    def content_digest(self) -> str:
        """sha256 over everything that two extractions of the same must share: identity, failures, all arrays' values."""
        digest = hashlib.sha256(digest_json([self.identity, self.failures]).encode())
        for name in self.arrays.names():
            values = read_all(self.arrays[name])
            digest.update(f"{name} {values.dtype} {values.shape}".encode())
            digest.update(values.tobytes())
        return digest.hexdigest()

    def verify(self) -> VerifyReport:
        """Reads every byte against its digest and every array against the schema's invariants."""
        return verify_store(self.address)


def _sizes(place: Place) -> list[int]:
    """Bytes of each file of a store, without those that go meanwhile: another process may write it."""
    sizes = []
    for file in [place] if place.is_file() else place.rglob("*"):
        with suppress(FileNotFoundError):
            if file.is_file():
                sizes.append(file.stat().st_size)
    return sizes


def open_store(path: str | Path, incomplete: bool = False) -> Store:
    """Opens a store to read; an unfinished one only if asked for. `path`: on this machine, or an address on object storage
    (s3://bucket/store.zarr, gs://, az://), whose credentials come from the environment.

    Raises: DataMissing where nothing is there; StoreInvalid for something else than a store, or a newer schema;
    StoreIncomplete; StoreCorrupt where a file is missing or is not of the size that was written; DependencyMissing and RemoteFailed
    for an address.
    """
    return Store.open(path, incomplete)
