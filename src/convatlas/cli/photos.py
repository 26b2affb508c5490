"""Commands that run a net on photos."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from convatlas.base.errors import ConvAtlasError
from convatlas.base.tables import Table
from convatlas.cli.app import app
from convatlas.cli.options import Csv, Device, Json, Markdown, Net, WeightsOption
from convatlas.cli.terminal import complain, one_format, progress, show_table, watched


@app.command()
def classify(
    photos: Annotated[list[str] | None, typer.Argument(help="Photos, or folders of photos.")] = None,
    net: Annotated[str, typer.Option(help="Which net.")] = "efficientnet_lite0",
    weights: WeightsOption = None,
    top: Annotated[int, typer.Option(help="How many classes for each photo.")] = 5,
    samples: Annotated[bool, typer.Option("--samples", help="The sample photographs of scikit-image.")] = False,
    device: Device = "auto",
    engine: Annotated[
        str, typer.Option(help="auto: one that was used before, else eager; or onnxruntime, openvino, eager.")
    ] = "auto",
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """What is on photos. Those that cannot be read are named on the error stream; the others are still classified."""
    one_format(as_json, markdown, csv)
    from convatlas.images.samples import SAMPLES, sample

    given = [*(photos or []), *([str(sample(name)) for name in SAMPLES] if samples else [])]
    if not given:
        raise ConvAtlasError("nothing to classify: name photos or folders, or say --samples")
    from convatlas.images.folders import photos as below
    from convatlas.predict.classify import classify as classified
    from convatlas.predict.results import class_table

    files = below(given)
    steps = classified.steps(files, net, weights=weights, top=top, device=device, engine=engine)
    found = list(progress(steps, len(files), "classifying"))
    _tell(found, class_table, as_json, markdown, csv)


@app.command()
def detect(
    photos: Annotated[list[str], typer.Argument(help="Photos, or folders of photos.")],
    net: Annotated[str, typer.Option(help="Which detector.")] = "yolo_v3",
    weights: WeightsOption = None,
    threshold: Annotated[float, typer.Option(help="The score that an object has to exceed.")] = 0.25,
    top: Annotated[int, typer.Option(help="How many objects at most for each photo.")] = 100,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Where to draw the boxes: a picture, or a folder of them.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
    markdown: Markdown = False,
    csv: Csv = False,
) -> None:
    """What is where on photos. Those that cannot be read are named on the error stream; the others are searched."""
    one_format(as_json, markdown, csv)
    from convatlas.images.annotate import output_paths, save
    from convatlas.images.folders import photos as below
    from convatlas.predict.detect import detect as detected
    from convatlas.predict.results import object_table

    files = below(photos)
    found: list[Any] = []
    pictures = [] if output is None else output_paths(files, output)
    steps = detected.steps(files, net, weights=weights, threshold=threshold, top=top, device=device)
    for one in progress(steps, len(files), "searching"):
        if pictures and one.error is None:
            save(one.draw(), pictures[len(found)])
        found.append(one)
    _tell(found, object_table, as_json, markdown, csv)


@app.command()
def evaluate(
    net: Net,
    data: Annotated[str, typer.Option(help="A folder of folders of classes, or of photos, with --truth.")],
    weights: WeightsOption = None,
    truth: Annotated[str | None, typer.Option(help="A file with the name and the class of each photo.")] = None,
    classes: Annotated[
        str | None, typer.Option(help="A CSV file: a class of the data set, its name for the net.")
    ] = None,
    preprocessing: Annotated[str | None, typer.Option(help="Another lineage, to see what its way costs.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Top-1 and top-5 accuracy on photos whose classes are known, with 95 % intervals; goes on where it was stopped."""
    from convatlas.images.labelled import read_map
    from convatlas.predict.evaluate import evaluate as evaluated

    given = read_map(classes) if classes else None
    parts = evaluated.steps(
        net, data, weights=weights, truth=truth, classes=given, preprocessing=preprocessing, device=device
    )
    found = watched(parts, "evaluating")
    for path in found.unreadable:
        complain(f"{path} could not be read")
    for path in found.empty:
        complain(f"{path} holds no photo and is left out")
    print(found.to_json() if as_json else found)


def _tell(found: list[Any], table: Callable[[list[Any]], Table], as_json: bool, markdown: bool, csv: bool) -> None:
    """Shows what was found; names the photos that could not be read, and ends with status 1 if there are any."""
    good = [one for one in found if one.error is None]
    if as_json:
        print(json.dumps([one.to_dict() for one in found], indent=1, ensure_ascii=False))
    elif good:
        show_table(table(good), False, markdown, csv)
    for one in found:
        if one.error is not None:
            complain(one.error)
    if len(good) < len(found):
        sys.exit(1)
