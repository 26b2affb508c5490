"""Commands that read: what is published of nets, what is measured, how they differ."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from convatlas.base.errors import ConvAtlasError, UnknownName
from convatlas.cli.app import app
from convatlas.cli.options import Csv, Genes, Json, Markdown, SizeOption, genes_of, size_of
from convatlas.cli.terminal import one_format, progress, show_table


@app.command(name="list")
def list_command(
    family: Annotated[str | None, typer.Option(help="Only this family: resnet, vgg, ...")] = None,
    year: Annotated[str | None, typer.Option(help="Only of this year, or of FIRST-LAST.")] = None,
    max_parameters: Annotated[str | None, typer.Option(help="At most so many parameters: 10M.")] = None,
    min_top1: Annotated[float | None, typer.Option(help="At least this published top-1 accuracy in percent.")] = None,
    lineage: Annotated[str | None, typer.Option(help="Only nets with these weights: lite.")] = None,
    sort: Annotated[str, typer.Option(help="By which column; with a minus before it, from large to small.")] = "family",
    family_tree: Annotated[
        bool, typer.Option("--family-tree", help="Which net built on which, and what each introduced.")
    ] = False,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="The family tree as a picture, .svg or .png.")
    ] = None,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """The nets of the atlas: what is published of each, and what was measured."""
    one_format(as_json, markdown, csv)
    if family_tree or output is not None:
        filtered = any(value is not None for value in (family, year, max_parameters, min_top1, lineage))
        if filtered or sort != "family" or markdown or csv:
            raise ConvAtlasError("the family tree is of all nets: it goes with --output and --json alone")
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
    show_table(table, as_json, markdown, csv)


def _family_tree(output: str | None, as_json: bool) -> None:
    from convatlas.catalogue.descent import descent, tree

    if output is not None:
        from convatlas.anatomy.drawing.family_tree import family_tree

        print(family_tree().save(output))
    else:
        print(json.dumps([vars(line) for line in descent()], ensure_ascii=False, indent=1) if as_json else tree())


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NET|GENE", help="A net, or a gene or locus: resnet50, gelu, pooling.")
    ],
    layers: Annotated[bool, typer.Option("--layers", help="Every layer, not only the stages.")] = False,
    dna: Annotated[bool, typer.Option("--dna", help="Its genes as one short sequence, stage by stage.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Its stages as papers print them, for LaTeX.")] = False,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """What a net is: its card, its genes, its anatomy; or what a gene is."""
    one_format(as_json, markdown, csv)
    if dna or latex:
        if (dna and latex) or layers or markdown or csv or (latex and as_json):
            raise ConvAtlasError("--dna goes with --json alone, --latex with nothing else")
        _sequence(name, latex, as_json)
        return
    from convatlas.anatomy.report.show import gene_table, show_net

    try:
        shown = show_net(name)
    except UnknownName:
        genes = gene_table(name)
        if genes is None:
            raise
        show_table(genes, as_json, markdown, csv)
        return
    if as_json:
        print(shown.to_json())
        return
    for table in shown.tables(layers)[-1:] if csv else shown.tables(layers):
        show_table(table, False, markdown, csv)
        if not csv:
            print()


def _sequence(name: str, latex: bool, as_json: bool) -> None:
    """A net's DNA, a stage a line, or its table for LaTeX."""
    from convatlas.anatomy.anatomy import measure as measured
    from convatlas.anatomy.report.paper_table import latex as tabular
    from convatlas.anatomy.structure.dna import dna

    anatomy = measured(name)
    if latex:
        print(tabular(anatomy), end="")
    else:
        print(dna(anatomy).to_json() if as_json else "\n".join(dna(anatomy).lines()))


@app.command()
def measure(
    net: Annotated[str, typer.Argument(help="A net of the atlas, or your own as package.module:callable.")],
    size: SizeOption = None,
    channels: Annotated[int | None, typer.Option(help="Channels of the photos.")] = None,
    classes: Annotated[int | None, typer.Option(help="Outputs.")] = None,
    gene: Genes = None,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Every layer of a net, measured: shapes, parameters, arithmetic, memory, receptive field, wiring."""
    one_format(as_json, markdown, csv)
    from convatlas.anatomy.anatomy import measure as measured

    anatomy = measured(net, size=size_of(size), channels=channels, classes=classes, genes=genes_of(gene))
    if as_json:
        print(anatomy.to_json())
    else:
        show_table(anatomy.table(), False, markdown, csv)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="A net of the atlas, or your own.")],
    second: Annotated[str, typer.Argument(help="Another one.")],
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """What differs between two nets, in words: totals, genes, and their DNA aligned."""
    one_format(as_json, markdown, csv)
    from convatlas.anatomy.report.compare import compare as compared

    found = compared(first, second)
    if as_json:
        print(found.to_json())
        return
    for table in found.tables()[-1:] if csv else found.tables():
        show_table(table, False, markdown, csv)
        if not csv:
            print()


@app.command()
def choose(
    max_parameters: Annotated[str | None, typer.Option(help="At most so many parameters: 10M.")] = None,
    max_megabytes: Annotated[float | None, typer.Option(help="Of the weights, at 4 bytes a parameter.")] = None,
    max_macs: Annotated[str | None, typer.Option(help="At most so many multiply-accumulates for a photo: 4B.")] = None,
    max_ms: Annotated[float | None, typer.Option(help="Milliseconds for a photo, as `bench` measured here.")] = None,
    min_top1: Annotated[float | None, typer.Option(help="At least this published top-1 accuracy in percent.")] = None,
    size: Annotated[
        int | None, typer.Option(help="Only nets whose photos have sides of at most so many pixels.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="The cost: parameters, megabytes, macs or time.")] = None,
    output: Annotated[str | None, typer.Option("-o", "--output", help="A bubble chart, .svg or .png.")] = None,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """The nets that no other beats in accuracy at the same cost, and one of them."""
    one_format(as_json, markdown, csv)
    from convatlas.anatomy.report.choose import choose as chosen

    found = chosen(
        max_parameters=max_parameters,
        max_megabytes=max_megabytes,
        max_macs=max_macs,
        max_ms=max_ms,
        min_top1=min_top1,
        size=size,
        by=by,
    )
    if output is not None:
        found.draw().save(output)
    if as_json:
        print(found.to_json())
    else:
        show_table(found.table(), False, markdown, csv)


@app.command()
def check(
    nets: Annotated[
        list[str] | None, typer.Argument(help="Which nets; all that have published figures if not said.")
    ] = None,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Published figures against measured ones, and the rule that explains each difference."""
    one_format(as_json, markdown, csv)
    from convatlas.anatomy.report.check import checks, names, table

    wanted = names(nets or [])
    found = list(progress(checks(wanted), len(wanted), "measuring"))
    show_table(table(found), as_json, markdown, csv)
