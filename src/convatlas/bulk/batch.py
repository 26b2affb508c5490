"""Run a net on any number of photos, shard by shard; shards that an earlier run finished are kept."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.base.errors import ConvAtlasError
from convatlas.base.extras import require
from convatlas.base.verbs import Steps, verb
from convatlas.bulk.job import Cluster, Job, cluster_of
from convatlas.bulk.manifest import read_manifest
from convatlas.bulk.result import Batch

if TYPE_CHECKING:
    from convatlas.bulk.columns import Columns
    from convatlas.bulk.shards import Shard

MAX_SHARD = 1_000_000
SHARD = 1000
"""Photos in a file of answers."""

RANGES = 256
"""Photos of the job, evenly spread, from which int8 takes its ranges."""


@verb
def batch(
    task: str,
    photos: str | Path,
    output: str | Path,
    *,
    net: str | None = None,
    weights: str | None = None,
    top: int | None = None,
    threshold: float = 0.25,
    engine: str = "auto",
    precision: str = "float32",
    device: str = "auto",
    shard: int = SHARD,
    cluster: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    tls_ca: str | None = None,
    tls_cert: str | None = None,
    tls_key: str | None = None,
) -> Steps[Batch]:
    """Classify, embed or detect on many photos; the answers are Parquet files in a folder, each whole or absent.

    The same call again continues after the finished shards, however the run before ended. Photos that cannot be read
    have an `error` in their row. A script that starts processes has to be guarded by `__name__ == "__main__"`.

    Args:
        task: "classify", "embed" or "detect".
        photos: A folder, or a manifest: a text file with a path on each line, or a .csv file with a column "path".
        output: The folder of the answers; `pyarrow.parquet.read_table(output)` reads all of it.
        net: A net's name, or a file that `export` wrote; by default EfficientNet-Lite0, or YOLOv3 to detect.
        weights: As in `load`.
        top: How many classes of each photo (by default 5), or how many objects at most (100).
        threshold: The score that an object has to exceed.
        engine: As in `accelerate`; detectors run in eager mode.
        precision: As in `accelerate`; int8 takes its ranges from the photos.
        device: "auto", "cpu", "cuda" or "mps".
        shard: Photos in a file.
        cluster: Whether shards are answered side by side, on Dask: in processes on this machine without a `scheduler`.
        workers: Number of processes; by default as many as the cores suggest.
        scheduler: Address of a Dask scheduler whose workers see the same files.
        tls_ca: For a scheduler at tls://..., a file with the certificate of the authority that signed the others.
        tls_cert: A file with our certificate, for the same case.
        tls_key: A file with the key of our certificate.

    Raises:
        ConvAtlasError: A setting is invalid; the folder holds another job or another run works in it; the disk is full;
            the cluster does not answer. Finished shards are whole.
    """
    job = Job(task, net, weights, top, threshold, engine, precision, device)
    where = cluster_of(cluster, workers, scheduler, (tls_ca, tls_cert, tls_key))
    return run_job(job, photos, output, shard, where)


def run_job(
    job: Job, photos: str | Path, output: str | Path, shard: int = SHARD, cluster: Cluster | None = None
) -> Steps[Batch]:
    """Answer all photos of a job, as `batch` does: (photos done, photos in all, the result with the last one)."""
    require("pyarrow", "cluster")
    if cluster is not None:
        require("distributed", "cluster")
    if type(shard) is not int or not 1 <= shard <= MAX_SHARD:
        raise ConvAtlasError(f"a shard is a number of photos from 1 to {MAX_SHARD:,}; got {shard!r}")
    from convatlas.bulk.columns import columns_of, identity, shard_settings
    from convatlas.bulk.output import check_job, own_folder, split, unreadable

    manifest, folder = read_manifest(photos), Path(output).absolute()
    if job.precision == "int8":
        job = replace(job, ranges=manifest.sample(RANGES))
    with own_folder(folder):
        columns = columns_of(job)
        net = identity(columns)
        check_job(folder, {**job.settings(), **net, **manifest.summary(), "shard": shard})
        shards = split(folder, manifest, shard)
        missing = [part for part in shards if not part.file.exists()]
        settings, new = shard_settings(job, net), {part.file for part in missing}
        # Damaged files are reported before the work, not after it.
        unread = {part.file: unreadable(part, settings) for part in shards if part.file not in new}
        total = len(manifest.names)
        first = done = total - sum(len(part.names) for part in missing)
        yield done, total, None
        engines: dict[str, None] = {}
        steps = _run_here(columns, net, missing) if cluster is None else _run_on(cluster, job, net, missing)
        start = time.monotonic()
        for count, engine in steps:
            if done == first and not count:  # engine or workers have started; only the photos' time is measured
                start = time.monotonic()
            done += count
            engines |= {engine: None} if engine else {}
            yield done, total, None
        seconds = time.monotonic() - start
        unread |= {part.file: unreadable(part, settings) for part in missing}
        result = Batch(
            task=job.task,
            net=str(net["net"]),
            weights=str(net["weights"]),
            engines=tuple(engines),
            output=str(output),
            photos=total,
            shards=len(shards),
            answered=total - first,
            seconds=seconds,
            unread=tuple(photo for part in shards for photo in unread[part.file]),
        )
    yield total, total, result


def _run_here(columns: Columns, net: Mapping[str, object], shards: Sequence[Shard]) -> Iterator[tuple[int, str]]:
    """Answer shards in this process: (photos done, engine) after each batch."""
    from convatlas.bulk.shards import fill

    if shards:
        yield 0, columns.engine
    before = 0
    for shard, done in fill(shards, columns, net):
        yield done - before, columns.engine
        before = done % len(shard.names)


def _run_on(
    cluster: Cluster, job: Job, net: Mapping[str, object], shards: Sequence[Shard]
) -> Iterator[tuple[int, str]]:
    """Answer shards on a cluster: (photos done, engine) after each shard."""
    from convatlas.bulk.dask import run_shards
    from convatlas.bulk.dask_cluster import connect

    if shards:
        with connect(cluster) as client:
            yield 0, ""
            for shard, engine in run_shards(client, job, net, shards):
                yield len(shard.names), engine
