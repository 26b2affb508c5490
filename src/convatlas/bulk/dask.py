"""Shards on a Dask cluster: processes on this machine, or a scheduler that runs already."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from tempfile import TemporaryDirectory

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, wait
from distributed.comm.core import CommClosedError
from distributed.deploy.utils import nprocesses_nthreads
from distributed.security import Security
from distributed.utils import silence_logging_cmgr

from convatlas.base.errors import ConvAtlasError, printable
from convatlas.base.machine import threads
from convatlas.base.sigint import unheard
from convatlas.bulk.job import Cluster, Wish
from convatlas.bulk.predictors import Model, identity, model_of
from convatlas.bulk.shards import Shard, fill

PATIENCE = 30
"""Seconds until a scheduler answers and has a worker, at the start and whenever none is left."""

KEPT = "shards that are there are whole, and the same call goes on after them"

GONE = f"the scheduler is gone; {KEPT}"

AT_ONCE = threading.Lock()
"""A worker answers one shard at a time, however many threads it has: engines are not made to be shared."""


@contextmanager
def joined(cluster: Cluster) -> Iterator[Client]:
    """A client of the cluster, which has a worker at least; what was started for it ends with it.

    Raises:
        ConvAtlasError: The scheduler does not answer, or has no workers.
    """
    if cluster.scheduler is None:
        with _local(cluster.workers) as here, Client(here) as client:
            yield client
        return
    security = Security(
        tls_ca_file=cluster.tls_ca,
        tls_client_cert=cluster.tls_cert,
        tls_client_key=cluster.tls_key,
        require_encryption=cluster.scheduler.startswith("tls://"),
    )
    with silence_logging_cmgr(logging.CRITICAL):  # what it logs, with a traceback, is told in one line
        try:
            client = Client(cluster.scheduler, security=security, timeout=PATIENCE)
        except (OSError, ValueError, TypeError) as error:
            raise ConvAtlasError(
                f"no scheduler answers at {cluster.scheduler}: {' '.join(str(error).split())[:200]}"
            ) from None
        with client:
            try:
                client.wait_for_workers(1, timeout=PATIENCE)
            except TimeoutError:
                raise ConvAtlasError(f"the scheduler at {cluster.scheduler} has no workers") from None
            yield client


@contextmanager
def _local(workers: int | None) -> Iterator[LocalCluster]:
    """Processes on this machine that share its cores, reached from this machine alone."""
    many = workers or nprocesses_nthreads(threads())[0]
    share = str(max(1, threads() // many))
    before = dict(os.environ)
    # A process that is no daemon may have children, with which an engine compiles.
    with dask.config.set({"distributed.worker.daemon": False}), TemporaryDirectory(prefix="convatlas-") as place:
        try:
            # Processes inherit this, as they would from whoever set it for all.
            os.environ |= {"OMP_NUM_THREADS": share, "MKL_NUM_THREADS": share}
            try:
                with unheard():
                    cluster = LocalCluster(
                        n_workers=many,
                        threads_per_worker=1,
                        processes=True,
                        host="127.0.0.1",
                        dashboard_address=None,
                        # Its pages for machines stay; of two clusters on one machine neither is to warn of the other.
                        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                        local_directory=place,
                        memory_limit=0,
                        silence_logs=logging.CRITICAL,
                    )
            except RuntimeError as error:
                raise ConvAtlasError(
                    f"no processes start here ({printable(error)}); a script that asks for them has to be guarded by "
                    "if __name__ == '__main__'"
                ) from None
            with cluster:
                yield cluster
        finally:
            for name in os.environ.keys() - before.keys():  # Dask sets some too
                del os.environ[name]
            os.environ.update(before)


def over(
    client: Client, wish: Wish, known: Mapping[str, object], shards: Sequence[Shard]
) -> Iterator[tuple[Shard, str]]:
    """Each shard as it is finished, and in which engine; only a few wait at the scheduler, however many there are.

    Raises:
        ConvAtlasError: A worker's; or a shard that ended several workers is given up; or the scheduler or all of its
            workers are gone.
    """
    coming, begun = iter(shards), dict[Future[str], Shard]()
    while True:
        # Where a worker died, more may wait than those that are left would be given.
        for shard in islice(coming, max(0, 2 * _threads(client) - len(begun))):
            begun[client.submit(answered, wish, dict(known), shard, pure=False)] = shard
        if not begun:
            return
        future = _finished(client, list(begun))
        shard = begun.pop(future)
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
        # Of a worker that lacks convatlas, or a version of something: anything at all.
        except Exception as error:
            what = printable(f"{type(error).__name__}: {error}")
            raise ConvAtlasError(f"a worker failed at {shard.file.name}: {what}") from error


def _finished(client: Client, futures: list[Future[str]]) -> Future[str]:
    """The first one that is done, or failed; waits as long as there are workers."""
    while True:
        try:
            wait(futures, PATIENCE, return_when="FIRST_COMPLETED")
        except TimeoutError:
            try:
                client.wait_for_workers(1, timeout=PATIENCE)
            except TimeoutError:
                raise ConvAtlasError(f"the cluster has no workers any more; {KEPT}") from None
            except OSError:
                raise ConvAtlasError(GONE) from None
        except CancelledError:
            raise ConvAtlasError(GONE) from None
        else:
            return next(future for future in futures if future.done())


def _threads(client: Client) -> int:
    """How many shards can be answered at a time; 1 while no worker is there."""
    try:
        return max(1, sum(map(int, client.nthreads().values())))
    except OSError:
        raise ConvAtlasError(GONE) from None


def answered(wish: Wish, known: Mapping[str, object], shard: Shard) -> str:
    """On a worker: answers a shard, if nobody did; the engine, or "" if it was there.

    Raises:
        ConvAtlasError: This machine has other weights by the same name, or `fill` or `model_of` refuses.
    """
    with AT_ONCE:
        if shard.file.exists():
            return ""
        model, here = _model(wish)
        if here != known:
            raise ConvAtlasError(
                f"on a worker, {known['net']} with {known['weights']} weights is another net than here"
            )
        for _ in fill([shard], model, known):
            pass
        return model.engine


@lru_cache(maxsize=1)
def _model(wish: Wish) -> tuple[Model, dict[str, object]]:
    """The net of a worker, made once."""
    model = model_of(wish)
    return model, identity(model)
