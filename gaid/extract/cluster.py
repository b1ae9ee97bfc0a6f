"""Extraction on a dask.distributed cluster: one task per shard, each written by the worker that made it.

A task is a whole shard, because dask may run a task twice or lose a worker on the way: a shard is idempotent, a clip's
features sent back to one writer are not. Workers must see the media and the store under the same paths. Whoever reaches the
port of a scheduler can run code on it, so an address that is open to a network is refused.
"""

import ipaddress
import os
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gaid.console import Progress, StopWish
from gaid.errors import DependencyMissing, GaidError, OptionInvalid, StoreIncomplete
from gaid.extract.shard import ShardJob, ShardReport, extract_shard

if TYPE_CHECKING:
    from distributed import Client

TRUST = "GAID_TRUST_NETWORK"
CONNECT_SECONDS = 10.0
RETRIES = 2  # of a task that raised: another worker may see files that this one does not


def check_address(address: str) -> None:
    """Raises OptionInvalid for a scheduler that others in the network could reach.

    Allowed are tls:// (certificates from dask's own configuration, distributed.comm.tls), inproc://, and tcp:// to this
    machine; any tcp:// when the environment says GAID_TRUST_NETWORK=1.
    """
    split = urlsplit(address if "://" in address else f"tcp://{address}")
    if split.scheme in ("tls", "inproc"):
        return
    if split.scheme != "tcp":
        raise OptionInvalid(f"--scheduler {address}: write tcp://HOST:PORT or tls://HOST:PORT")
    host = split.hostname or ""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        loopback = False
    if not loopback and os.environ.get(TRUST) != "1":
        raise OptionInvalid(
            f"--scheduler {address}: plain tcp to another machine, where whoever reaches the port can run code; use tls://, "
            f"or set {TRUST}=1 if nobody else can reach this network"
        )


def check_installed() -> None:
    """Raises DependencyMissing without dask."""
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise DependencyMissing(
            "--scheduler needs dask.distributed, which is not installed: pip install 'gaid[dask]'"
        ) from error


def connect(address: str) -> "Client":
    """A client of the scheduler at `address`. Raises OptionInvalid where none answers."""
    check_address(address)
    check_installed()
    from distributed import Client

    try:
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError, TypeError) as error:  # TypeError: tls:// without certificates
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OptionInvalid(f"--scheduler {address}: no dask scheduler answers there ({reason})") from error


def run_on_cluster(jobs: Iterable[ShardJob], address: str, progress: Progress, stop: StopWish) -> int:
    """Extracts each job's shard on the cluster at `address`; returns the number of clips. After `stop`, waits for the
    shards that were handed out and hands out no more."""
    client = connect(address)
    try:
        return _run(client, iter(jobs), progress, stop)
    finally:
        client.close()


def _run(client: "Client", jobs: Any, progress: Progress, stop: StopWish) -> int:
    from distributed import as_completed

    if not client.nthreads():
        progress.say("the scheduler has no worker yet; waiting for one")
    session = uuid.uuid4().hex[:8]  # a task of an earlier session is never taken for this one's
    out: dict[Any, ShardJob] = {}
    finished = as_completed(loop=client.loop)
    extracted = 0

    def hand_out() -> None:
        # Two shards per worker: one in work, one waiting. More would only make a stop take longer.
        while not stop and len(out) < 2 * max(1, len(client.nthreads())):
            job = next(jobs, None)
            if job is None:
                return
            key = f"gaid-shard-{job.fingerprint[:8]}-{job.number:05d}-{session}"
            future = client.submit(extract_shard, job, key=key, pure=False, retries=RETRIES)
            out[future] = job
            finished.add(future)

    try:
        hand_out()
        while out:
            future = next(finished)
            job = out.pop(future)
            report = _result(future, job)
            if not report.already:
                extracted += report.clips
            progress.advance(report.clips, failed=len(report.failures))
            for failure in report.failures:
                progress.say(str(failure))
            hand_out()
    except BaseException:
        client.cancel(list(out), force=True)
        raise
    return extracted


def _result(future: Any, job: ShardJob) -> ShardReport:
    from distributed import CancelledError, KilledWorker

    try:
        report: ShardReport = future.result()
    except GaidError:
        raise
    except (KilledWorker, CancelledError) as error:
        raise StoreIncomplete(
            f"shard {job.number} of {job.store} was given up after its workers died; their logs say why (memory?); "
            "the same command resumes from there"
        ) from error
    return report
