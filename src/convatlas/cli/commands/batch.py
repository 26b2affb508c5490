"""Command `batch`."""

from __future__ import annotations

from typing import Annotated

import typer

from convatlas.cli.options import Convention, Device, Json, Labels, Threshold, Weights
from convatlas.cli.terminal import end_with_unread, run_steps
from convatlas.engines.registry import names


def command(
    task: Annotated[str, typer.Argument(help="classify, embed, detect or explain.")],
    photos: Annotated[
        str, typer.Argument(help="Folder, or manifest: a text file of paths, or a .csv file with a column path.")
    ],
    output: Annotated[str, typer.Option("-o", "--output", help="Folder for the results, as Parquet files.")],
    net: Annotated[
        str | None, typer.Option(help="Name of the net; by default efficientnet_lite0, or yolo_v3 to detect.")
    ] = None,
    weights: Weights = None,
    convention: Convention = None,
    labels: Labels = None,
    top: Annotated[
        int | None, typer.Option(help="Number of classes for each photo (5), or of objects at most (100).")
    ] = None,
    threshold: Threshold = 0.25,
    probe: Annotated[
        str | None, typer.Option(help="To explain: a probe that makes maps (docs/probes.md); by default grad_cam.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="To explain: class by name or number, probability:CLASS, contrast:CLASS/OTHER; by default the most "
            "probable class."
        ),
    ] = None,
    engine: Annotated[str, typer.Option(help=f"auto, or one of {', '.join(names())}.")] = "auto",
    precision: Annotated[str, typer.Option(help="float32, bfloat16 or int8.")] = "float32",
    device: Device = "auto",
    shard: Annotated[int, typer.Option(help="Photos per file.")] = 1000,
    cluster: Annotated[bool, typer.Option("--cluster", help="Process shards in parallel on this machine.")] = False,
    workers: Annotated[int | None, typer.Option("-j", "--workers", help="Number of processes.")] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address of a running Dask scheduler: tcp://head:8786.")
    ] = None,
    tls_ca: Annotated[
        str | None, typer.Option(metavar="FILE", help="For tls://...: certificate of the authority.")
    ] = None,
    tls_cert: Annotated[str | None, typer.Option(metavar="FILE", help="For tls://...: your certificate.")] = None,
    tls_key: Annotated[str | None, typer.Option(metavar="FILE", help="For tls://...: key of your certificate.")] = None,
    as_json: Json = False,
) -> None:
    """Run a net on any number of photos; the same command resumes an interrupted run (docs/bulk.md)."""
    from convatlas.bulk.batch import batch

    steps = batch.steps(
        task,
        photos,
        output,
        net=net,
        weights=weights,
        convention=convention,
        labels=labels,
        top=top,
        threshold=threshold,
        probe=probe,
        target=target,
        engine=engine,
        precision=precision,
        device=device,
        shard=shard,
        cluster=cluster,
        workers=workers,
        scheduler=scheduler,
        tls_ca=tls_ca,
        tls_cert=tls_cert,
        tls_key=tls_key,
    )
    result = run_steps(steps, task)
    print(result.to_json() if as_json else result)
    end_with_unread(photo.reason for photo in result.unread)
