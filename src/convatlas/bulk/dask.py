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
from convatlas.bulk.dask_cluster import TIMEOUT
from convatlas.bulk.job import Job
from convatlas.bulk.shards import KEPT, Shard, write_shards
from convatlas.bulk.task import Task
from convatlas.bulk.tasks import load_task, net_identity

GONE = f"the scheduler is gone; {KEPT}"

ENGINE_LOCK = threading.Lock()
"""Held while a worker processes a shard: engines are not made to be shared by its threads."""


def run_shards(
    client: Client, job: Job, net: Mapping[str, object], shards: Sequence[Shard]
) -> Iterator[tuple[Shard, str]]:
    """Yield each finished shard and its engine; only a few shards wait at the scheduler at any time.

    Raises:
        ConvAtlasError: A worker raised it, a shard crashed several workers, or the scheduler or all of its workers are
            gone.
    """
    waiting, running = iter(shards), dict[Future[str], Shard]()
    while True:
        # After a worker died, more shards may be submitted already than twice the number of remaining threads.
        for shard in islice(waiting, max(0, 2 * _threads(client) - len(running))):
            running[client.submit(process_shard, job, dict(net), shard, pure=False)] = shard
        if not running:
            return
        future = _first_finished(client, list(running))
        shard = running.pop(future)
        try:
            yield shard, future.result()
        except KilledWorker:
            raise ConvAtlasError(f"{shard.file.name} crashed several workers, one after the other") from None
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
    """Number of shards that can be processed at a time; 1 without workers."""
    try:
        return max(1, sum(map(int, client.nthreads().values())))
    except OSError:
        raise ConvAtlasError(GONE) from None


def process_shard(job: Job, net: Mapping[str, object], shard: Shard) -> str:
    """Process a shard on a worker and return the engine; "" if the shard's file exists already.

    Raises:
        ConvAtlasError: The weights of this name differ on this machine, or `write_shards` or `load_task` raises it.
    """
    with ENGINE_LOCK:
        if shard.file.exists():
            return ""
        task, identity = _load_task_once(job)
        if identity != net:
            raise ConvAtlasError(f"on a worker, {net['net']} with {net['weights']} weights is another net than here")
        for _ in write_shards([shard], task, net):
            pass
        return task.engine


@lru_cache(maxsize=1)
def _load_task_once(job: Job) -> tuple[Task, dict[str, object]]:
    """Load the task on a worker, once for all shards of the job; also return its net's identity."""
    task = load_task(job)
    return task, net_identity(task)
