"""A net on any number of photos, shard by shard: those that are there are not made again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.base.errors import ConvAtlasError
from convatlas.base.extras import needed
from convatlas.base.verbs import Steps, verb
from convatlas.bulk.job import Cluster, Wish, cluster_of
from convatlas.bulk.manifest import listed
from convatlas.bulk.result import Batch

if TYPE_CHECKING:
    from convatlas.bulk.predictors import Model
    from convatlas.bulk.shards import Shard

MOST = 1_000_000
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
    """Classifies, embeds or searches many photos; the answers are Parquet files in a folder, each whole or absent.

    The same call again goes on after the shards that are there, whatever ended the run before. Photos that cannot be
    read have an `error` in their row. A script that asks for processes has to be guarded by `__name__ == "__main__"`.

    Args:
        task: "classify", "embed" or "detect".
        photos: A folder, or a manifest: a text file with a path on each line, or a .csv file with a column "path".
        output: The folder of the answers; `pyarrow.parquet.read_table(output)` reads all of it.
        net: A net's name, or a file that `export` wrote; EfficientNet-Lite0, or YOLOv3 to detect, if not said.
        weights: As in `load`.
        top: How many classes of each photo (5), or how many objects at most (100).
        threshold: The score that an object has to exceed.
        engine: As in `accelerate`; detectors run in eager mode.
        precision: As in `accelerate`; int8 takes its ranges from the photos.
        device: "auto", "cpu", "cuda" or "mps".
        shard: Photos in a file.
        cluster: Answer shards side by side, on Dask: in processes on this machine if there is no scheduler.
        workers: How many processes; as many as the cores suggest if not said.
        scheduler: The address of a scheduler whose workers see the same files.
        tls_ca: For a scheduler at tls://..., a file with the certificate of who signed the others.
        tls_cert: Likewise, with our certificate.
        tls_key: Likewise, with its key.

    Raises:
        ConvAtlasError: A setting that is none; another run or another job in the folder; a disk that is full; a cluster
            that does not answer. Shards that are there are whole.
    """
    wish = Wish(task, net, weights, top, threshold, engine, precision, device)
    where = cluster_of(cluster, workers, scheduler, (tls_ca, tls_cert, tls_key))
    return run_job(wish, photos, output, shard, where)


def run_job(
    wish: Wish, photos: str | Path, output: str | Path, shard: int = SHARD, cluster: Cluster | None = None
) -> Steps[Batch]:
    """Answer all photos of a job, as `batch` does: (photos done, photos in all, the result with the last one)."""
    needed("pyarrow", "cluster")
    if cluster is not None:
        needed("distributed", "cluster")
    if type(shard) is not int or not 1 <= shard <= MOST:
        raise ConvAtlasError(f"a shard is a number of photos from 1 to {MOST:,}; got {shard!r}")
    from convatlas.bulk.output import owned, settle, shards_of, unread
    from convatlas.bulk.predictors import asked, identity, model_of

    there, folder = listed(photos), Path(output).absolute()
    if wish.precision == "int8":
        wish = replace(wish, ranges=there.spread(RANGES))
    with owned(folder):
        model = model_of(wish)
        known = identity(model)
        settle(folder, {**wish.settings(), **known, **there.described(), "shard": shard})
        shards = shards_of(folder, there, shard)
        missing = [one for one in shards if not one.file.exists()]
        job, new = asked(wish, known), {one.file for one in missing}
        # A file that is damaged is told before the work, and not after it.
        bad = {one.file: unread(one, job) for one in shards if one.file not in new}
        total = len(there.names)
        first = done = total - sum(len(one.names) for one in missing)
        yield done, total, None
        engines: dict[str, None] = {}
        parts = _here(model, known, missing) if cluster is None else _there(cluster, wish, known, missing)
        start = time.monotonic()
        for more, engine in parts:
            if done == first and not more:  # what works is started: from here on it is the photos' time
                start = time.monotonic()
            done += more
            engines |= {engine: None} if engine else {}
            yield done, total, None
        seconds = time.monotonic() - start
        bad |= {one.file: unread(one, job) for one in missing}
        found = Batch(
            task=wish.task,
            net=str(known["net"]),
            weights=str(known["weights"]),
            engines=tuple(engines),
            output=str(output),
            photos=total,
            shards=len(shards),
            answered=total - first,
            seconds=seconds,
            unread=tuple(photo for one in shards for photo in bad[one.file]),
        )
    yield total, total, found


def _here(model: Model, known: Mapping[str, object], shards: Sequence[Shard]) -> Iterator[tuple[int, str]]:
    """How many photos more are done, and in which engine, after each batch of this process."""
    from convatlas.bulk.shards import fill

    if shards:
        yield 0, model.engine
    before = 0
    for shard, done in fill(shards, model, known):
        yield done - before, model.engine
        before = done % len(shard.names)


def _there(
    cluster: Cluster, wish: Wish, known: Mapping[str, object], shards: Sequence[Shard]
) -> Iterator[tuple[int, str]]:
    """The same after each shard of a cluster."""
    from convatlas.bulk.dask import joined, over

    if shards:
        with joined(cluster) as client:
            yield 0, ""
            for shard, engine in over(client, wish, known, shards):
                yield len(shard.names), engine
