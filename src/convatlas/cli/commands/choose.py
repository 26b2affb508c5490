"""Command `choose`."""

from __future__ import annotations

from typing import Annotated

import typer

from convatlas.cli.options import Csv, Json, Markdown, MinTop1
from convatlas.cli.terminal import check_formats, print_result


def command(
    max_parameters: Annotated[str | None, typer.Option(help="Maximum number of parameters: 10M.")] = None,
    max_megabytes: Annotated[
        float | None, typer.Option(help="Maximum size of the weights, at 4 bytes per parameter.")
    ] = None,
    max_macs: Annotated[str | None, typer.Option(help="Maximum multiply-accumulates per photo: 4B.")] = None,
    max_ms: Annotated[
        float | None, typer.Option(help="Maximum milliseconds per photo, as `bench` measured here.")
    ] = None,
    min_top1: MinTop1 = None,
    size: Annotated[int | None, typer.Option(help="Maximum side of the net's photos in pixels.")] = None,
    by: Annotated[str | None, typer.Option(help="The cost: parameters, megabytes, macs or time.")] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Draw a bubble chart to a .svg or .png file.")
    ] = None,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Choose a net: list those that no other beats in accuracy at the same cost, and recommend one."""
    check_formats(as_json, markdown, csv)
    from convatlas.anatomy.report.choose import choose
    from convatlas.pictures.picture import check_output

    if output is not None:
        check_output(output)
    choice = choose(
        max_parameters=max_parameters,
        max_megabytes=max_megabytes,
        max_macs=max_macs,
        max_ms=max_ms,
        min_top1=min_top1,
        size=size,
        by=by,
    )
    if output is not None:
        choice.draw().save(output)
    print_result(choice, as_json, markdown, csv)
