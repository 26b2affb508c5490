"""What a function gives on the meta device, where it is known beforehand and PyTorch takes a millisecond to tell.

Normalizations and rectifiers are half of what a traced pass takes, all of it in Python code of PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def known(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """A tensor like the first argument, if that is all that the call would give; None if PyTorch has to be asked.

    What could fail or write into a tensor is left to PyTorch, and so is what does not lie in one piece.
    """
    if func not in QUICK or not QUICK[func](*args, **kwargs) or not args[0].is_meta or not args[0].is_contiguous():
        return None
    return torch.empty(args[0].shape, dtype=args[0].dtype, device="meta")


def _relu(input: Tensor, inplace: bool = False) -> bool:
    return not inplace


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> bool:
    """Whether it is one in evaluation, with statistics, and of as many channels as the map."""
    vectors = [vector for vector in (running_mean, running_var, weight, bias) if vector is not None]
    right = all(vector.shape == input.shape[1:2] for vector in vectors)
    return right and not training and running_mean is not None and running_var is not None


QUICK: dict[Callable[..., Any], Callable[..., bool]] = {F.relu: _relu, F.batch_norm: _batch_norm}
"""For each function, with its own arguments, whether the call only gives a tensor like its input."""
