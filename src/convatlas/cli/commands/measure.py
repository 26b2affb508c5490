"""Command `measure`."""

from __future__ import annotations

from typing import Annotated

import typer

from convatlas.cli.options import (
    AnyNet,
    Csv,
    Genes,
    InputShape,
    Json,
    Markdown,
    Size,
    parse_genes,
    parse_shapes,
    parse_size,
)
from convatlas.cli.terminal import check_formats, print_result


def command(
    net: AnyNet,
    size: Size = None,
    channels: Annotated[int | None, typer.Option(help="Channels of the photos.")] = None,
    classes: Annotated[int | None, typer.Option(help="Number of outputs.")] = None,
    genes: Genes = None,
    input_shape: InputShape = None,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Measure every layer of a net: shapes, parameters, arithmetic, memory, receptive field, wiring."""
    check_formats(as_json, markdown, csv)
    from convatlas.anatomy.anatomy import measure

    anatomy = measure(
        net,
        size=parse_size(size),
        channels=channels,
        classes=classes,
        genes=parse_genes(genes),
        input_shape=parse_shapes(input_shape),
    )
    print_result(anatomy, as_json, markdown, csv)
