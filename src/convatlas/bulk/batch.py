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
from convatlas.weights.weights_file import Labels, weights_file

if TYPE_CHECKING:
    from convatlas.bulk.shards import Shard
    from convatlas.bulk.task import Task

MAX_SHARD = 1_000_000
SHARD = 1000
"""Default number of photos in a shard."""

CALIBRATION = 256
"""Number of photos, evenly spread over the job, that calibrate int8."""


@verb
def batch(
    task: str,
    photos: str | Path,
    output: str | Path,
    *,
    net: str | None = None,
    weights: str | None = None,
    convention: str | None = None,
    labels: Labels | None = None,
    top: int | None = None,
    threshold: float = 0.25,
    probe: str | None = None,
    target: str | None = None,
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
    """Classify, embed, detect or explain on many photos; write the results to a folder of Parquet files.

    Each file, a shard, is written whole or not at all. The same call continues after the finished shards, however the
    previous run ended. Photos that cannot be read, or that a probe refuses, have an `error` in their row. A script that
    starts processes must call this below `if __name__ == "__main__":`.

    Args:
        task: "classify", "embed", "detect" or "explain".
        photos: A folder, or a manifest: a text file with a path on each line, or a .csv file with a column "path".
        output: The folder of the results; `pyarrow.parquet.read_table(output)` reads all of them.
        net: A net's name, or a file that `export` wrote; by default EfficientNet-Lite0, for "detect" YOLOv3.
        weights: As in `load`.
        convention: For a foreign file of weights, the lineage whose conventions it follows, as in `load`.
        labels: For a file of weights, the names of its classes, or a text file with one on each line, as in `load`.
        top: Number of classes of each photo (by default 5), or largest number of objects (by default 100).
        threshold: The score that an object has to exceed, to be listed or explained.
        probe: For "explain", name of a probe that makes maps; by default Grad-CAM.
        target: For "explain", the target as a text, as in `explain`; by default the most probable class, of a
            detector the best box.
        engine: As in `accelerate`; detectors, and probes that go back through the net, run in eager mode.
        precision: As in `accelerate`; int8 is calibrated on the photos.
        device: "auto", "cpu", "cuda" or "mps".
        shard: Number of photos in a shard.
        cluster: Whether to process shards in parallel on Dask, in processes on this machine unless `scheduler` is set.
        workers: Number of processes; by default as many as the cores suggest.
        scheduler: Address of a Dask scheduler whose workers see the same files.
        tls_ca: For a scheduler at tls://..., file with the certificate of the authority.
        tls_cert: For the same, file with your certificate.
        tls_key: For the same, file with the key of your certificate.

    Raises:
        ConvAtlasError: A setting is invalid, the folder holds another job or is in use, the disk is full, or the
            cluster does not answer. Finished shards are kept.
    """
    source = weights_file(weights, convention, labels)
    job = Job(task, net, source, top, threshold, engine, precision, device, probe=probe, target=target)
    dask_cluster = cluster_of(cluster, workers, scheduler, (tls_ca, tls_cert, tls_key))
    return run_job(job, photos, output, shard, dask_cluster)


def run_job(
    job: Job, photos: str | Path, output: str | Path, shard: int = SHARD, cluster: Cluster | None = None
) -> Steps[Batch]:
    """Run a job, as `batch` does; yield (photos done, photos in all, None), and the result with the last photo."""
    if cluster is not None:
        require("distributed", "cluster")
    if type(shard) is not int or not 1 <= shard <= MAX_SHARD:
        raise ConvAtlasError(f"shard is a number of photos from 1 to {MAX_SHARD:,}; got {shard!r}")
    from convatlas.bulk.output import check_job, own_folder, split, unreadable
    from convatlas.bulk.tasks import load_task, net_identity, shard_settings

    manifest, folder = read_manifest(photos), Path(output).absolute()
    if job.precision == "int8":
        job = replace(job, ranges=manifest.sample(CALIBRATION))
    with own_folder(folder):
        task = load_task(job)
        net = net_identity(task)
        check_job(folder, {**job.settings(), **net, **manifest.summary(), "shard": shard})
        shards = split(folder, manifest, shard)
        missing = [part for part in shards if not part.file.exists()]
        settings, new = shard_settings(job, net), {part.file for part in missing}
        # Before the work, so that damaged files are reported at once.
        unread = {part.file: unreadable(part, settings, task.column_types) for part in shards if part.file not in new}
        total = len(manifest.names)
        first = done = total - sum(len(part.names) for part in missing)
        yield done, total, None
        engines: dict[str, None] = {}
        steps = _run_here(task, net, missing) if cluster is None else _run_on(cluster, job, net, missing)
        start = time.monotonic()
        for count, engine in steps:
            if done == first and not count:  # start-up of engine or workers does not count
                start = time.monotonic()
            done += count
            engines |= {engine: None} if engine else {}
            yield done, total, None
        seconds = time.monotonic() - start
        unread |= {part.file: unreadable(part, settings, task.column_types) for part in missing}
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


def _run_here(task: Task, net: Mapping[str, object], shards: Sequence[Shard]) -> Iterator[tuple[int, str]]:
    """Process shards in this process; yield (photos done, engine) after each batch."""
    from convatlas.bulk.shards import write_shards

    if shards:
        yield 0, task.engine
    before = 0
    for shard, done in write_shards(shards, task, net):
        yield done - before, task.engine
        before = done % len(shard.names)


def _run_on(
    cluster: Cluster, job: Job, net: Mapping[str, object], shards: Sequence[Shard]
) -> Iterator[tuple[int, str]]:
    """Process shards on a cluster; yield (photos done, engine) after each shard."""
    from convatlas.bulk.dask import run_shards
    from convatlas.bulk.dask_cluster import connect

    if shards:
        with connect(cluster) as client:
            yield 0, ""
            for shard, engine in run_shards(client, job, net, shards):
                yield len(shard.names), engine
