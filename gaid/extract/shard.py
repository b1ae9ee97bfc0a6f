"""One shard: clips in, a shard of the store out. The same code makes it in this process and on a remote worker.

`extract_shard(job)` is complete in itself (picklable job, no progress, no dask). `local` runs the pieces below over many
shards at once, so that decoding continues across a shard's end.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaid.errors import DataMissing, GaidError, MediaError, StoreIncomplete, StoresDisagree
from gaid.extract.encoder import Encoder, fixed_threads
from gaid.extract.options import BackboneChoice, Resources
from gaid.extract.report import Failure
from gaid.extract.rows import ShardRows, ShardShape
from gaid.extract.sources import differences
from gaid.media.clip import ClipRequest
from gaid.media.limits import DecodeLimits

if TYPE_CHECKING:
    from gaid.backbones import Backbones
    from gaid.media.pool import DecodePool
    from gaid.stores import StoreWriter


@dataclass(frozen=True)
class ShardJob:
    """Everything that a worker needs to write shard `number`, except the media and the weights."""

    number: int
    store: Path
    fingerprint: str
    ids: tuple[str, ...]
    requests: tuple[ClipRequest, ...]
    shape: ShardShape
    backbones: BackboneChoice
    provenance: dict[str, Any]  # of the visual and the audio backbone, as planned
    resources: Resources
    missing: frozenset[str] = frozenset()  # ids of clips whose file the driver did not find either


@dataclass(frozen=True)
class ShardReport:
    """How a shard went."""

    number: int
    clips: int
    failures: list[Failure]
    seconds: float
    already: bool = False


@contextmanager
def naming_disk_faults(place: Path) -> Iterator[None]:
    """A full disk becomes an error that a user reads in one line, since the program is not at fault; what was written
    stays."""
    try:
        yield
    except OSError as error:
        if isinstance(error, GaidError):
            raise
        raise StoreIncomplete(
            f"{place}: could not be written ({error.strerror or error}); once that is solved, the same command resumes"
        ) from error


def write_rows(writer: "StoreWriter", rows: ShardRows) -> None:
    """Writes a shard to the disk, or raises StoreIncomplete where that fails."""
    with naming_disk_faults(Path(writer.path)):
        writer.write_shard(rows.number, rows.arrays, rows.listed(), rows.sources, rows.listed_remarks())


@contextmanager
def working(
    backbones: "Backbones", device: str, shape: ShardShape, resources: Resources
) -> Iterator[tuple[Encoder, "DecodePool"]]:
    """The encoder of shards of this shape, and the decoders that feed it. They look ahead by a batch, so that decoding
    continues while the batch is encoded."""
    from gaid.media.pool import DecodePool

    encoder = Encoder(
        backbones,
        device,
        resources.batch_size,
        shape.patches is not None,
        shape.audio_tokens is not None,
        resources.threads,
        shape.audio_clip_tokens is not None,
    )
    limits, ahead = DecodeLimits(seconds=resources.clip_seconds), 2 * resources.workers + 1 + encoder.batch_size
    pool = DecodePool(resources.workers, limits, ahead=ahead, sources=True)
    with fixed_threads(resources.threads, device), pool, encoder:
        yield encoder, pool


def load_as_planned(job: ShardJob) -> "Backbones":
    """The job's backbones on this machine. Raises StoresDisagree where they are not those that the store was planned with."""
    backbones = job.backbones.load()
    for kind, mine in (("visual", backbones.visual.provenance), ("audio", backbones.audio.provenance)):
        differ = differences(job.provenance[kind], mine)
        if differ:
            raise StoresDisagree(
                f"the {kind} backbone of the worker {socket.gethostname()} is not the one that the store was planned with: "
                f"{', '.join(differ)} differ; install the same packages and weights on every worker"
            )
    return backbones


# A worker with several threads still has one model and one number of torch threads.
_ONE_SHARD = threading.Lock()


def extract_shard(job: ShardJob) -> ShardReport:
    """Decodes, encodes and writes one shard. It may run twice, or again after a worker died: the bytes are the same.

    Raises GaidError for faults of more than one clip: weights, the store, files that this machine does not see.
    """
    from gaid.stores import StoreWriter

    with _ONE_SHARD:
        started = time.monotonic()
        writer = StoreWriter.attach(job.store, job.fingerprint)
        if job.number not in writer.pending_shards:
            return ShardReport(job.number, len(job.ids), [], 0.0, already=True)
        backbones = load_as_planned(job)
        rows = ShardRows(job.number, len(job.ids), job.shape)
        with working(backbones, job.backbones.resolved_device, job.shape, job.resources) as (encoder, pool):
            for row, clip in enumerate(pool.map(job.requests)):
                if isinstance(clip, MediaError) and clip.reason == "missing" and job.ids[row] not in job.missing:
                    raise DataMissing(
                        f"{job.requests[row].path}: not on the worker {socket.gethostname()}, but on the machine where the extraction "
                        "was started; every worker must see the files under the same path"
                    )
                encoder.add(rows, row, job.ids[row], clip)
            encoder.flush()
        failures = [failure for _, failure in sorted(rows.failures, key=lambda pair: pair[0])]
        write_rows(writer, rows)
        return ShardReport(job.number, len(job.ids), failures, time.monotonic() - started)
