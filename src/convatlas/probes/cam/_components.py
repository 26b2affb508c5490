"""Principal components of the maps of a layer."""

from __future__ import annotations

import torch
from torch import Tensor


def first_component(maps: Tensor) -> Tensor:
    """Project each place of maps (K, h, w) on their first principal component, (h, w).

    The sign, which a component does not have, is that of the mean map.
    """
    channels, height, width = maps.shape
    rows = maps.reshape(channels, -1).T.double()
    centred = rows - rows.mean(0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    projected = centred @ directions[0]
    return signed(projected, rows).view(height, width).to(maps)


def signed(projected: Tensor, rows: Tensor) -> Tensor:
    """Turn a component so that it grows with the mean of its rows."""
    mean = rows.mean(1)
    agreement = (projected * (mean - mean.mean())).sum()
    return -projected if float(agreement) < 0 else projected
