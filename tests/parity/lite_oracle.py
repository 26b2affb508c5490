"""The side of `efficientnet_lite_pytorch`: the logits of an EfficientNet-Lite that was given our weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from tests.parity.subjects import call_order, tensors


def logits(net: str, weights: Sequence[np.ndarray], x: np.ndarray, dtypes: Sequence[str]) -> list[np.ndarray]:
    """The logits of `net` ("efficientnet-lite0") for `x` (N, C, H, W), once in each of the `dtypes`.

    `weights` stand layer by layer in the order of the calls.
    """
    model = EfficientNet.from_name(net, image_size=x.shape[2]).double().eval()
    image = torch.from_numpy(x).double()
    places = [place for layer in call_order(model, image[:1]) for place in tensors(layer)]
    for place, array in zip(places, weights, strict=True):
        assert place.shape == array.shape
        place.copy_(torch.from_numpy(array))
    result = []
    for dtype in dtypes:
        kind = getattr(torch, dtype)
        with torch.no_grad():
            y = model.to(kind)(image.to(kind))
        assert y.dtype == kind
        result.append(y.numpy())
    return result
