"""A small net that brings all that a pretrained one does: how photos are prepared, and names of classes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from torch import nn
from torch.export import ExportedProgram

import convatlas as ca
from convatlas.engines.export.graph import write_onnx
from convatlas.images.preprocessing import Preprocessing
from convatlas.nets.net import Net
from convatlas.weights.lineage import Lineage


def digits() -> Net:
    """LeNet-5 with random weights and a lineage of its own."""
    net = ca.build("lenet5", seed=5).eval()
    grey = Preprocessing((32, 32), "squash", 32, mean=(0.5,), std=(0.5,))
    net.lineage = Lineage("own", "lenet5", "-", "", "", grey, tuple(f"digit {number}" for number in range(10)))
    return net


def dense() -> nn.Module:
    """A net of somebody's own that takes no photos."""
    return nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 4))


def onnx_bytes(program: ExportedProgram, metadata: Mapping[str, str]) -> bytes:
    """The ONNX file of a program."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.onnx"
        write_onnx(program, metadata, file)
        return file.read_bytes()
