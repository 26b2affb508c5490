"""Detectors that tests run."""

from __future__ import annotations

from pathlib import Path

import torch

from convatlas.nets.build import build
from convatlas.weights.formats import darknet_files


def quiet_detector(folder: Path, bias: float) -> Path:
    """A file of random weights of YOLOv3-tiny, whose boxes contain an object by the logistic of about `bias`."""
    net = build("yolo_v3_tiny", seed=2)
    with torch.no_grad():
        for boxes in (net.boxes1, net.boxes2):
            boxes.boxes1.conv.bias.view(3, 85)[:, 4] = bias
    path = folder / "yolov3-tiny.weights"
    darknet_files.write(net, path)
    return path
