"""Average precision of detected boxes, as COCO defines it: computed by its own package, pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from convatlas.base.extras import require

IOU = 0.5
"""IoU from which on a detected box is that of an object."""

MAX_DETECTIONS = 100
"""Most boxes of a photo that count, as for COCO."""

Boxes = NDArray[np.float64]


def average_precisions(truths: Sequence[Boxes], detections: Sequence[Boxes], classes: int) -> list[float | None]:
    """Return the average precision at IoU 0.5 of each class, 0 to 1; None for a class without objects.

    It is the mean of the precisions at recalls 0, 0.01, ... 1, where precision is made to fall with recall.

    Args:
        truths: Objects of each photo (n, 5): class and corners.
        detections: Detected boxes of each photo (m, 6): class, corners and score.
        classes: Number of classes.

    Raises:
        ConvAtlasError: pycocotools is not installed.
    """
    require("pycocotools", "detectors")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def index(boxes: Sequence[Boxes]) -> COCO:
        rows = [(photo, row) for photo, members in enumerate(boxes, 1) for row in members.tolist()]
        coco = COCO()
        coco.dataset = {
            "images": [{"id": photo} for photo in range(1, len(boxes) + 1)],
            "categories": [{"id": number} for number in range(classes)],
            "annotations": [
                {
                    "id": number,  # from 1: to pycocotools an object of id 0 is never detected
                    "image_id": photo,
                    "category_id": int(row[0]),
                    "bbox": [row[1], row[2], row[3] - row[1], row[4] - row[2]],
                    "area": (row[3] - row[1]) * (row[4] - row[2]),
                    "iscrowd": 0,
                    "score": row[5] if len(row) > 5 else 1.0,
                }
                for number, (photo, row) in enumerate(rows, 1)
            ],
        }
        coco.createIndex()
        return coco

    with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress
        evaluation = COCOeval(index(truths), index(detections), "bbox")
        settings = evaluation.params
        settings.iouThrs, settings.maxDets = np.array([IOU]), [MAX_DETECTIONS]
        settings.areaRng, settings.areaRngLbl = [[0, 1e12]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][0, :, :, 0, 0]  # (recalls, classes); -1 without objects
    return [None if column[0] < 0 else float(column.mean()) for column in precision.T]


def mean_average_precision(by_class: Sequence[float | None]) -> float:
    """Return the mean over the classes that have objects; 0 if none has."""
    known = [value for value in by_class if value is not None]
    return sum(known) / len(known) if known else 0.0
