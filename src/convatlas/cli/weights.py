"""Commands for files of weights."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from convatlas.base.errors import ConvAtlasError
from convatlas.cli.app import app
from convatlas.cli.options import Csv, Json, Markdown
from convatlas.cli.terminal import one_format, show_table


@app.command()
def fetch(
    net: Annotated[str | None, typer.Argument(help="Which net.")] = None,
    weights: Annotated[str | None, typer.Option(help="Which weights: keras, torchvision, timm/a1_in1k, ...")] = None,
    listing: Annotated[bool, typer.Option("--list", help="All that are published, or those of the net.")] = False,
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Published weights: which there are, or one set of them brought to this machine."""
    one_format(as_json, markdown, csv)
    if listing:
        from convatlas.weights.listing import lineage_table

        show_table(lineage_table(net), as_json, markdown, csv)
        return
    if net is None:
        raise ConvAtlasError("nothing to fetch: name a net, or say --list")
    from convatlas.weights.fetch import fetch as fetched

    path = str(fetched(net, weights=weights))
    print(json.dumps({"net": net, "file": path}) if as_json else path)
