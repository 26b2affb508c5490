"""Command `detect`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from convatlas.cli.options import Convention, Csv, Device, Json, Labels, Markdown, Threshold, Weights
from convatlas.cli.photos import print_answers
from convatlas.cli.terminal import check_formats, with_progress


def command(
    photos: Annotated[list[str], typer.Argument(help="Photos, or folders of photos.")],
    net: Annotated[str, typer.Option(help="Name of the detector.")] = "yolo_v3",
    weights: Weights = None,
    convention: Convention = None,
    labels: Labels = None,
    threshold: Threshold = 0.25,
    top: Annotated[int, typer.Option(help="Maximum number of objects per photo.")] = 100,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Picture, or folder of pictures, to draw the boxes to.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """Detect objects. Photos that cannot be read are named on the error stream; all others are searched."""
    check_formats(as_json, markdown, csv)
    from convatlas.images.annotate import output_paths, save
    from convatlas.images.folders import list_photos
    from convatlas.predict.detect import detect
    from convatlas.predict.results import object_table

    files = list_photos(photos)
    detections: list[Any] = []
    pictures = [] if output is None else output_paths(files, output)
    steps = detect.steps(
        files, net, weights=weights, convention=convention, labels=labels, threshold=threshold, top=top, device=device
    )
    for detection in with_progress(steps, len(files), "searching"):
        if pictures and detection.error is None:
            save(detection.draw(), pictures[len(detections)])
        detections.append(detection)
    print_answers(detections, object_table, as_json, markdown, csv)
