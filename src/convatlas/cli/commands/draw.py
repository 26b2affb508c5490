"""Command `draw`."""

from __future__ import annotations

from typing import Annotated

import typer

from convatlas.cli.options import (
    AnyNet,
    AnyWeights,
    Convention,
    Genes,
    InputShape,
    Size,
    parse_genes,
    parse_shapes,
    parse_size,
)


def command(
    net: AnyNet,
    output: Annotated[str, typer.Option("-o", "--output", help="File to write: .svg or .png.")],
    style: Annotated[str, typer.Option(help="blocks, or boxes: stacks of maps, as in the LeNet-5 paper.")] = "blocks",
    expand: Annotated[
        str | None, typer.Option(help="Stage, or block of a stage, to draw with every layer by itself.")
    ] = None,
    slide: Annotated[
        bool, typer.Option("--slide", help="Fill a slide of 16:9; of a large net, draw less so that it can be read.")
    ] = False,
    size: Size = None,
    genes: Genes = None,
    input_shape: InputShape = None,
    field: Annotated[
        str | None, typer.Option(metavar="LAYER[,ROW,COLUMN]", help="Draw a unit's receptive field on the photo.")
    ] = None,
    maps: Annotated[str | None, typer.Option(metavar="LAYER", help="Draw a layer's feature maps.")] = None,
    filters: Annotated[bool, typer.Option("--filters", help="Draw the kernels of the first convolution.")] = False,
    pixel: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER,CHANNEL,ROW,COLUMN",
            help="Draw the sum that makes one pixel of a map.",
        ),
    ] = None,
    photo: Annotated[
        str | None, typer.Option(help="Photo for --field, --maps, --filters and --pixel; by default a sample.")
    ] = None,
    weights: AnyWeights = None,
    convention: Convention = None,
) -> None:
    """Draw a net, or its receptive fields, filters and feature maps."""
    from convatlas.predict.draw import draw

    draw(
        net,
        output,
        style=style,
        expand=expand,
        slide=slide,
        size=parse_size(size),
        genes=parse_genes(genes),
        field=field,
        maps=maps,
        filters=filters,
        pixel=pixel,
        photo=photo,
        weights=weights,
        convention=convention,
        input_shape=parse_shapes(input_shape),
    )
    print(output)
