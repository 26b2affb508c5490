"""Command `vary`."""

from __future__ import annotations

from typing import Annotated

import typer

from convatlas.base.errors import GeneError
from convatlas.cli.options import Csv, Json, Markdown, parse_genes
from convatlas.cli.terminal import check_formats, print_result, run_steps


def command(
    net: Annotated[str, typer.Option("--net", help="Name of a net.")],
    gene: Annotated[
        list[str],
        typer.Option(
            "--gene", metavar="LOCUS=NAME,...", help="Genes to try at a locus: pooling=max,l2; repeat it for others."
        ),
    ],
    data: Annotated[str, typer.Option("--data", help="Data set with test photos, as in train: mnist, fashion_mnist.")],
    fixed: Annotated[
        list[str] | None,
        typer.Option("--fixed", metavar="LOCUS=NAME,...", help="Genes that all variants have: output=dense."),
    ] = None,
    config: Annotated[str | None, typer.Option("--config", help="TOML file of settings, as in train.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Number of epochs.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Runs of each variant.")] = 3,
    photos: Annotated[int | None, typer.Option("--photos", help="Number of training photos; by default all.")] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Folder of all runs; by default runs/vary-NET-DATA.")
    ] = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", help="Runs at a time.")] = 2,
    threads: Annotated[int, typer.Option("--threads", help="Threads of each run.")] = 1,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Train variants of a net, each with one gene changed, and say which differ; interrupted runs are resumed."""
    check_formats(as_json, markdown, csv)
    from convatlas.studies.vary import vary
    from convatlas.training.recipe import read_settings

    settings = (read_settings(config) if config else {}) | ({} if epochs is None else {"epochs": epochs})
    steps = vary.steps(
        net,
        parse_variants(gene),
        data,
        fixed=parse_genes(fixed),
        recipe=settings,
        seeds=seeds,
        photos=photos,
        output=output,
        jobs=jobs,
        threads=threads,
    )
    print_result(run_steps(steps, "varying"), as_json, markdown, csv)


def parse_variants(texts: list[str]) -> dict[str, object]:
    """Read "LOCUS=NAME,NAME"; a locus that is repeated gets all its genes.

    Raises:
        GeneError: A text has another form.
    """
    genes: dict[str, object] = {}
    for text in texts:
        locus, equals, names = text.strip().partition("=")
        values = [name.strip() for name in names.split(",") if name.strip()]
        if not equals or not values:
            raise GeneError(f"genes to try are LOCUS=NAME,NAME, as pooling=max,l2; got {text!r}")
        tried = genes.setdefault(locus, [])
        assert isinstance(tried, list)
        tried += [parse_genes([f"{locus}={value}"])[locus] for value in values]
    return genes
