"""The program to which the commands belong."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="convatlas",
    help="An atlas of convolutional neural nets that you can run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
