"""A net by whatever names it."""

from __future__ import annotations

from torch import nn

from convatlas.nets.build import build
from convatlas.nets.user_net import is_user_net, load_user_net
from convatlas.weights.load import load

NONE = "none"
"""Asks for random weights."""


def named(name: str, weights: str | None = None) -> nn.Module:
    """A net in evaluation mode: of the atlas, of a file, or of the user's own.

    Args:
        name: A net of the atlas, a file that `export` wrote, `package.module:callable`, or a .pt2 file.
        weights: A lineage or a file, as in `load`; "none" for random ones.

    Raises:
        ConvAtlasError: As `load`, `build` and `own` do.
    """
    if is_user_net(name):
        return load_user_net(name).eval()
    return build(name).eval() if weights == NONE else load(name, weights=weights)
