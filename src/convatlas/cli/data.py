"""Commands for data sets."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from convatlas.cli.app import app
from convatlas.cli.options import Json

data = typer.Typer(help="Data sets: bring one to this machine.", no_args_is_help=True)
app.add_typer(data, name="data")


@data.command()
def get(
    name: Annotated[str, typer.Argument(help="mnist or fashion_mnist.")],
    folder: Annotated[str | None, typer.Option("--from", help="A folder where its files lie already.")] = None,
    as_json: Json = False,
) -> None:
    """A data set, verified and unpacked, in the store; says in which folder."""
    from convatlas.images.download import get as brought

    path = str(brought(name, folder))
    print(json.dumps({"name": name, "folder": path}) if as_json else path)
