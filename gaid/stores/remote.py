"""Stores on object storage, read only: a path there that the readers use as they use one on a disk.

A store is listed once, when it is opened; its files must not change while it is open. Requests go through obstore.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeAlias

from gaid.errors import DataMissing, DependencyMissing, RemoteFailed
from gaid.files import cache_folder
from gaid.paths import local_path
from gaid.versions import not_installed

SCHEMES = ("s3", "gs", "az")
_ADDRESS = re.compile(rf"({'|'.join(SCHEMES)}):/+(.*?)/*$", re.IGNORECASE)
_RETRIES = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
_PATIENCE = {"connect_timeout": "5s", "timeout": "60s"}
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_SKIP_SIGNATURE=true for a public bucket)",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


class Facts(NamedTuple):
    """Size in bytes, and time of change, of an object; named as `os.stat` names them."""

    st_size: int
    st_mtime_ns: int


def address_of(path: str | os.PathLike[str]) -> str | None:
    """The address on object storage that a path is, with both slashes, of which a `Path` drops one; None for other paths."""
    found = _ADDRESS.match(os.fspath(path))
    return None if found is None else f"{found[1].lower()}://{found[2]}"


def is_plain_http() -> bool:
    """Whether the user names an endpoint without encryption, as for a server of their own."""
    return any(os.environ.get(name, "").startswith("http://") for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT"))


class Bucket:
    """The objects under an address. Raises DependencyMissing; its methods DataMissing and RemoteFailed."""

    def __init__(self, address: str) -> None:
        if not_installed(["obstore"]):
            raise DependencyMissing(f"{address}: reading object storage needs obstore: pip install 'gaid[s3]'")
        self.address = address
        with self.asking():
            from obstore.store import from_url

            options = {**_PATIENCE, "allow_http": is_plain_http()}
            connect: Any = from_url
            self.client = connect(address, client_options=options, retry_config=_RETRIES)

    @cached_property
    def objects(self) -> dict[str, Facts]:
        """All objects by their names under the address: one request per thousand."""
        import obstore

        with self.asking():
            pages = obstore.list(self.client, chunk_size=1000)
            return {
                one["path"]: Facts(one["size"], int(one["last_modified"].timestamp() * 1e9))
                for page in pages
                for one in page
            }

    @cached_property
    def folders(self) -> set[str]:
        """The names that objects lie below."""
        return {str(folder) for name in self.objects for folder in PurePosixPath(name).parents}

    def read(self, name: str) -> bytes:
        import obstore

        with self.asking():
            return bytes(obstore.get(self.client, name).bytes())

    def read_parts(self, name: str, starts: Sequence[int], lengths: Sequence[int]) -> list[Any]:
        """Parts of an object, as buffers; parts that lie near each other come in one request."""
        import obstore

        with self.asking():
            return list(obstore.get_ranges(self.client, name, starts=starts, lengths=lengths))

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Turns what the library raises into errors that name the remedy."""
        try:
            yield
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise failed(self.address, error) from error
            raise
        except Exception as error:
            if not is_of_obstore(error):
                raise
            raise failed(self.address, error) from error


def is_of_obstore(error: BaseException) -> bool:
    """Whether a request failed, rather than what was read."""
    return type(error).__module__.startswith("obstore")


def failed(address: str, error: BaseException) -> DataMissing | RemoteFailed:
    """The error for a request that failed."""
    text = str(error)
    scheme = address.partition("://")[0]
    first = " ".join(text.partition("Debug source")[0].split())[:200]
    if "NoSuchBucket" in text or "ContainerNotFound" in text:
        return DataMissing(f"{address}: there is no such bucket")
    if any(sign in text for sign in ("Missing", "169.254.169.254", "metadata.google", "InstanceCredential")):
        return RemoteFailed(f"{address}: no credentials were found; set {_KEYS[scheme]} in the environment")
    kinds = ("PermissionDeniedError", "UnauthenticatedError")
    if type(error).__name__ in kinds or re.search(r"\b40[13]\b|Forbidden|AccessDenied|SignatureDoesNotMatch", text):
        return RemoteFailed(f"{address}: the credentials in the environment are refused ({first}); set {_KEYS[scheme]}")
    if "sending request" in text or "dns" in text.lower():
        return RemoteFailed(
            f"{address}: no answer ({first}); check the network, and the endpoint if the environment names one (AWS_ENDPOINT_URL)"
        )
    return RemoteFailed(f"{address}: {first}")


