"""Weights that are stored in another form than they are used: parametrizations, and hooks of `torch.nn.utils`.

How such a weight is computed from what is stored is no part of a forward pass: a layer with weight normalization is the
same layer as without it.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.utils.parametrize import ParametrizationList

PARAMETRIZATIONS = "parametrizations"
"""Name of the child in which PyTorch keeps them."""


def is_leaf(module: nn.Module) -> bool:
    """Whether a module has no children but the parametrizations of its weights."""
    return all(
        name == PARAMETRIZATIONS and all(isinstance(part, ParametrizationList) for part in child.children())
        for name, child in module.named_children()
    )


def computes_weights(hook: Any) -> bool:
    """Whether a hook is one by which PyTorch computes a weight: `weight_norm`, `spectral_norm`, pruning."""
    return type(hook).__module__.startswith("torch.nn.utils.")
