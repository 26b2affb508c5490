"""Command `data`, with subcommands for data sets."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from convatlas.cli.options import Json

command = typer.Typer(help="Fetch data sets.", no_args_is_help=True, add_completion=False)


@command.callback()
def data() -> None:
    """Fetch data sets."""


@command.command()
def get(
    name: Annotated[str, typer.Argument(help="mnist or fashion_mnist.")],
    folder: Annotated[str | None, typer.Option(help="Folder that may hold the files already.")] = None,
    as_json: Json = False,
) -> None:
    """Fetch a data set into the store, verify and decompress it; print its folder."""
    from convatlas.images import download

    path = str(download.get(name, folder))
    print(json.dumps({"name": name, "folder": path}) if as_json else path)
