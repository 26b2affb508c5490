"""Connect to a Dask cluster: new processes on this machine, or a running scheduler."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import dask
from distributed import Client, LocalCluster
from distributed.deploy.utils import nprocesses_nthreads
from distributed.security import Security
from distributed.utils import silence_logging_cmgr

from convatlas.base.errors import ConvAtlasError, printable
from convatlas.base.machine import threads
from convatlas.base.sigint import ignore_sigint
from convatlas.bulk.job import Cluster

TIMEOUT = 30
"""Seconds to wait for a scheduler to answer, and for its first worker, also after all workers were lost."""


@contextmanager
def connect(cluster: Cluster) -> Iterator[Client]:
    """Connect to a cluster with at least one worker; processes started for it end with the context.

    Raises:
        ConvAtlasError: The scheduler does not answer, or has no workers.
    """
    if cluster.scheduler is None:
        with _local_cluster(cluster.workers) as local, Client(local) as client:
            yield client
        return
    security = Security(
        tls_ca_file=cluster.tls_ca,
        tls_client_cert=cluster.tls_cert,
        tls_client_key=cluster.tls_key,
        require_encryption=cluster.scheduler.startswith("tls://"),
    )
    with silence_logging_cmgr(logging.CRITICAL):  # the error raised below replaces its traceback
        try:
            client = Client(cluster.scheduler, security=security, timeout=TIMEOUT)
        except (OSError, ValueError, TypeError) as error:
            raise ConvAtlasError(
                f"no scheduler answers at {cluster.scheduler}: {' '.join(str(error).split())[:200]}"
            ) from None
        with client:
            try:
                client.wait_for_workers(1, timeout=TIMEOUT)
            except TimeoutError:
                raise ConvAtlasError(f"the scheduler at {cluster.scheduler} has no workers") from None
            yield client


@contextmanager
def _local_cluster(workers: int | None) -> Iterator[LocalCluster]:
    """Start a cluster of processes that share this machine's cores and cannot be reached from other machines."""
    count = workers or nprocesses_nthreads(threads())[0]
    share = str(max(1, threads() // count))
    before = dict(os.environ)
    # Daemons may not have child processes, which an engine needs to compile.
    with dask.config.set({"distributed.worker.daemon": False}), TemporaryDirectory(prefix="convatlas-") as scratch:
        try:
            # The processes inherit this environment.
            os.environ |= {"OMP_NUM_THREADS": share, "MKL_NUM_THREADS": share}
            try:
                with ignore_sigint():
                    cluster = LocalCluster(
                        n_workers=count,
                        threads_per_worker=1,
                        processes=True,
                        host="127.0.0.1",
                        dashboard_address=None,
                        # Any free port, so that two clusters on one machine do not warn about each other.
                        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                        local_directory=scratch,
                        memory_limit=0,
                        silence_logs=logging.CRITICAL,
                    )
            except RuntimeError as error:
                raise ConvAtlasError(
                    f"processes cannot be started ({printable(error)}); a script that starts them has to be guarded by "
                    "if __name__ == '__main__'"
                ) from None
            with cluster:
                yield cluster
        finally:
            for name in os.environ.keys() - before.keys():  # Dask sets variables too
                del os.environ[name]
            os.environ.update(before)
