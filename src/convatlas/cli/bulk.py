"""The command for many photos."""

from __future__ import annotations

from typing import Annotated

import typer

from convatlas.cli.app import app
from convatlas.cli.options import Device, Json, WeightsOption
from convatlas.cli.terminal import complain, watched
from convatlas.engines.registry import names


@app.command()
def batch(
    task: Annotated[str, typer.Argument(help="classify, embed or detect.")],
    photos: Annotated[
        str, typer.Argument(help="A folder, or a manifest: a text of paths, or a .csv with a column path.")
    ],
    output: Annotated[str, typer.Option("-o", "--output", help="Folder of the answers, as Parquet files.")],
    net: Annotated[
        str | None, typer.Option(help="Which net; efficientnet_lite0, or yolo_v3 to detect, if not said.")
    ] = None,
    weights: WeightsOption = None,
    top: Annotated[
        int | None, typer.Option(help="How many classes for each photo (5), or objects at most (100).")
    ] = None,
    threshold: Annotated[float, typer.Option(help="The score that an object has to exceed.")] = 0.25,
    engine: Annotated[str, typer.Option(help=f"auto, or one of {', '.join(names())}.")] = "auto",
    precision: Annotated[str, typer.Option(help="float32, bfloat16 or int8.")] = "float32",
    device: Device = "auto",
    shard: Annotated[int, typer.Option(help="Photos in a file.")] = 1000,
    cluster: Annotated[bool, typer.Option("--cluster", help="Shards side by side, in processes here.")] = False,
    workers: Annotated[int | None, typer.Option("-j", "--workers", help="How many processes.")] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler that runs: tcp://head:8786.")
    ] = None,
    tls_ca: Annotated[str | None, typer.Option(metavar="FILE", help="For tls://...: who signed all others.")] = None,
    tls_cert: Annotated[str | None, typer.Option(metavar="FILE", help="For tls://...: our certificate.")] = None,
    tls_key: Annotated[str | None, typer.Option(metavar="FILE", help="For tls://...: its key.")] = None,
    as_json: Json = False,
) -> None:
    """A net on a folder of any number of photos; the same command goes on where it was stopped (docs/bulk.md)."""
    from convatlas.bulk.batch import batch as run

    steps = run.steps(
        task,
        photos,
        output,
        net=net,
        weights=weights,
        top=top,
        threshold=threshold,
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
    found = watched(steps, task)
    for photo in found.unread:
        complain(photo.reason)
    print(found.to_json() if as_json else found)
