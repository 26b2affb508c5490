"""Description of the study "detectors"."""

from __future__ import annotations

from convatlas.base.extras import require
from convatlas.images.download import digits
from convatlas.studies.detectors.canvases import HEIGHTS, MOST, OVERLAP, SIDE
from convatlas.studies.detectors.plots import draw
from convatlas.studies.detectors.runs import Task, list_tasks, run
from convatlas.studies.detectors.table import DetectorTable, summarize
from convatlas.studies.study import Study


def prepare() -> None:
    """Download MNIST; pycocotools must be there, as the precision is measured by it."""
    require("pycocotools", "detectors")
    digits("mnist")


def page(result: DetectorTable) -> str:
    """Return the page of the docs."""
    row, several = result.rows[0], result.seeds > 1
    repeated = f"{result.seeds} seeds of each net were" if several else "one seed of each net was"
    train, validation, test = row["canvases"]
    recipe = row["recipe"]
    return f"""# Detectors of digits

`convatlas reproduce detectors --markdown`: {result.table().title}.

{result.table().markdown()}

![precision by epoch and by digit](detectors.png)

A canvas has {SIDE} x {SIDE} pixels and 1 to {MOST} of MNIST's digits, {HEIGHTS[0]} to {HEIGHTS[1]} pixels high, in any
colour on darker or lighter paper with noise, among long strokes, arcs, scribbles of straight strokes as in letters, and
patches of dots. Boxes of digits overlap by an IoU of up to {OVERLAP}. There are {train:,} canvases to train on,
{validation:,} to choose the epoch and {test:,} to test; no digit of MNIST is in two of these.

The nets are those of the atlas at their full width, from random weights, trained for {recipe["epochs"]} epochs of
batches of {recipe["batch_size"]} in {recipe["amp"]}, with the losses that their papers define. mAP is COCO's
mean average precision at IoU 0.5, by pycocotools. Minutes are those of the training
({result.threads} thread{"s" * (result.threads > 1)}; {result.made.machine}), whatever else the machine did.

![what the nets find on test canvases](detectors-examples.png)

What the study does not show: that one version is better than the other. Canvases are made, {repeated}
trained, and neither recipe was tuned.
"""


STUDY: Study[Task] = Study(
    name="detectors",
    shows="two small detectors of the YOLO family on handwritten digits among strokes and scribbles",
    seeds=1,
    prepare=prepare,
    tasks=list_tasks,
    run=run,
    summarize=summarize,
    result=DetectorTable,
    draw=draw,
    page=page,
)
