"""Measure loss and average precision of a detector on a data set, over all processes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import MeanMetric

from convatlas.base.untouched import evaluating
from convatlas.nets.boxes import decode, select_boxes
from convatlas.nets.families.yolo import YOLO
from convatlas.predict.predictors import MAX_OVERLAP
from convatlas.training.data.dataset import index_batches
from convatlas.training.detectors.average_precision import (
    MAX_DETECTIONS,
    average_precisions,
    mean_average_precision,
)
from convatlas.training.detectors.dataset import BoxDataset
from convatlas.training.distributed import World
from convatlas.training.loss import NetWithLoss
from convatlas.training.metrics import Score

BATCH = 32
THRESHOLD = 0.005
"""Score from which on a box counts, as where darknet measures precision."""


@torch.no_grad()
def score_detector(module: NetWithLoss, dataset: BoxDataset, world: World, device: torch.device) -> Score:
    """Evaluate a detector on all photos; the mode of its modules is restored.

    Boxes are compared on the net's input, where those of objects lie within the photo.
    """
    net = module.net
    assert isinstance(net, YOLO)
    mean = MeanMetric().to(device)
    batches = index_batches(world.shard(torch.arange(len(dataset))), BATCH)
    pairs: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    with evaluating(module):
        for indices, (x, truth) in zip(batches, dataset.eval_batches(batches), strict=True):
            loss, raw = module(x.to(device), truth.to(device), truth, 1.0)
            mean.update(loss, len(indices))
            size = x.shape[2], x.shape[3]
            boxes, scores = decode(net, raw.cpu(), size)
            for photo, each, probabilities in zip(truth, boxes, scores, strict=True):
                objects = photo[photo[:, 0] >= 0].double().numpy()
                pairs.append((objects, detected(net, each, probabilities, size)))
    everything = [pair for part in world.gather(pairs) for pair in part]
    truths, detections = [pair[0] for pair in everything], [pair[1] for pair in everything]
    by_class = average_precisions(truths, detections, net.classes)
    return Score(float(mean.compute()), None, 100 * mean_average_precision(by_class), tuple(by_class))


def detected(net: YOLO, boxes: Tensor, scores: Tensor, size: tuple[int, int]) -> NDArray[np.float64]:
    """Boxes of one photo that count (m, 6): class, corners within the input and score."""
    overlap = MAX_OVERLAP[bool(net.config.cell_boxes)]
    corners, kept, kinds = select_boxes(boxes, scores, THRESHOLD, overlap, MAX_DETECTIONS)
    corners = corners.minimum(corners.new_tensor([size[1], size[0]] * 2)).clamp_min(0)
    rows: NDArray[np.float64] = torch.cat([kinds[:, None], corners, kept[:, None]], 1).double().numpy()
    return rows
