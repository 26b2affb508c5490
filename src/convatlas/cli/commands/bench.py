"""Command `bench`."""

from __future__ import annotations

from typing import Annotated

import typer

from convatlas.base.errors import ConvAtlasError
from convatlas.cli.options import (
    Convention,
    Csv,
    Family,
    InputShape,
    Json,
    Markdown,
    MaxParameters,
    MinTop1,
    Size,
    WithLineage,
    Year,
    parse_list,
    parse_shapes,
    parse_size,
)
from convatlas.cli.terminal import check_formats, print_result, run_steps
from convatlas.engines.registry import names


def command(
    nets: Annotated[
        list[str] | None,
        typer.Argument(help="Names of nets, package.module:callable, or .pt2 files; by default all nets of the atlas."),
    ] = None,
    family: Family = None,
    year: Year = None,
    max_parameters: MaxParameters = None,
    min_top1: MinTop1 = None,
    lineage: WithLineage = None,
    engines: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(names())}; by default all that are installed.")
    ] = None,
    precisions: Annotated[list[str] | None, typer.Option(help="float32,bfloat16,int8; by default float32.")] = None,
    batches: Annotated[list[str] | None, typer.Option(help="Batch sizes; by default 1,16.")] = None,
    sweep: Annotated[bool, typer.Option("--sweep", help="Measure batches of 1, 2, 4, 8, 16 and 32 photos.")] = False,
    vs: Annotated[list[str] | None, typer.Option(help="Peers to measure in the same rounds: timm,torchvision.")] = None,
    weights: Annotated[str, typer.Option(help="Lineage, as in classify; random weights are as fast.")] = "none",
    convention: Convention = None,
    size: Size = None,
    input_shape: InputShape = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Draw a bar chart to a .svg or .png file.")
    ] = None,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Measure how fast nets are on this machine, in every engine; `list` and `choose` then show it."""
    check_formats(as_json, markdown, csv)
    if sweep and batches:
        raise ConvAtlasError("use either --batches or --sweep")
    counts = parse_list(batches)
    if not all(count.isdecimal() for count in counts):
        raise ConvAtlasError(f"batches are numbers of photos, as 1,16; got {','.join(counts)!r}")
    from convatlas.anatomy.report.net_table import parse_years
    from convatlas.engines.bench.bench import BATCHES, SWEEP, bench
    from convatlas.pictures.picture import check_output

    if output is not None:
        check_output(output)
    steps = bench.steps(
        nets or None,
        family=family,
        year=parse_years(year) if year else None,
        max_parameters=max_parameters,
        min_top1=min_top1,
        lineage=lineage,
        engines=parse_list(engines) or None,
        precisions=parse_list(precisions) or ("float32",),
        batches=SWEEP if sweep else [int(count) for count in counts] or BATCHES,
        vs=parse_list(vs),
        weights=weights,
        convention=convention,
        size=parse_size(size),
        input_shape=parse_shapes(input_shape),
    )
    result = run_steps(steps, "measuring")
    print_result(result, as_json, markdown, csv)
    if output is not None:
        result.draw().save(output)
