"""Draw the study: precision by epoch and by digit, and what each detector finds on a few test canvases."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from convatlas.catalogue.cards import find_card
from convatlas.pictures.axes import categories, linear
from convatlas.pictures.charts import Chart, Panel
from convatlas.pictures.marks import Curve, Dots, Mark
from convatlas.pictures.palette import SERIES
from convatlas.predict.detect import detect
from convatlas.studies.detectors.canvases import make_canvases
from convatlas.studies.detectors.runs import Task
from convatlas.training.plots import save_chart
from convatlas.training.run_folder import write_file
from convatlas.weights.load import load

SHOWN = 4
"""Number of test canvases that are shown."""

ENLARGED = 2
THRESHOLD = 0.4


def draw(folder: Path, rows: Sequence[Mapping[str, Any]], suffix: str = "") -> list[Path]:
    """Write detectors.png and, where the weights of the runs are, detectors-examples.png; return their paths.

    Args:
        folder: Folder to write to, with the folders of the runs.
        rows: Rows of a `DetectorTable`.
        suffix: Suffix of the file names, before the extension.

    Raises:
        ConvAtlasError: They cannot be written, or the weights of a run cannot be read.
    """
    paths = [save_chart(folder / f"detectors{suffix}.png", precisions(rows))]
    weights = {row["net"]: _weights(row["net"], bool(suffix), folder) for row in rows}
    if all(path.exists() for path in weights.values()):
        picture = io.BytesIO()
        examples(weights).save(picture, "PNG")
        paths.append(folder / f"detectors-examples{suffix}.png")
        write_file(paths[-1], picture.getvalue())
    return paths


def _weights(net: str, quick: bool, folder: Path) -> Path:
    return Task(net, 0, quick).folder(folder) / "weights.safetensors"


def precisions(rows: Sequence[Mapping[str, Any]]) -> Chart:
    """Return the validation's mean average precision by epoch, and the test's average precision by digit."""
    by_epoch: list[Mark] = []
    by_digit: list[Mark] = []
    for number, row in enumerate(rows):
        name, colour = find_card(row["net"]).published_name, SERIES[number]
        for seed, values in enumerate(row["validation"]):
            epochs = list(range(1, len(values) + 1))
            by_epoch.append(Curve(epochs, values, colour, name if not seed else "", radius=3))
        known = [(digit, value) for digit, value in enumerate(row["precisions"]) if value is not None]
        places = [digit + 0.16 * (2 * number - len(rows) + 1) for digit, _ in known]
        by_digit.append(Dots(places, [value for _, value in known], colour, name, 3.6))
    longest = max((len(values) for row in rows for values in row["validation"]), default=1)
    lowest = [value for row in rows for value in row["precisions"] if value is not None]
    panels = [
        Panel(linear([1, longest], "epoch", whole=True), linear([0, 100], "mAP at IoU 0.5, validation, %"), by_epoch),
        Panel(categories(list("0123456789"), "digit"), linear([*lowest, 100], "AP at IoU 0.5, test, %"), by_digit),
    ]
    return Chart(panels, "Detectors of digits")


def examples(weights: Mapping[str, Path]) -> Image.Image:
    """Return a picture with a row for each net of these weights: the first test canvases, with the boxes it finds."""
    canvases = make_canvases(0, 0, SHOWN).photos["test"]
    rows = []
    for name, path in weights.items():
        net = load(name, weights=str(path))
        shown = [np.kron(np.asarray(canvas.source), np.ones((ENLARGED, ENLARGED, 1), np.uint8)) for canvas in canvases]
        rows.append(np.concatenate([np.asarray(detect(x, net, threshold=THRESHOLD).draw(x)) for x in shown], 1))
    return Image.fromarray(np.concatenate(rows))
