"""Command `compare`."""

from __future__ import annotations

from convatlas.cli.options import AnyNet, Csv, InputShape, Json, Markdown, parse_shapes
from convatlas.cli.terminal import check_formats, print_tables


def command(
    first: AnyNet,
    second: AnyNet,
    input_shape: InputShape = None,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Compare two nets in words: totals, genes, and their aligned DNA."""
    check_formats(as_json, markdown, csv)
    from convatlas.anatomy.report.compare import compare

    comparison = compare(first, second, input_shape=parse_shapes(input_shape))
    if as_json:
        print(comparison.to_json())
    else:
        print_tables(comparison.tables(), markdown, csv)
