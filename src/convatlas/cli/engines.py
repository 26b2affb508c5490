"""Commands for other engines: a net as a file."""

from __future__ import annotations

from typing import Annotated

import typer

from convatlas.cli.app import app
from convatlas.cli.options import SizeOption, size_of


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
    from convatlas.engines.exporting import export as exported
    from convatlas.engines.naming import named

    print(exported(named(net, weights), file, layout=layout, size=size_of(size)))
