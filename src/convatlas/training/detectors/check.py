"""Check that data and net are of one kind: photos with boxes for detectors, photos with a class for all others."""

from __future__ import annotations

from torch import nn

from convatlas.base.errors import TrainingError
from convatlas.nets.families.yolo import YOLO
from convatlas.training.data.dataset import ImageDataset, check_labels
from convatlas.training.data.splits import Splits
from convatlas.training.detectors.dataset import BoxDataset


def check_truths(net: nn.Module, data: Splits) -> None:
    """Refuse data that a net cannot be trained on.

    Raises:
        TrainingError: They are of another kind, a split has no photos, or has a class that the net does not have.
    """
    for split, dataset in (("training", data.train), ("validation", data.validation), ("test", data.test)):
        if dataset is None:
            continue
        if isinstance(net, YOLO) != isinstance(dataset, BoxDataset):
            raise TrainingError(
                f"{data.name} has photos with {'boxes' if isinstance(dataset, BoxDataset) else 'one class each'}; "
                "detectors learn from photos with boxes, all other nets from photos with one class each"
            )
        if isinstance(dataset, BoxDataset):
            _check_boxes(dataset, len(data.classes), split)
        elif isinstance(dataset, ImageDataset):
            check_labels(dataset.labels, len(data.classes), split)
        if isinstance(net, YOLO) and net.classes != len(data.classes):
            raise TrainingError(f"the net has {net.classes} classes; the data have {len(data.classes)}")


def _check_boxes(dataset: BoxDataset, classes: int, split: str) -> None:
    if not len(dataset):
        raise TrainingError(f"the data set has no {split} photos")
    for number, photo in enumerate(dataset.photos):
        if not ((photo.boxes[:, 0] >= 0) & (photo.boxes[:, 0] < classes)).all():
            raise TrainingError(f"{split} photo {number} has a box of another class than 0 to {classes - 1}")