class RemotePath:
    """A path below an address, with what readers of a store ask of a `pathlib.Path`."""

    def __init__(self, bucket: Bucket, name: str = "") -> None:
        self.bucket, self._name = bucket, name

    def __truediv__(self, name: str) -> "RemotePath":
        joined = str(PurePosixPath(self._name, name))
        return RemotePath(self.bucket, "" if joined == "." else joined)

    def __str__(self) -> str:
        return f"{self.bucket.address}/{self._name}".rstrip("/")

    def __repr__(self) -> str:
        return str(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and str(self) == str(other)

    def __lt__(self, other: "RemotePath") -> bool:
        return str(self) < str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def name(self) -> str:
        return PurePosixPath(str(self)).name

    @property
    def stem(self) -> str:
        return PurePosixPath(str(self)).stem

    def stat(self) -> Facts:
        """Raises FileNotFoundError."""
        found = self.bucket.objects.get(self._name)
        if found is None:
            raise FileNotFoundError(2, "no such object", str(self))
        return found

    def is_file(self) -> bool:
        return self._name in self.bucket.objects

    def is_dir(self) -> bool:
        return (self._name or ".") in self.bucket.folders

    def exists(self) -> bool:
        return self.is_file() or self.is_dir()

    def read_bytes(self) -> bytes:
        return self.bucket.read(self._name)

    def read_parts(self, starts: Sequence[int], lengths: Sequence[int]) -> list[Any]:
        """Parts of the object, as buffers."""
        return self.bucket.read_parts(self._name, starts, lengths)

    def glob(self, pattern: str) -> Iterator["RemotePath"]:
        """Objects directly below whose name fits a pattern."""
        mine = (one for one in self.rglob("*") if str(PurePosixPath(one._name).parent) == (self._name or "."))
        return (one for one in mine if fnmatchcase(one.name, pattern))

    def rglob(self, pattern: str) -> Iterator["RemotePath"]:
        """Objects anywhere below whose name fits a pattern."""
        start = f"{self._name}/" if self._name else ""
        below = (RemotePath(self.bucket, name) for name in self.bucket.objects if name.startswith(start))
        return (one for one in below if fnmatchcase(one.name, pattern))

    def for_zarr(self) -> dict[str, Any]:
        """The arguments by which zarr finds a group here."""
        from zarr.storage import ObjectStore

        return {"store": ObjectStore(self.bucket.client, read_only=True), "path": self._name}


Place: TypeAlias = Path | RemotePath


def place_of(path: str | os.PathLike[str]) -> Place:
    """The place of a store to read. Raises OptionInvalid for an address that none can be read from, DataMissing where no store is at
    one that it could, DependencyMissing, RemoteFailed."""
    address = address_of(path)
    if address is None:
        return local_path(path)
    bucket = Bucket(address)
    try:
        bucket.read("zarr.json")
    except FileNotFoundError as error:
        if isinstance(error, DataMissing):
            raise
        raise DataMissing(
            f"{address}: no store there (it has no zarr.json); copy one in zarr's format there"
        ) from error
    return RemotePath(bucket)


def beside(place: Place, word: str) -> Path:
    """Where what is made of a store is kept: next to it, or for a store on object storage in the user's cache."""
    if isinstance(place, Path):
        return place.with_name(f"{place.name}.{word}")
    return cache_folder() / "remote" / re.sub(r"[^\w.-]+", "_", str(place)) / f"{place.name}.{word}"
