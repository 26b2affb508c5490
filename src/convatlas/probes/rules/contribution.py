"""What a value contributes by its multiplier."""

from __future__ import annotations

import torch
from torch import Tensor


def contribution(value: Tensor, multiplier: Tensor) -> Tensor:
    """The product; 0 where the multiplier is 0, although max pooling may be padded with −∞."""
    return torch.where(multiplier == 0, 0, value) * multiplier
