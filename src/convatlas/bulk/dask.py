"""Run shards on a Dask cluster."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from functools import lru_cache
from itertools import islice

from distributed import Client, Future, KilledWorker, wait
from distributed.comm.core import CommClosedError

from convatlas.base.errors import ConvAtlasError, printable
from convatlas.bulk.columns import Columns, columns_of, identity
from convatlas.bulk.dask_cluster import TIMEOUT
from convatlas.bulk.job import Job
from convatlas.bulk.shards import Shard, fill

KEPT = "finished shards are whole, and the same call continues after them"

GONE = f"the scheduler is gone; {KEPT}"

ONE_AT_A_TIME = threading.Lock()
"""A worker answers one shard at a time, however many threads it has: engines are not made to be shared."""


def run_shards(
    client: Client, job: Job, net: Mapping[str, object], shards: Sequence[Shard]
) -> Iterator[tuple[Shard, str]]:
    """Yield each shard when it is finished, and its engine; only a few shards wait at the scheduler at any time.

    Raises:
        ConvAtlasError: A worker raised it; or a shard ended several workers and is given up; or the scheduler or all of
            its workers are gone.
    """
    waiting, running = iter(shards), dict[Future[str], Shard]()
    while True:
        # After a worker died, more shards may be running than the remaining workers would be given.
        for shard in islice(waiting, max(0, 2 * _threads(client) - len(running))):
            running[client.submit(answer_shard, job, dict(net), shard, pure=False)] = shard
        if not running:
            return
        future = _first_finished(client, list(running))
        shard = running.pop(future)
        try:
            yield shard, future.result()
        except KilledWorker:
            raise ConvAtlasError(
                f"{shard.file.name} ended several workers, one after the other, and is given up"
            ) from None
        except (CancelledError, CommClosedError):
            raise ConvAtlasError(GONE) from None
        except ConvAtlasError:
            raise
        # A worker without convatlas, or with another version of a package, can raise anything.
        except Exception as error:
            reason = printable(f"{type(error).__name__}: {error}")
            raise ConvAtlasError(f"a worker failed at {shard.file.name}: {reason}") from error


def _first_finished(client: Client, futures: list[Future[str]]) -> Future[str]:
    """Wait for the first future that is done or failed, as long as there are workers."""
    while True:
        try:
            wait(futures, TIMEOUT, return_when="FIRST_COMPLETED")
        except TimeoutError:
            try:
                client.wait_for_workers(1, timeout=TIMEOUT)
            except TimeoutError:
                raise ConvAtlasError(f"the cluster has no workers any more; {KEPT}") from None
            except OSError:
                raise ConvAtlasError(GONE) from None
        except CancelledError:
            raise ConvAtlasError(GONE) from None
        else:
            return next(future for future in futures if future.done())


def _threads(client: Client) -> int:
    """Number of shards that can be answered at a time; 1 without workers."""
    try:
        return max(1, sum(map(int, client.nthreads().values())))
    except OSError:
        raise ConvAtlasError(GONE) from None


def answer_shard(job: Job, net: Mapping[str, object], shard: Shard) -> str:
    """Answer a shard on a worker, unless its file exists; return the engine, or "" if it did.

    Raises:
        ConvAtlasError: This machine has other weights by the same name, or `fill` or `columns_of` raises it.
    """
    with ONE_AT_A_TIME:
        if shard.file.exists():
            return ""
        columns, here = _columns(job)
        if here != net:
            raise ConvAtlasError(f"on a worker, {net['net']} with {net['weights']} weights is another net than here")
        for _ in fill([shard], columns, net):
            pass
        return columns.engine


@lru_cache(maxsize=1)
def _columns(job: Job) -> tuple[Columns, dict[str, object]]:
    """Load the net of a worker, once."""
    columns = columns_of(job)
    return columns, identity(columns)
