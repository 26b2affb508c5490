"""Command `show`."""

from __future__ import annotations

from typing import Annotated

import typer

from convatlas.base.errors import ConvAtlasError
from convatlas.base.tables import Table
from convatlas.cli.options import Csv, Json, Markdown
from convatlas.cli.terminal import check_formats, print_table, print_tables


def command(
    name: Annotated[str, typer.Argument(metavar="NET|GENE", help="A net, a gene or a locus: resnet50, gelu, pooling.")],
    layers: Annotated[bool, typer.Option("--layers", help="List every layer instead of the stages.")] = False,
    dna: Annotated[bool, typer.Option("--dna", help="Print the net as a short sequence, one stage per line.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print the table of stages, as in papers, for LaTeX.")] = False,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Show a net: its card, its genes, its anatomy; or describe a gene."""
    check_formats(as_json, markdown, csv)
    if (dna or latex) and ((dna and latex) or layers or markdown or csv or (latex and as_json)):
        raise ConvAtlasError("only --json goes with --dna, and no other option with --latex")
    from convatlas.anatomy.report.show import NetSummary, show

    result = show(name, layers=layers, dna=dna, latex=latex)
    if isinstance(result, Table):
        print_table(result, as_json, markdown, csv)
    elif isinstance(result, str):
        print(result, end="")
    elif as_json:
        print(result.to_json())
    elif isinstance(result, NetSummary):
        print_tables(result.tables(), markdown, csv)
    else:
        print("\n".join(result.lines()))
