"""Predict the results of some functions on the meta device, to speed up tracing.

PyTorch takes about a millisecond, in Python, to infer the shape of a normalization's or rectifier's output: half of the
time of a traced pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def predicted(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """Return an empty tensor like the first argument if the call would return no more; None if PyTorch has to run it.

    Calls that could fail or write into a tensor are left to PyTorch, and so are tensors that are not contiguous.
    """
    if (
        func not in LIKE_INPUT
        or not LIKE_INPUT[func](*args, **kwargs)
        or not args[0].is_meta
        or not args[0].is_contiguous()
    ):
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
    """Whether the call is valid, in evaluation mode and with running statistics."""
    vectors = [vector for vector in (running_mean, running_var, weight, bias) if vector is not None]
    fits = all(vector.shape == input.shape[1:2] for vector in vectors)
    return fits and not training and running_mean is not None and running_var is not None


LIKE_INPUT: dict[Callable[..., Any], Callable[..., bool]] = {F.relu: _relu, F.batch_norm: _batch_norm}
"""For each function, a predicate on its arguments: whether the call only returns a tensor like its input."""
