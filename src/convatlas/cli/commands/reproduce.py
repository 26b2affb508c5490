"""Command `reproduce`."""

from __future__ import annotations

from typing import Annotated

import typer

from convatlas.cli.options import Csv, Json, Markdown, parse_list
from convatlas.cli.terminal import check_formats, print_result, print_table, run_steps


def command(
    study: Annotated[
        str | None, typer.Argument(help="Name of the study, as errors; without it all studies are listed.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Folder of all runs; by default runs/STUDY.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Train for a tenth of the epochs with one seed.")] = False,
    seeds: Annotated[int | None, typer.Option(help="Runs of each kind; by default the study's, or 1 if quick.")] = None,
    rows: Annotated[list[str] | None, typer.Option(help="Only these rows, as lenet5-error,lenet4-error.")] = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", help="Runs at a time.")] = 2,
    threads: Annotated[int, typer.Option(help="Threads of each run.")] = 1,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Reproduce a published experiment; interrupted runs are resumed."""
    check_formats(as_json, markdown, csv)
    from convatlas.studies.reproduce import reproduce
    from convatlas.studies.study import study_table

    if study is None:
        print_table(study_table(), as_json, markdown, csv)
        return
    steps = reproduce.steps(study, output, quick=quick, seeds=seeds, rows=parse_list(rows), jobs=jobs, threads=threads)
    result = run_steps(steps, "reproducing")
    print_result(result, as_json, markdown, csv)
