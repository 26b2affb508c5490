"""Command `list`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from convatlas.base.errors import ConvAtlasError
from convatlas.cli.options import Csv, Family, Json, Markdown, MaxParameters, MinTop1, WithLineage, Year
from convatlas.cli.terminal import check_formats, print_table


def command(
    family: Family = None,
    year: Year = None,
    max_parameters: MaxParameters = None,
    min_top1: MinTop1 = None,
    lineage: WithLineage = None,
    sort: Annotated[str, typer.Option(help="Column to sort by; with a minus before it, largest first.")] = "family",
    family_tree: Annotated[
        bool, typer.Option("--family-tree", help="Show which nets are based on which, and what each introduced.")
    ] = False,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Draw the family tree to a .svg or .png file.")
    ] = None,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """List the nets of the atlas: published figures and measured ones."""
    check_formats(as_json, markdown, csv)
    if family_tree or output is not None:
        filtered = any(value is not None for value in (family, year, max_parameters, min_top1, lineage))
        if filtered or sort != "family" or markdown or csv:
            raise ConvAtlasError("the family tree shows all nets; only --output and --json go with it")
        _family_tree(output, as_json)
        return
    from convatlas.anatomy.report.net_table import net_table

    table = net_table(
        family=family,
        year=year,
        max_parameters=max_parameters,
        min_top1=min_top1,
        lineage=lineage,
        sort=sort,
    )
    print_table(table, as_json, markdown, csv)


def _family_tree(output: str | None, as_json: bool) -> None:
    from convatlas.catalogue.descent import descent, tree

    if output is not None:
        from convatlas.anatomy.drawing.family_tree import family_tree

        print(family_tree().save(output))
    else:
        print(json.dumps([vars(line) for line in descent()], ensure_ascii=False, indent=1) if as_json else tree())
