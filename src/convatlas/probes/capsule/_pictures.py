"""Pictures of what the decoder of a CapsNet makes of a class capsule."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convatlas.nets.families.capsnet import CapsNet
from convatlas.probes.subject import Subject


def outputs(subject: Subject) -> tuple[CapsNet, dict[str, Tensor]]:
    """The subject's net, and outputs of all its stages for the photo, (1, …)."""
    net = subject.net
    assert isinstance(net, CapsNet)
    subject.forwards += 1
    with torch.inference_mode():
        return net, net.outputs(subject.x.clone())


def pixels(photo: Tensor) -> NDArray[np.uint8]:
    """A photo (C, h, w) of 0 to 1 as pixels (h, w, 3)."""
    values = photo.detach().double().cpu().numpy().clip(0, 1)
    colours = values if len(values) == 3 else np.repeat(values.mean(0, keepdims=True), 3, 0)
    result: NDArray[np.uint8] = np.rint(colours.transpose(1, 2, 0) * 255).astype(np.uint8)
    return result


def class_name(net: CapsNet, index: int) -> str:
    """Name of a class, or its number."""
    return net.lineage.class_names[index] if net.lineage is not None else str(index)
