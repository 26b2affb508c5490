"""Command `evaluate`."""

from __future__ import annotations

from typing import Annotated

import typer

from convatlas.cli.options import Convention, Device, Genes, Json, Labels, Weights, parse_genes
from convatlas.cli.terminal import end_with_unread, print_error, run_steps


def command(
    net: Annotated[
        str, typer.Argument(help="Name of a net, or package.module:callable with --weights; or a native file.")
    ],
    data: Annotated[str, typer.Option(help="Folder with a folder for each class; or folder of photos, with --truth.")],
    weights: Weights = None,
    convention: Convention = None,
    labels: Labels = None,
    genes: Genes = None,
    truth: Annotated[str | None, typer.Option(help="File with the name and the class of each photo.")] = None,
    classes: Annotated[
        str | None, typer.Option(help="CSV file with the data set's name and the net's name of each class.")
    ] = None,
    preprocessing: Annotated[
        str | None,
        typer.Option(help="Lineage whose preprocessing to use instead, to see the difference."),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Evaluate top-1 and top-5 accuracy on labelled photos, with 95 % intervals; interrupted runs are resumed."""
    from convatlas.images.labelled import read_map
    from convatlas.predict.evaluate import evaluate

    steps = evaluate.steps(
        net,
        data,
        weights=weights,
        convention=convention,
        labels=labels,
        genes=parse_genes(genes),
        truth=truth,
        classes=read_map(classes) if classes else None,
        preprocessing=preprocessing,
        device=device,
    )
    result = run_steps(steps, "evaluating")
    for path in result.empty:
        print_error(f"{path} holds no photo and is left out")
    print(result.to_json() if as_json else result)
    end_with_unread(f"{path} could not be read" for path in result.unreadable)
