"""Command `classify`."""

from __future__ import annotations

from typing import Annotated

import typer

from convatlas.base.errors import ConvAtlasError
from convatlas.cli.options import Convention, Csv, Device, Genes, Json, Labels, Markdown, NetName, Weights, parse_genes
from convatlas.cli.photos import print_answers
from convatlas.cli.terminal import check_formats, with_progress


def command(
    photos: Annotated[list[str] | None, typer.Argument(help="Photos, or folders of photos.")] = None,
    net: NetName = "efficientnet_lite0",
    weights: Weights = None,
    convention: Convention = None,
    labels: Labels = None,
    genes: Genes = None,
    top: Annotated[int, typer.Option(help="Number of classes for each photo.")] = 5,
    samples: Annotated[
        bool, typer.Option("--samples", help="Classify the sample photographs of scikit-image.")
    ] = False,
    device: Device = "auto",
    engine: Annotated[
        str,
        typer.Option(help="onnxruntime, openvino or eager; auto: one whose files are in the store, otherwise eager."),
    ] = "auto",
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Classify photos. Those that cannot be read are named on the error stream; all others are classified."""
    check_formats(as_json, markdown, csv)
    from convatlas.images.samples import SAMPLES, sample

    paths = [*(photos or []), *([str(sample(name)) for name in SAMPLES] if samples else [])]
    if not paths:
        raise ConvAtlasError("nothing to classify: name photos or folders, or use --samples")
    from convatlas.images.folders import list_photos
    from convatlas.predict.classify import classify
    from convatlas.predict.results import class_table

    files = list_photos(paths)
    steps = classify.steps(
        files,
        net,
        weights=weights,
        convention=convention,
        labels=labels,
        genes=parse_genes(genes),
        top=top,
        device=device,
        engine=engine,
    )
    answers = list(with_progress(steps, len(files), "classifying"))
    print_answers(answers, class_table, as_json, markdown, csv)
