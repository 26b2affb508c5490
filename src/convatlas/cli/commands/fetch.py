"""Command `fetch`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from convatlas.base.errors import ConvAtlasError
from convatlas.cli.options import Csv, Json, Markdown, Weights
from convatlas.cli.terminal import check_formats, print_table


def command(
    net: Annotated[str | None, typer.Argument(help="Name of the net.")] = None,
    weights: Weights = None,
    listing: Annotated[bool, typer.Option("--list", help="List all published weights, or those of the net.")] = False,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Fetch published weights into the store, or list them."""
    check_formats(as_json, markdown, csv)
    if listing:
        from convatlas.weights.listing import lineage_table

        print_table(lineage_table(net, weights), as_json, markdown, csv)
        return
    if net is None:
        raise ConvAtlasError("nothing to fetch: name a net, or use --list")
    from convatlas.weights.fetch import fetch

    path = str(fetch(net, weights=weights))
    print(json.dumps({"net": net, "file": path}) if as_json else path)
