"""Our nets beside OpenCV's, which reads the same cfg text and weight file.

OpenCV normalizes with eps under the root, as the gene `batch` does; where darknet adds it does not matter to the rest.
OpenCV computes in float32 only: the bound is ten times the distance of our own float32 from our float64.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from tests.weights.darknet_cfg import cfg, stir

from convatlas.nets.boxes import decode
from convatlas.nets.build import build
from convatlas.nets.families.darknet import Darknet
from convatlas.nets.families.yolo import YOLO
from convatlas.weights.formats import darknet_files

QUICK = [("darknet19", 96), ("yolo_v2_tiny", 96), ("yolo_v3_tiny", 96)]
SWEEP = [("darknet19", 256), ("darknet53", 256), ("yolo_v2", 224), ("yolo_v2_voc", 224), ("yolo_v2_tiny_voc", 416)]
SWEEP += [("yolo_v3", 160), ("yolo_v3_spp", 160), ("yolo_v3_tiny", 416), ("yolo_v2_tiny", 416)]


def compare(name: str, size: int, folder) -> None:
    net = build(name, size=size, genes={"normalization": "batch"}, seed=1).eval()
    stir(net)
    row, classes = (net.config, net.classes) if isinstance(net, YOLO) else (Darknet.variants[name], 1000)
    darknet_files.write(net, folder / "net.weights")
    (folder / "net.cfg").write_text(cfg(net, row, classes, (size, size)))
    twin = cv2.dnn.readNetFromDarknet(str(folder / "net.cfg"), str(folder / "net.weights"))
    x = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(3))
    twin.setInput(x.numpy())
    with torch.no_grad():
        single, double = net.outputs(x), net.double().outputs(x.double())
    if isinstance(net, Darknet):
        pairs = [("head", twin.forward())]
    else:
        # OpenCV permutes the map of each head before it decodes it.
        heads = [key for key in single if key.startswith("boxes") and not key.endswith("join")]
        layers = [layer.replace("permute_", "") for layer in twin.getLayerNames() if layer.startswith("permute")]
        pairs = [(head, twin.forward(f"conv_{int(at) - 1}")) for head, at in zip(heads, layers, strict=True)]
    for key, theirs in pairs:
        assert theirs.dtype == np.float32
        exact = double[key].numpy().ravel()
        own = np.abs(single[key].numpy().ravel() - exact).max()
        assert 0 < own < 1e-4 * exact.std()
        assert np.abs(theirs.ravel() - exact).max() < 10 * own
    if isinstance(net, YOLO):
        same_boxes(net, double["head"], [twin.forward(layer) for layer in twin.getUnconnectedOutLayersNames()], size)


def same_boxes(net: YOLO, raw: torch.Tensor, theirs: list[np.ndarray], size: int) -> None:
    """OpenCV's rows: x, y, width, height as shares of the photo, the object's probability, those of the classes."""
    corners, scores = decode(net, raw, (size, size))
    left, top, right, bottom = (corners[0] / size).T
    ours = torch.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], 1).numpy()
    rows = np.concatenate(theirs)
    assert np.abs(ours - rows[:, :4]).max() < 1e-4
    # What does not exceed its threshold is 0 there.
    kept = rows[:, 5:] > 0
    assert kept.any()
    assert np.abs(scores[0].numpy() - rows[:, 5:])[kept].max() < 1e-4


@pytest.mark.parametrize(("name", "size"), QUICK)
def test_as_opencv(name, size, tmp_path):
    compare(name, size, tmp_path)


@pytest.mark.sweep
@pytest.mark.parametrize(("name", "size"), SWEEP)
def test_as_opencv_at_size(name, size, tmp_path):
    compare(name, size, tmp_path)
