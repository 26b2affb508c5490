"""Command `export`."""

from __future__ import annotations

from typing import Annotated

import typer

from convatlas.cli.options import AnyNet, AnyWeights, Convention, InputShape, Size, parse_shapes, parse_size


def command(
    net: AnyNet,
    file: Annotated[
        str,
        typer.Argument(
            help="File to write: .onnx, .xml or .pt2 for the graph; .safetensors, .weights.h5 or .pth for weights."
        ),
    ],
    weights: AnyWeights = None,
    convention: Convention = None,
    layout: Annotated[
        str | None, typer.Option(help="Layout of weights: native, keras, torchvision, timm, lite or darknet.")
    ] = None,
    size: Size = None,
    input_shape: InputShape = None,
) -> None:
    """Export a net's graph for other engines, or its weights; the file is verified before it gets its name."""
    from convatlas.engines.export.export import export
    from convatlas.weights.resolve import resolve
    from convatlas.weights.weights_file import weights_file

    module, shape = resolve(net, weights_file(weights, convention)), parse_shapes(input_shape)
    print(export(module, file, layout=layout, size=parse_size(size), input_shape=shape))
