"""What a value contributes by its multiplier."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def contribution(value: Tensor, multiplier: Tensor) -> Tensor:
    """The product; 0 where the multiplier is 0, although max pooling may be padded with −∞."""
    return torch.where(multiplier == 0, 0, value) * multiplier


def sum_of_contributions(value: Tensor, multiplier: Tensor) -> float:
    """The sum of the absolute contributions of all values."""
    total = float((value * multiplier).abs_().sum())
    return total if math.isfinite(total) else float(contribution(value, multiplier).abs().sum())
