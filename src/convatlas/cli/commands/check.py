"""Command `check`."""

from __future__ import annotations

from typing import Annotated

import typer

from convatlas.cli.options import Csv, Json, Markdown
from convatlas.cli.terminal import check_formats, print_table, with_progress


def command(
    nets: Annotated[
        list[str] | None, typer.Argument(help="Names of nets; by default all with published figures.")
    ] = None,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Check published figures against measured ones, with the rule that explains each difference."""
    check_formats(as_json, markdown, csv)
    from convatlas.anatomy.report.check import checks, names, table

    chosen = names(nets or [])
    results = list(with_progress(checks(chosen), len(chosen), "measuring"))
    print_table(table(results), as_json, markdown, csv)
