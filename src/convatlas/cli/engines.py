"""Commands for other engines: a net as a file, and how fast they are."""

from __future__ import annotations

from typing import Annotated

import typer

from convatlas.base.errors import ConvAtlasError
from convatlas.cli.app import app
from convatlas.cli.options import Csv, Json, Markdown, SizeOption, size_of
from convatlas.cli.terminal import one_format, show_table, watched
from convatlas.engines.registry import names


@app.command()
def export(
    net: Annotated[
        str,
        typer.Argument(help="A net of the atlas, a file that `export` wrote, or package.module:callable."),
    ],
    file: Annotated[
        str,
        typer.Argument(
            help="Where to: .onnx, .xml or .pt2 for the graph; .safetensors, .weights.h5 or .pth for weights."
        ),
    ],
    weights: Annotated[
        str | None, typer.Option("--weights", help="A lineage or a file, as in classify; none for random ones.")
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="Of weights: own, keras, torchvision, timm, lite or darknet.")
    ] = None,
    size: SizeOption = None,
) -> None:
    """A net as a file: its graph for other engines, or its weights; compared with the net before it is there."""
    from convatlas.engines.export.export import export as exported
    from convatlas.weights.resolve import resolve

    print(exported(resolve(net, weights), file, layout=layout, size=size_of(size)))


@app.command()
def bench(
    nets: Annotated[
        list[str] | None,
        typer.Argument(help="Nets of the atlas, all if not said; or package.module:callable, or a .pt2 file."),
    ] = None,
    engine: Annotated[
        list[str] | None, typer.Option(help=f"Only this engine: {', '.join(names())}; again for each.")
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="float32, bfloat16 or int8; again for each. float32 if not said.")
    ] = None,
    batch: Annotated[
        list[int] | None, typer.Option(help="Photos at a time; again for each. 1 and 16 if not said.")
    ] = None,
    sweep: Annotated[bool, typer.Option("--sweep", help="1, 2, 4, 8, 16 and 32 photos at a time.")] = False,
    vs: Annotated[str, typer.Option(help="Peers to measure in the same rounds: timm,torchvision.")] = "",
    weights: Annotated[str, typer.Option(help="A lineage, as in classify; random ones take as long.")] = "none",
    size: SizeOption = None,
    output: Annotated[str | None, typer.Option("-o", "--output", help="A chart of bars, .svg or .png.")] = None,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """How fast nets are on this machine, in every engine; `list` and `choose` show it from then on."""
    one_format(as_json, markdown, csv)
    if sweep and batch:
        raise ConvAtlasError("say --batch or --sweep")
    from convatlas.engines.bench.bench import BATCHES, SWEEP
    from convatlas.engines.bench.bench import bench as measured
    from convatlas.pictures.picture import check_picture

    if output is not None:
        check_picture(output)

    parts = measured.steps(
        nets or None,
        engines=engine or None,
        precisions=precision or ("float32",),
        batches=SWEEP if sweep else batch or BATCHES,
        vs=[name.strip() for name in vs.split(",") if name.strip()],
        weights=weights,
        size=size_of(size),
    )
    found = watched(parts, "measuring")
    if as_json:
        print(found.to_json())
    else:
        show_table(found.table(), False, markdown, csv)
    if output is not None:
        found.draw().save(output)
